"""The configuration reference, rendered from the model so that it cannot drift: ``python -m`` this module prints it."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs

from tracseq_gateway.config.environment import OTHERS, VARIABLES
from tracseq_gateway.config.model import Config, Instance, Network, Service, Size
from tracseq_gateway.config.values import NUMBERS, UNITS

HEAD = """\
# Configuration

The configuration is one TOML file. Environment variables override the file, and the options of
`twistd tracseq-gateway` override both. `tracseq-gateway check FILE` prints everything that is wrong with a file, and
warns of each key that this version knows but does not act on.

Durations are seconds. Sizes are bytes, or text with a unit ({units}).
Networks are addresses (`10.0.0.1`) or networks in CIDR notation (`10.0.0.0/8`).

Any key of a service but `prefix` and `instances` can stand in `[defaults]`, where it applies to every service. A
service's own value wins, and its tables are laid over those of `[defaults]` key by key: `timeouts.response = 120` in
one service leaves the other timeouts as they are. With no service in the file, or without a file, the services are
the seven of the platform on 127.0.0.1, ports 8080 to 8086.
"""

ENVIRONMENT = """\
## Environment variables

A double underscore nests and lists are JSON. An empty variable counts as not set. In `<NAME>` a hyphen of a service's
name becomes an underscore. A service that the file does not have is added when it is one of the platform's seven.

| Variable | Key | Note |
|---|---|---|
"""


def render() -> str:
    """Return the reference as Markdown."""
    sections = [HEAD.format(units=", ".join(UNITS))]
    for field in attrs.fields(Config):
        kind = get_type_hints(Config)[field.name]
        if field.name == "services":
            sections += _sections(Service, "services.NAME", "One service; `NAME` is its name.")
        else:
            sections += _sections(kind, field.name, field.metadata["help"])
    return "\n".join(sections) + "\n" + ENVIRONMENT + "".join(_variables())


def _sections(kind: type[Any], name: str, about: str) -> Iterator[str]:
    """Yield the section of one table, then those of the tables in it."""
    title = f"[[{name}]]" if kind is Instance else f"[{name}]"
    rows = [_row(field, get_type_hints(kind)[field.name]) for field in _keys(kind)]
    yield f"## `{title}`\n\n{_marks(about)}\n\n| Key | Takes | Default | Meaning |\n|---|---|---|---|\n{''.join(rows)}"
    for field in _keys(kind):
        below = _table_in(get_type_hints(kind)[field.name])
        if below is not None:
            yield from _sections(below, f"{name}.{field.name}", field.metadata["help"])


def _keys(kind: type[Any]) -> list[attrs.Attribute[Any]]:
    """Return the fields that a file can set: a service's name is that of its table."""
    return [field for field in attrs.fields(kind) if field.default is not attrs.NOTHING]


def _row(field: attrs.Attribute[Any], hint: Any) -> str:
    meaning = _marks(field.metadata["help"])
    if field.metadata["planned"]:
        meaning += f" **Known, not yet acted on: {field.metadata['planned']}.**"
    cells = (f"`{field.name}`", _takes(field, hint), _default(field, hint), meaning)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n"


def _takes(field: attrs.Attribute[Any], hint: Any) -> str:
    """Say in a few words what a key takes."""
    options = get_args(hint)
    if hint in NUMBERS or int in options:
        number = NUMBERS[hint if hint in NUMBERS else int]
        phrase = number.within(field.metadata.get("least"), field.metadata.get("most")).phrase()
        return phrase + (' or `"auto"`' if options else "")
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(f'`"{word}"`' for word in options)
    if get_origin(hint) is dict:
        return f"a table, each value {_takes(field, options[1])}"
    if get_origin(hint) is tuple:
        return f"an array of {'tables or URLs' if options[0] is Instance else _plural(options[0])}"
    if _table_in(hint):
        return "a table, see below"
    return {str: "a string", bool: "`true` or `false`"}[hint]


def _plural(kind: Any) -> str:
    return {str: "strings", Network: "networks"}[kind]


def _default(field: attrs.Attribute[Any], hint: Any) -> str:
    """Write the default as it would stand in a file; a table's are in its own section."""
    default: Any = field.default
    value = default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]
    if value is None or attrs.has(type(value)):
        return ""
    if hint is Size:
        return f"`{_size(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, float):
        return f"`{value:g}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{element}"' for element in value) + "]`"
    return f"`{value}`"


def _size(value: int) -> str:
    unit = next((name for name in ("GiB", "MiB", "KiB") if value and value % UNITS[name] == 0), None)
    return f'"{value // UNITS[unit]}{unit}"' if unit else str(value)


def _table_in(hint: Any) -> type[Any] | None:
    """Return the class of the table that a key holds, alone, perhaps, or many times."""
    kinds = [kind for kind in (hint, *get_args(hint)) if kind is not NoneType and isinstance(kind, type)]
    return next((kind for kind in kinds if attrs.has(kind)), None)


def _variables() -> Iterator[str]:
    for variable in VARIABLES:
        yield f"| `{variable.name}` | `{'.'.join(variable.key)}` | {variable.help} |\n"
    for name, meaning in OTHERS.items():
        yield f"| `{name}` | | {meaning} |\n"


def _marks(text: str) -> str:
    """Turn the double backquotes of a docstring into Markdown's."""
    return text.replace("``", "`")


if __name__ == "__main__":
    print(render(), end="")
