"""A service's OpenAPI document, any bytes: what is taken over of it is whole and bounded, and below its own prefix.

An input is the document. It is merged with a decent one, which must come out as if it were alone.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tracseq_gateway.openapi.addresses import Address
from tracseq_gateway.openapi.catalogue import render
from tracseq_gateway.openapi.merge import Front, Part, merge
from tracseq_gateway.openapi.reading import Unusable, read
from tracseq_gateway.openapi.taking import Taken, take

_FRONT = Front("gateway", "1", {"bearer": {"type": "http", "scheme": "bearer"}}, True, {}, {})
_DECENT = b"""{"openapi": "3.1.0", "paths": {"/x": {"get": {"operationId": "x", "responses": {"200": {"description": "",
"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Decent"}}}}}}}},
"components": {"schemas": {"Decent": {"type": "string"}}}}"""
_TEMPLATE = re.compile(r"\{([^{}]*)\}")


def _taken(data: bytes, prefix: str) -> Taken:
    return take(read(data), Address(prefix, "/api/v1" if prefix == "/theirs" else ""), "/openapi.json")


def one_input(data: bytes) -> None:
    """Merge the document."""
    try:
        theirs = _taken(data, "/theirs")
    except Unusable as refused:
        assert str(refused).isprintable() and len(str(refused)) < 200, refused
        return
    parts = [Part("theirs", "/theirs", theirs, "current"), Part("ours", "/ours", _taken(_DECENT, "/ours"), "current")]
    made = json.loads(render(merge(_FRONT, parts)).plain)
    assert set(made) >= {"openapi", "info", "servers", "paths", "components"}
    ids = [operation.get("operationId") for item in made["paths"].values() for operation in item.values()]
    named = [name for name in ids if name is not None]
    assert len(named) == len(set(named)), named
    for path, item in made["paths"].items():
        _check_path(path, item)
    _check_references(made, made["components"])
    ours = made["paths"]["/ours/x"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert made["components"]["schemas"][ours["$ref"].rpartition("/")[2]] == {"type": "string"}, ours
    for note in theirs.notes:
        assert note.isprintable() and len(note) < 400, note


def _check_path(path: str, item: dict[str, Any]) -> None:
    assert re.match(r"/(theirs|ours)(/|\Z)", path) and path.isascii() and " " not in path, path
    for operation in item.values():
        parameters = operation.get("parameters", [])
        keys = [(it["in"], it["name"]) for it in parameters]
        assert len(keys) == len(set(keys)), keys
        assert {name for place, name in keys if place == "path"} == set(_TEMPLATE.findall(path)), (path, keys)
        assert all(("schema" in it) != ("content" in it) for it in parameters), parameters
        assert operation["responses"] and "security" in operation, operation


def _check_references(value: Any, components: dict[str, Any]) -> None:
    """Each leads to a component."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "$ref" in item:
                start, kind, name = item["$ref"].rsplit("/", 2)
                assert start == "#/components" and name in components[kind], item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
