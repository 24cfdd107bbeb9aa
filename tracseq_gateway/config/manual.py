"""The configuration reference, rendered from the model so that it cannot drift: ``python -m`` this module prints it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs

from tracseq_gateway.config.builtin import PORTS, PUBLIC, RATES
from tracseq_gateway.config.environment import OTHERS, VARIABLES
from tracseq_gateway.config.keys import Network, Size, present
from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.config.policies import JwtKey, PathRule
from tracseq_gateway.config.tls import Certificate
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.config.values import NUMBERS, UNITS

HEAD = """\
# Configuration

The configuration is one TOML file. Environment variables override the file, and the options of
`twistd tracseq-gateway` override both. `tracseq-gateway check FILE` prints everything that is wrong with a file, and
warns of each key that this version knows but does not act on.

Durations are seconds. Sizes are bytes, or text with a unit ({units}).
Networks are addresses (`10.0.0.1`) or networks in CIDR notation (`10.0.0.0/8`).

Any key of a service but `prefix`, `instances` and `discovery` can stand in `[defaults]`, where it applies to every
service. A service's own value wins, and its tables are laid over those of `[defaults]` key by key: `timeouts.response =
120` in one service leaves the other timeouts as they are.

## The platform's services

With no service in the file, or without a file, the services are the seven of the platform on 127.0.0.1. What stands
under *Rate* and *Public* holds for a service of that name in a file, too, unless `[services.NAME]` or `[defaults]` has
a `rate_limit` or `public` of its own.

| Name | Port | Rate, burst | Public |
|---|---|---|---|
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
    head = HEAD.format(units=", ".join(UNITS)) + "".join(_platform())
    return "\n".join([head, *_sections(), ENVIRONMENT + "".join(_variables())])


def _platform() -> Iterator[str]:
    for name, port in PORTS.items():
        rate = "{requests_per_minute}, {burst}".format_map(RATES[name])
        yield f"| `{name}` | {port} | {rate} | {', '.join(f'`{path}`' for path in PUBLIC.get(name, ()))} |\n"


def _sections() -> Iterator[str]:
    """Yield the section of each table; those within it follow it."""
    titles: dict[type[Any], str] = {}
    for field in attrs.fields(Config):
        kind = get_type_hints(Config)[field.name]
        if field.name == "services":
            yield from _section(Service, "services.NAME", "One service; `NAME` is its name.", titles)
        else:
            yield from _section(kind, field.name, field.metadata["help"], titles)


def _section(kind: type[Any], title: str, about: str, titles: dict[type[Any], str]) -> Iterator[str]:
    """Yield the section of one table, then those of the tables in it that no other section has shown.

    ``titles`` are those of the sections so far, by what they are about; a table that comes again refers to its own.
    """
    inner = {field.name: _table_in(_hint(kind, field)) for field in _keys(kind)}
    new = {name: below for name, below in inner.items() if below is not None and below not in titles}
    for name, below in new.items():
        titles.setdefault(below, f"{title}.{name}{_place(_hint(kind, attrs.fields_dict(kind)[name]))}")
    rows = "".join(_row(field, _hint(kind, field), field.name in new, titles) for field in _keys(kind))
    brackets = f"[[{title}]]" if kind in ARRAYS else f"[{title}]"
    yield f"## `{brackets}`\n\n{_marks(about)}\n\n| Key | Takes | Default | Meaning |\n|---|---|---|---|\n{rows}"
    for name, below in new.items():
        yield from _section(below, titles[below], attrs.fields_dict(kind)[name].metadata["help"], titles)


ARRAYS = frozenset({Certificate, Instance, JwtKey})
"""Tables that stand in arrays."""


def _keys(kind: type[Any]) -> list[attrs.Attribute[Any]]:
    """Return the fields that a file can set: a service's name is that of its table."""
    return [field for field in attrs.fields(kind) if field.default is not attrs.NOTHING]


def _hint(kind: type[Any], field: attrs.Attribute[Any]) -> Any:
    return present(get_type_hints(kind)[field.name])


def _place(hint: Any) -> str:
    """Say what stands between a key and the tables that it holds by names of the operator's."""
    if get_origin(hint) is not dict:
        return ""
    return '."PATH"' if get_args(hint)[1] is PathRule else ".NAME"


def _row(field: attrs.Attribute[Any], hint: Any, new: bool, titles: Mapping[type[Any], str]) -> str:
    meaning = _marks(field.metadata["help"])
    table = _table_in(hint)
    takes = _takes(field, hint)
    if table is not None:
        takes += f", see below: `{titles[table]}`" if new else f", as `{titles[table]}`"
    cells = (f"`{field.name}`", takes, _default(field, hint, new), meaning)
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
        return "tables" if _table_in(hint) else f"a table, each value {_takes(field, options[1])}"
    if get_origin(hint) is tuple:
        return f"an array of {_plural(options[0])}"
    return "a table" if _table_in(hint) else {str: "a string", bool: "`true` or `false`"}[hint]


def _plural(kind: Any) -> str:
    return {str: "strings", int: "integers", Network: "networks", Instance: "tables or URLs"}.get(kind, "tables")


def _default(field: attrs.Attribute[Any], hint: Any, new: bool) -> str:
    """Write the default as it would stand in a file; a ``new`` table's is in the section that follows."""
    default: Any = field.default
    value = default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]
    if value is None or (new and attrs.has(type(value))):
        return ""
    return f"`{_written(value, hint)}`"


def _written(value: Any, hint: Any) -> str:
    """Write a value in TOML."""
    if attrs.has(type(value)):
        pairs = (f"{field.name} = {_written(getattr(value, field.name), _hint(hint, field))}" for field in _keys(hint))
        return "{ " + ", ".join(pairs) + " }"
    if hint is Size:
        return _size(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{element}"' for element in value) + "]"
    return str(value)


def _size(value: int) -> str:
    unit = next((name for name in ("GiB", "MiB", "KiB") if value and value % UNITS[name] == 0), None)
    return f'"{value // UNITS[unit]}{unit}"' if unit else str(value)


def _table_in(hint: Any) -> type[Any] | None:
    """Return the class of the table that a key holds, alone or many times."""
    return next((kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and attrs.has(kind)), None)


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
