"""The OpenAPI 3.1 document of a service, written from its route declarations so that it cannot drift from them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import tracseq_gateway

from .routes import Route, Routes
from .schema import Json, Schema, integer, mapping, record, text

_PARAMETER = re.compile(r"<(?:(?P<converter>\w+):)?(?P<name>\w+)>")
_PARAMETER_SCHEMAS: dict[str | None, Schema] = {
    None: {"type": "string"},
    "uuid": {"type": "string", "format": "uuid"},
    "int": {"type": "integer", "minimum": 0},
}

_PRODUCED: dict[str, Schema] = {"application/json": {"type": "array", "items": {"type": "object"}}}
"""Schemas of files that are no plain text."""

_ERROR_DETAILS = record("ErrorDetails", {"code": text(), "message": text()}, {"fields": mapping({"type": "string"})})
_ERROR_DETAILS["additionalProperties"] = True
ERROR = record("Error", {"success": {"const": False}, "error": _ERROR_DETAILS})
"""What every refusal looks like. ``fields`` says what is wrong by the path of the field."""
PAGINATION = record("Pagination", {"total": integer(0), "limit": integer(1), "offset": integer(0)})


def document(name: str, title: str, description: str, groups: Iterable[Routes]) -> Json:
    """Return the document; its paths are relative to ``/api/v1``, or to the service's prefix at the gateway.

    :raises ValueError: when two handlers have one name, or two different schemas one title.
    """
    paths: dict[str, Json] = {}
    components: dict[str, Schema] = {}
    operations: set[str] = set()
    for routes in groups:
        for route in routes:
            if route.handler in operations:
                raise ValueError(f"{name}: two routes are answered by a method called {route.handler}")
            operations.add(route.handler)
            for number, path in enumerate(routes.paths(route)):
                item = paths.setdefault(_template(path), {})
                item[route.method.lower()] = _hoist(_operation(route, number), components)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": tracseq_gateway.__version__, "description": description},
        "servers": [
            {"url": f"/{name}", "description": "Through the gateway"},
            {"url": "/api/v1", "description": "The service itself"},
        ],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(components.items()))},
    }


def _template(path: str) -> str:
    """Return a path with its parameters in OpenAPI's syntax."""
    return _PARAMETER.sub(r"{\g<name>}", path)


def _operation(route: Route, number: int) -> Json:
    """Return one operation; from the second path of a route on, its id gets a suffix, as ids are unique."""
    operation: Json = {
        "operationId": route.handler + ("_short" if number else ""),
        "summary": route.summary,
        "responses": _responses(route),
    }
    if number:
        operation["description"] = f"The same as `{route.method} {_template(route.path)}`."
    parameters = [*_path_parameters(route), *_query_parameters(route)]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content = {"application/json": {"schema": route.body}}
        operation["requestBody"] = {"required": bool(route.body["required"]), "content": content}
    elif route.consumes:
        operation["requestBody"] = {"required": True, "content": {kind: _upload(kind) for kind in route.consumes}}
    return operation


def _upload(media_type: str) -> Json:
    """Return how a body looks that the handler reads by itself: a form with one file, or the file as it is."""
    if media_type != "multipart/form-data":
        return {"schema": {"type": "string"}}
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    return {"schema": {"type": "object", "properties": {"file": file}, "required": ["file"]}}


def _path_parameters(route: Route) -> list[Json]:
    return [
        {"name": found["name"], "in": "path", "required": True, "schema": _PARAMETER_SCHEMAS[found["converter"]]}
        for found in _PARAMETER.finditer(route.path)
    ]


def _query_parameters(route: Route) -> list[Json]:
    return [{"name": name, "in": "query", "schema": schema} for name, schema in route.query.items()]


def _responses(route: Route) -> Json:
    success: Json = {"description": HTTPStatus(route.status).phrase}
    if route.produces is not None:
        success["content"] = {
            kind: {"schema": _PRODUCED.get(kind, {"type": "string"})} for kind in route.produces.split(", ")
        }
    elif route.plain:
        success["content"] = {"application/json": {"schema": route.answer}}
    else:
        success["content"] = {"application/json": {"schema": _envelope(route)}}
    refusals = sorted({*route.errors, *_own_errors(route)})
    refused = {"application/json": {"schema": ERROR}}
    return {str(route.status): success} | {
        str(status): {"description": HTTPStatus(status).phrase, "content": refused} for status in refusals
    }


def _own_errors(route: Route) -> Iterable[int]:
    """Yield the statuses with which the framework refuses requests to this route."""
    if route.body is not None or route.consumes:
        yield from (400, 413, 415)
    if route.query:
        yield 400
    if "<" in route.path:
        yield 404


def _envelope(route: Route) -> Schema:
    data: Schema = route.answer if route.answer is not None else {"type": "null"}
    properties: Json = {"success": {"const": True}, "data": data}
    if route.paged:
        properties |= {"data": {"type": "array", "items": data}, "pagination": PAGINATION}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _hoist(value: Any, components: dict[str, Schema]) -> Any:
    """Return the value with each titled record replaced by a reference to a component of that name."""
    if isinstance(value, list):
        return [_hoist(item, components) for item in value]
    if not isinstance(value, dict):
        return value
    hoisted = {key: _hoist(item, components) for key, item in value.items()}
    title = value.get("title")
    if not isinstance(title, str):
        return hoisted
    if components.setdefault(title, hoisted) != hoisted:
        raise ValueError(f"two different schemas are called {title}")
    return {"$ref": f"#/components/schemas/{title}"}
