"""From a schema of OpenAPI 3.0 to one of 3.1, which is JSON Schema 2020-12; one level, what is within comes later."""

from __future__ import annotations

from typing import Any, Final

_COMPOSED: Final[tuple[str, ...]] = ("allOf", "anyOf", "oneOf")
_BINARY = {"binary": {"contentMediaType": "application/octet-stream"}, "byte": {"contentEncoding": "base64"}}


def modern_schema(old: dict[str, Any]) -> dict[str, Any]:
    """Return the schema as 3.1 has it."""
    if "$ref" in old:
        return {"$ref": old["$ref"]}  # 3.0 ignores what stands beside it
    schema = {name: value for name, value in old.items() if name not in ("nullable", "example")}
    if "example" in old and "examples" not in old:
        schema["examples"] = [old["example"]]
    _exclude(schema, "minimum", "exclusiveMinimum")
    _exclude(schema, "maximum", "exclusiveMaximum")
    if old.get("type") == "string" and isinstance(old.get("format"), str):
        schema |= _BINARY.get(old["format"], {})
    return _nullable(schema) if old.get("nullable") is True else schema


def _exclude(schema: dict[str, Any], bound: str, exclusive: str) -> None:
    """A switch beside a bound becomes the bound itself."""
    switch = schema.get(exclusive)
    if isinstance(switch, bool):
        del schema[exclusive]
        if switch and bound in schema:
            schema[exclusive] = schema.pop(bound)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Allow null, too."""
    kind = schema.get("type")
    if isinstance(kind, str):
        schema["type"] = [kind, "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
        composed = {name: schema.pop(name) for name in _COMPOSED if name in schema}
        if composed:
            del schema["type"]
            schema["anyOf"] = [{"type": kind, **composed}, {"type": "null"}]
        return schema
    composed = {name: schema.pop(name) for name in (*_COMPOSED, "enum") if name in schema}
    if composed:
        schema["anyOf"] = [composed, {"type": "null"}]
    return schema
