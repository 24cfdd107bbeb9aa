"""What is taken over of a schema: the keywords of JSON Schema 2020-12 and those that OpenAPI adds.

``$id``, ``$schema``, anchors and dynamic references are not: they would change what everything else refers to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tracseq_gateway.openapi.defaults import contradicts
from tracseq_gateway.openapi.shapes import (
    Taker,
    anything,
    boolean,
    count,
    later,
    link,
    listing,
    mapping,
    number,
    one_of,
    record,
    text,
)
from tracseq_gateway.openapi.upgrade import modern_schema
from tracseq_gateway.openapi.walk import Reference, Unfit, Walk

_TYPES = ("null", "boolean", "object", "array", "number", "string", "integer")
_LONGEST_PATTERN = 1000
_NAME = re.compile(r"[A-Za-z0-9._-]+").fullmatch


def schema(value: Any, walk: Walk) -> Any:
    """Take over a schema. A reference that leads nowhere leaves one that allows everything."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, dict):
        raise Unfit("schemas that are none were left out")
    if walk.old:
        value = modern_schema(value)
    if isinstance(value.get("items"), list):  # the tuples of earlier drafts
        value = {**{name: item for name, item in value.items() if name != "items"}, "prefixItems": value["items"]}
    taken: dict[str, Any] = _schema(value, walk)
    if "default" in taken and contradicts(taken["default"], taken):
        del taken["default"]
        walk.leave("defaults that their own schemas do not allow were left out")
    if "discriminator" in taken:
        choices = [part["$ref"] for name in ("oneOf", "anyOf") for part in taken.get(name, ()) if _refers(part)]
        discriminate(taken, choices)
    return taken


def _refers(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("$ref"), Reference)


def discriminate(taken: dict[str, Any], choices: Iterable[Reference]) -> None:
    """Say outright which value leads to which of these schemas: by itself it is their names, and these may change."""
    mapping: dict[str, Reference] = dict(taken["discriminator"].get("mapping", {}))
    for choice in choices:
        *above, name = choice.key.pointer
        if above == ["components", "schemas"] and choice not in mapping.values():
            mapping.setdefault(name, choice)
    if mapping:
        taken["discriminator"] = {**taken["discriminator"], "mapping": mapping}


def _reference(value: Any, walk: Walk) -> Reference:
    return walk.refer("schemas", value)


def _types(value: Any, walk: Walk) -> Any:
    return _some_types(value, walk) if isinstance(value, list) else _type(value, walk)


def _pattern(value: Any, walk: Walk) -> str:
    pattern = text(value, walk)
    if not _is_pattern(pattern):
        raise Unfit("patterns that are too long, or that not every regular expression engine knows, were left out")
    return pattern


def _is_pattern(name: str) -> bool:
    try:
        return len(name) <= _LONGEST_PATTERN and bool(re.compile(name))
    except (re.error, OverflowError, RecursionError):
        return False


def _positive(value: Any, walk: Walk) -> float:
    if number(value, walk) <= 0:
        raise Unfit("numbers that are none were left out")
    return float(value) if isinstance(value, float) else int(value)


def _mapped(value: Any, walk: Walk) -> Reference:
    """A discriminator's value leads to a schema, by reference or by its bare name."""
    if isinstance(value, str) and _NAME(value):
        value = f"#/components/schemas/{value}"
    return walk.refer("schemas", value)


_type = one_of(*_TYPES)
_some_types = listing(_type, least=1, unique=True)
_within: Taker = later(lambda: schema)
_several = listing(_within, least=1)
_named = mapping(_within)
_words = listing(text, unique=True)

_KEYWORDS: Mapping[str, Taker] = {
    "$ref": _reference,
    "$defs": _named,
    "$comment": text,
    "type": _types,
    "enum": listing(anything),
    "const": anything,
    "title": text,
    "description": text,
    "default": anything,
    "example": anything,
    "examples": listing(anything),
    "deprecated": boolean,
    "readOnly": boolean,
    "writeOnly": boolean,
    "multipleOf": _positive,
    "maximum": number,
    "exclusiveMaximum": number,
    "minimum": number,
    "exclusiveMinimum": number,
    "maxLength": count,
    "minLength": count,
    "pattern": _pattern,
    "format": text,
    "contentMediaType": text,
    "contentEncoding": text,
    "contentSchema": _within,
    "items": _within,
    "prefixItems": _several,
    "contains": _within,
    "maxContains": count,
    "minContains": count,
    "maxItems": count,
    "minItems": count,
    "uniqueItems": boolean,
    "unevaluatedItems": _within,
    "properties": _named,
    "patternProperties": mapping(_within, _is_pattern),
    "additionalProperties": _within,
    "unevaluatedProperties": _within,
    "propertyNames": _within,
    "required": _words,
    "dependentRequired": mapping(_words),
    "dependentSchemas": _named,
    "maxProperties": count,
    "minProperties": count,
    "allOf": _several,
    "anyOf": _several,
    "oneOf": _several,
    "not": _within,
    "if": _within,
    "then": _within,
    "else": _within,
    "discriminator": record({"propertyName": text, "mapping": mapping(_mapped)}, ["propertyName"]),
    "externalDocs": record({"description": text, "url": link}, ["url"]),
    "xml": record({"name": text, "namespace": link, "prefix": text, "attribute": boolean, "wrapped": boolean}),
}


_schema = record(_KEYWORDS)
