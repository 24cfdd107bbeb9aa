"""Documents of services, made up: by hand and by hypothesis."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies
from hypothesis.strategies import SearchStrategy
from openapi_spec_validator import OpenAPIV31SpecValidator

from tracseq_gateway.admin.described import SCHEMAS, own_paths
from tracseq_gateway.openapi.addresses import Address
from tracseq_gateway.openapi.demands import Demand
from tracseq_gateway.openapi.merge import Front, Part, merge
from tracseq_gateway.openapi.reading import read
from tracseq_gateway.openapi.taking import Taken, take

OK = {"200": {"description": "fine"}}
BEARER = {"bearer": {"type": "http", "scheme": "bearer"}}
FRONT = Front("TracSeq Gateway", "1", BEARER, True, own_paths(True, {"/metrics", "/docs"}, "/metrics"), SCHEMAS)


def document(paths: Mapping[str, Any], version: str = "3.1.0", **rest: Any) -> dict[str, Any]:
    """A document of a service; ``schemas`` among ``rest`` are its components."""
    schemas = rest.pop("schemas", None)
    if schemas is not None:
        rest["components"] = {"schemas": schemas}
    return {"openapi": version, "info": {"title": "a service", "version": "7"}, "paths": paths, **rest}


def getting(schema: Any = None, **rest: Any) -> dict[str, Any]:
    """A path item with a GET that answers with JSON of a schema."""
    content = {} if schema is None else {"content": {"application/json": {"schema": schema}}}
    return {"get": {"responses": {"200": {"description": "fine", **content}}, **rest}}


def taken(
    content: Any, prefix: str = "/samples", rewrite: str = "", where: str = "/openapi.json", **rest: Any
) -> Taken:
    """Take a document over; ``rest`` goes to the address."""
    return take(read(json.dumps(content).encode()), Address(prefix, rewrite, **rest), where)


def part(name: str, content: Any, **rest: Any) -> Part:
    """A service with this document, whose paths stand as they are below ``/NAME``."""
    return Part(name, f"/{name}", taken(content, f"/{name}"), "current", **rest)


def merged(*parts: Part, front: Front = FRONT) -> dict[str, Any]:
    """Merge, and hold the outcome against the specification; AssertionError when it breaks it."""
    made = json.loads(json.dumps(merge(front, parts)))
    problems = [
        f"{'/'.join(map(str, it.path))}: {it.message[:300]}" for it in OpenAPIV31SpecValidator(made).iter_errors()
    ]
    if problems:
        raise AssertionError("\n".join(problems[:5]))
    loose = sorted(set(references(made)) - set(pointers(made)))
    if loose:
        raise AssertionError(f"references that lead nowhere: {loose[:5]}")
    found: dict[str, Any] = made
    return found


def references(value: Any) -> list[str]:
    """The text of every ``$ref`` in a merged document."""
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [text for item in value.values() for text in references(item)]
    return [text for item in value for text in references(item)] if isinstance(value, list) else []


def pointers(made: Mapping[str, Any]) -> list[str]:
    """What may be referred to."""
    return [f"#/components/{kind}/{name}" for kind, found in made["components"].items() for name in found]


def answer_of(made: Mapping[str, Any], path: str, method: str = "get") -> Any:
    """The schema of the 200 of an operation."""
    return made["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]


def demanding(**facts: Any) -> Callable[[str, str], Demand]:
    """The same demand for every operation."""
    return lambda method, path: Demand(**facts)


_NAMES = strategies.sampled_from(["Error", "Sample", "Page", "Problem", "samples.Error", "List«Sample»", "a/b~c d"])
_LEAVES = strategies.one_of(
    strategies.fixed_dictionaries(
        {"type": strategies.sampled_from(["string", "integer", "boolean", "array", "object", "number"])},
        optional={"description": strategies.text(max_size=5), "nullable": strategies.booleans()},
    ),
    strategies.booleans(),
    strategies.builds(lambda name: {"$ref": "#/components/schemas/" + _escaped(name)}, _NAMES),
    strategies.just({"$ref": "http://elsewhere.test/x.json"}),
)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1").replace(" ", "%20")


def _around(inner: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return strategies.one_of(
        strategies.builds(lambda it: {"type": "array", "items": it}, inner),
        strategies.builds(
            lambda it: {"type": "object", "properties": it}, strategies.dictionaries(_NAMES, inner, max_size=3)
        ),
        strategies.builds(lambda it: {"anyOf": it}, strategies.lists(inner, min_size=1, max_size=3)),
    )


SCHEMAS_OF_ALL_KINDS: SearchStrategy[Any] = strategies.recursive(_LEAVES, _around, max_leaves=6)

_PATHS = strategies.sampled_from(["/", "/items", "/items/{id}", "/items/{item}", "/x//y", "/%zz", "/a{b", "no-slash"])
_JUNK = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers(-3, 3) | strategies.text(max_size=4),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(
            strategies.sampled_from(["$ref", "get", "schema", "type", "in", "name", "content", "description", "x-y"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)
_PARAMETERS = strategies.fixed_dictionaries(
    {
        "name": strategies.sampled_from(["id", "q", "Accept"]),
        "in": strategies.sampled_from(["path", "query", "header"]),
    },
    optional={
        "schema": SCHEMAS_OF_ALL_KINDS,
        "required": strategies.booleans(),
        "style": strategies.sampled_from(["form", "simple", "matrix"]),
        "content": strategies.just({"text/plain": {}}),
        "example": _JUNK,
    },
)
_OPERATIONS = strategies.fixed_dictionaries(
    {},
    optional={
        "operationId": strategies.sampled_from(["list", "read", "samples_list"]),
        "tags": strategies.lists(strategies.sampled_from(["one", "two"]), max_size=2) | _JUNK,
        "parameters": strategies.lists(_PARAMETERS | _JUNK, max_size=3) | _JUNK,
        "requestBody": strategies.builds(
            lambda it: {"content": {"application/json": {"schema": it}}}, SCHEMAS_OF_ALL_KINDS
        )
        | _JUNK,
        "responses": strategies.dictionaries(
            strategies.sampled_from(["200", "default", "4XX", "700", "ok"]),
            strategies.builds(
                lambda it: {"description": "d", "content": {"application/json": {"schema": it}}}, SCHEMAS_OF_ALL_KINDS
            )
            | _JUNK,
            max_size=3,
        )
        | _JUNK,
        "security": _JUNK,
        "callbacks": _JUNK,
    },
)
DOCUMENTS: SearchStrategy[dict[str, Any]] = strategies.builds(
    document,
    strategies.dictionaries(
        _PATHS,
        strategies.dictionaries(strategies.sampled_from(["get", "post", "trace"]), _OPERATIONS | _JUNK, max_size=2)
        | _JUNK,
        max_size=4,
    ),
    version=strategies.sampled_from(["3.0.3", "3.1.0"]),
    schemas=strategies.dictionaries(_NAMES, SCHEMAS_OF_ALL_KINDS | _JUNK, max_size=4),
    servers=strategies.just([{"url": "/"}]) | _JUNK,
)
"""Documents of services: mostly right, wrong here and there, with names that clash."""
