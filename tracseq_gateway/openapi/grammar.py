"""What is taken over of operations and of what they are made of, as OpenAPI 3.1 has it.

Security requirements, servers, callbacks and links are not: the gateway's stand in for the first two, and the others
speak of requests that do not come through the gateway, or of operations by names that change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tracseq_gateway.openapi.schemas import schema
from tracseq_gateway.openapi.shapes import (
    Taker,
    anything,
    boolean,
    later,
    link,
    mapping,
    one_of,
    or_reference,
    record,
    text,
)
from tracseq_gateway.openapi.walk import Kind, Unfit, Walk

_STATUS = re.compile(r"[1-5](?:[0-9]{2}|XX)|default").fullmatch
_MEDIA = re.compile(r"(?:\*|[!#$&^_.+\w-]{1,100})/(?:\*|[!#$&^_.+\w-]{1,100})(?:\s*;[\x20-\x7e]{1,200})?").fullmatch
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}").fullmatch
_STYLES: Mapping[str, tuple[str, ...]] = {
    "path": ("matrix", "label", "simple"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}


def _example(value: Any, walk: Walk) -> Any:
    taken: dict[str, Any] = _example_object(value, walk)
    if "value" in taken:
        taken.pop("externalValue", None)
    return taken


_example_object = record({"summary": text, "description": text, "value": anything, "externalValue": link})
_EXAMPLES: Mapping[str, Taker] = {"example": anything, "examples": mapping(or_reference("examples", _example))}
_header_or_reference = or_reference("headers", later(lambda: header))
_headers = mapping(_header_or_reference, _FIELD)
_encoding = record(
    {
        "contentType": text,
        "headers": _headers,
        "style": one_of(*_STYLES["query"]),
        "explode": boolean,
        "allowReserved": boolean,
    }
)
_media_type = record({"schema": schema, "encoding": mapping(_encoding), **_EXAMPLES})
_content = mapping(_media_type, _MEDIA)
_VALUE: Mapping[str, Taker] = {
    "description": text,
    "required": boolean,
    "deprecated": boolean,
    "schema": schema,
    "content": _content,
    "explode": boolean,
    **_EXAMPLES,
}


def _one_description(taken: dict[str, Any]) -> dict[str, Any]:
    """A value is described by a schema or by one media type; by neither, it may be anything."""
    if len(taken.get("content", ())) != 1:
        taken.pop("content", None)
    if "schema" in taken:
        taken.pop("content", None)
    elif "content" in taken:
        for name in ("style", "explode", "allowReserved", *_EXAMPLES):
            taken.pop(name, None)
    else:
        taken["schema"] = {}
    return taken


def header(value: Any, walk: Walk) -> dict[str, Any]:
    """Take over a header of an answer."""
    return _one_description(_header(value, walk))


_header = record({**_VALUE, "style": one_of("simple")})


def parameter(value: Any, walk: Walk) -> dict[str, Any]:
    """Take over a parameter, of which the place decides what it may have. References are followed, not kept."""
    if isinstance(value, dict) and "$ref" in value:
        _, value = walk.follow("parameters", value["$ref"])
    place = value.get("in") if isinstance(value, dict) else None
    taker = _PARAMETERS.get(place) if isinstance(place, str) else None
    if taker is None:
        raise Unfit("parameters that are none were left out")
    taken: dict[str, Any] = taker(value, walk)
    if place == "path":
        taken["required"] = True
    if place == "header" and _FIELD(taken["name"]) is None:
        raise Unfit("parameters that are none were left out")
    return _one_description(taken)


def _parameter_in(place: str) -> Taker:
    fields: dict[str, Taker] = {**_VALUE, "name": text, "in": one_of(place), "style": one_of(*_STYLES[place])}
    if place == "query":
        fields |= {"allowReserved": boolean, "allowEmptyValue": boolean}
    return record(fields, ["name", "in"])


_PARAMETERS: Final = {place: _parameter_in(place) for place in _STYLES}

_request_body = record({"description": text, "content": _content, "required": boolean}, ["content"])


def response(value: Any, walk: Walk) -> dict[str, Any]:
    """Take over a response; one without a description gets an empty one."""
    taken: dict[str, Any] = _response(value, walk)
    taken.setdefault("description", "")
    return taken


_response = record({"description": text, "headers": _headers, "content": _content})


def operation(value: Any, walk: Walk) -> dict[str, Any]:
    """Take over an operation, but for its parameters, tags and place. It has at least one response afterwards."""
    taken: dict[str, Any] = _operation(value, walk)
    if not taken.get("responses"):
        taken["responses"] = {"default": {"description": "The service does not say what it answers."}}
    if value.get("callbacks"):
        walk.leave("callbacks were left out: they do not come through the gateway")
    return taken


_operation = record(
    {
        "summary": text,
        "description": text,
        "externalDocs": record({"description": text, "url": link}, ["url"]),
        "operationId": text,
        "requestBody": or_reference("requestBodies", _request_body),
        "responses": mapping(or_reference("responses", response), _STATUS),
        "deprecated": boolean,
    }
)

COMPONENTS: Final[Mapping[Kind, Taker]] = {
    "schemas": schema,
    "responses": response,
    "requestBodies": _request_body,
    "headers": header,
    "examples": _example,
}
"""How what is referred to is taken over."""

STAND_INS: Final[Mapping[Kind, Any]] = {
    "schemas": {"description": "The service's document has nothing of use here."},
    "responses": {"description": "The service's document has nothing of use here."},
    "requestBodies": {"content": {"*/*": {}}},
    "headers": {"schema": {}},
    "examples": {"summary": "The service's document has nothing of use here."},
}
"""What stands where something is referred to that cannot be taken over."""
