"""Whether a default surely contradicts its own schema: some tools refuse a whole document for that."""

from __future__ import annotations

from typing import Any

from tracseq_gateway.openapi.walk import Reference

_KINDS: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "number": (int, float),
    "integer": (int, float),
    "string": (str,),
}


def contradicts(value: Any, schema: Any) -> bool:
    """Whether the value is surely none of the schema's; False where that depends on what is not looked at here.

    Looked at are types, choices, bounds and lengths, alone and composed by ``allOf``, ``anyOf`` and ``oneOf``.
    """
    if not isinstance(schema, dict):
        return schema is False
    if isinstance(schema.get("$ref"), Reference):
        return False
    kinds = schema.get("type", [])
    if kinds and not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return True
    if "enum" in schema and not any(_same(value, choice) for choice in schema["enum"]):
        return True
    if "const" in schema and not _same(value, schema["const"]):
        return True
    if any(contradicts(value, part) for part in schema.get("allOf", ())):
        return True
    if any(name in schema and all(contradicts(value, part) for part in schema[name]) for name in ("anyOf", "oneOf")):
        return True
    return _out_of_bounds(value, schema)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _KINDS[kind])


def _same(one: Any, other: Any) -> bool:
    return (type(one) is type(other) and one == other) or (_is_number(one) and _is_number(other) and one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _out_of_bounds(value: Any, schema: dict[str, Any]) -> bool:
    if _is_number(value):
        return (
            value < schema.get("minimum", value)
            or value > schema.get("maximum", value)
            or ("exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"])
            or ("exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"])
        )
    if not isinstance(value, str | list | dict):
        return False
    limits = "Length" if isinstance(value, str) else "Items" if isinstance(value, list) else "Properties"
    size = len(value)
    return bool(size < schema.get(f"min{limits}", 0) or size > schema.get(f"max{limits}", size))
