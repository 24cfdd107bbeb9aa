"""From tables to the model: cattrs does the work, this file tells it how strict to be and collects what it found.

Each table is structured as a whole, so every fault in it is known at once, and none hides another.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs
from cattrs import BaseValidationError, Converter, ForbiddenExtraKeysError
from cattrs.errors import AttributeValidationNote, ClassValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from tracseq_gateway.config.agree import disagreements
from tracseq_gateway.config.keys import Network, present
from tracseq_gateway.config.problem import KeyPath, Wrong
from tracseq_gateway.config.rules import RULES
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.config.values import NUMBERS, boolean, mistyped, nearest, network, one_of, string

Table = TypeVar("Table")
Fault = tuple[KeyPath, Wrong]
Hook = Callable[[Any, Any], Any]


def make_converter() -> Converter:
    """Return a converter from what tomllib gives to the classes of the model, which raises :class:`Wrong` in groups."""
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_structure_hook(str, lambda value, _: string(value))
    converter.register_structure_hook(int, lambda value, _: NUMBERS[int].take(value))
    converter.register_structure_hook(bool, lambda value, _: boolean(value))
    converter.register_structure_hook(Network, lambda value, _: network(value))
    converter.register_structure_hook_func(_is_literal, lambda value, kind: one_of(value, get_args(kind)))
    converter.register_structure_hook_factory(attrs.has, lambda kind: _table_hook(converter, kind))
    return converter


def structure(
    converter: Converter, kind: type[Table], value: object, path: KeyPath
) -> tuple[Table | None, list[Fault]]:
    """Return the table, or None and every fault in it with the path to it, which begins with ``path``."""
    try:
        return converter.structure(value, kind), []
    except (Wrong, BaseValidationError) as error:
        return None, list(_faults(error, path))


def unknown_key(name: str, known: list[str]) -> Wrong:
    """Say that a table has no such key."""
    return Wrong("unknown key", nearest(name, known, f"the keys here are {', '.join(known)}"))


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _table_hook(converter: Converter, kind: type[Any]) -> Hook:
    hints = get_type_hints(kind)
    fields: dict[str, Any] = {
        field.name: override(struct_hook=_field_hook(converter, kind, field, hints[field.name]))
        for field in attrs.fields(kind)
    }
    from_dict = make_dict_structure_fn(kind, converter, **fields)

    def hook(value: Any, _: Any) -> Any:
        if kind is Instance and isinstance(value, str):
            value = {"url": value}
        if not isinstance(value, dict):
            raise mistyped(value, "a URL, or a table with a url," if kind is Instance else "a table")
        table = from_dict(value, kind)
        wrong = disagreements(table)
        if wrong:
            raise ClassValidationError(f"disagreements in {kind.__name__}", wrong, kind)
        return table

    return hook


def _field_hook(converter: Converter, kind: type[Any], field: attrs.Attribute[Any], hint: Any) -> Hook:
    """Return what reads one key: its type first, then the rule for its text."""
    read = _reader(converter, field, present(hint))
    rule = RULES.get((kind, field.name), lambda value: value)

    def hook(value: Any, _: Any) -> Any:
        try:
            value = read(value)
        except Wrong as fault:
            if field.repr:
                raise
            raise Wrong("is not what it takes", fault.right) from None  # a secret is not shown, not even a wrong one
        return rule(value)

    return hook


def _reader(converter: Converter, field: attrs.Attribute[Any], hint: Any) -> Callable[[Any], Any]:
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()
    if hint in NUMBERS or int in options:
        least, most = field.metadata.get("least"), field.metadata.get("most")
        number = NUMBERS[hint if hint in NUMBERS else int].within(least, most)
        return number.take_or_auto if options else number.take

    def read(value: Any) -> Any:
        if get_origin(hint) is tuple and not isinstance(value, list | tuple):
            raise mistyped(value, "an array")
        if get_origin(hint) is dict and not isinstance(value, dict):
            raise mistyped(value, "a table")
        return converter.structure(value, hint)

    return read


def _faults(error: Exception, path: KeyPath) -> Iterator[Fault]:
    """Walk the tree of exceptions that cattrs built, and yield its leaves with their paths."""
    if isinstance(error, BaseValidationError):
        for part in error.exceptions:
            yield from _faults(part, path + _step(part))
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(error.cl) if field.name != "name"]
        for name in sorted(error.extra_fields):
            yield (*path, name), unknown_key(name, known)
    elif isinstance(error, Wrong):
        yield path, error
    else:
        raise error


def _step(error: Exception) -> KeyPath:
    """Return the attribute, index or key that cattrs noted on an exception."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return (note.name,)
        if isinstance(note, IterableValidationNote):
            return (note.index,)
    return ()
