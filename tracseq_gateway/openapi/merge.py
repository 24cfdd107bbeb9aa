"""One document of all services and of the gateway itself. Pure: values in, a value out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from attrs import frozen

from tracseq_gateway.openapi.demands import PROBLEM_SCHEMA, Demand, common_responses, complete
from tracseq_gateway.openapi.names import component_names, operation_ids, renamed
from tracseq_gateway.openapi.taking import Operation, Taken
from tracseq_gateway.openapi.walk import Key

OWN_TAG: Final = "This gateway"
ROUTED_METHODS: Final = ("get", "post", "put", "patch", "delete")
"""What is listed of a service without a document."""

State = Literal["current", "stale", "none"]


@frozen
class Front:
    """What the gateway says of itself."""

    title: str
    version: str
    schemes: Mapping[str, Any]
    """Security schemes by name; none: nobody is asked who he is."""
    rate_fields: bool
    """Whether answers carry ``RateLimit``."""
    paths: Mapping[str, Any]
    """Path items of the gateway's own pages, without tags."""
    schemas: Mapping[str, Any]
    """Schemas that these refer to."""


@frozen
class Part:
    """One service."""

    name: str
    prefix: str
    taken: Taken | None
    """None: there is no document."""
    state: State
    note: str = ""
    """Why the document is not current, or is not there; empty if there is nothing to say."""
    remarks: tuple[str, ...] = ()
    """What holds for all of the service, in sentences."""
    demand: Callable[[str, str], Demand] = lambda method, path: Demand()
    """What the gateway asks of a method (in lower case) and a public path."""


def merge(front: Front, parts: Sequence[Part]) -> dict[str, Any]:
    """Return the document, OpenAPI 3.1."""
    schemas = {**front.schemas, "Problem": dict(PROBLEM_SCHEMA)}
    responses = common_responses(front.rate_fields)
    names = component_names(
        {part.name: part.taken.components for part in parts if part.taken is not None},
        {"schemas": schemas.keys(), "responses": responses.keys()},
    )
    components: dict[str, dict[str, Any]] = {"schemas": schemas, "responses": responses}
    for part in parts:
        _add_components(components, part, names)
    if front.schemes:
        components["securitySchemes"] = dict(front.schemes)
    own = _own_paths(front)
    tags = {OWN_TAG: [{"name": OWN_TAG, "description": "What the gateway itself answers."}]}
    tags |= {part.name: list(_tags(part)) for part in parts}
    return {
        "openapi": "3.1.0",
        "info": {"title": front.title, "version": front.version, "description": _description(parts)},
        "servers": [{"url": "/"}],
        "security": [],
        "tags": [tag for group in tags.values() for tag in group],
        "paths": {**own, **_paths(parts, names, front.schemes, own)},
        "components": {kind: dict(sorted(found.items())) for kind, found in components.items() if found},
        "x-tagGroups": [{"name": name, "tags": [tag["name"] for tag in group]} for name, group in tags.items()],
        "x-services": [_summary(part) for part in parts],
    }


def _naming(service: str, names: Mapping[tuple[str, Key], str]) -> Callable[[Key], str]:
    return lambda key: names[service, key]


def _add_components(components: dict[str, dict[str, Any]], part: Part, names: Mapping[tuple[str, Key], str]) -> None:
    if part.taken is None:
        return
    name = _naming(part.name, names)
    for key, value in part.taken.components.items():
        section = components.setdefault(key.kind, {})
        if name(key) not in section:
            section[name(key)] = renamed(value, name)


def _own_paths(front: Front) -> dict[str, Any]:
    return {
        path: {method: {**operation, "tags": [OWN_TAG], "security": []} for method, operation in item.items()}
        for path, item in front.paths.items()
    }


def _paths(
    parts: Sequence[Part], names: Mapping[tuple[str, Key], str], schemes: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    reserved = [operation["operationId"] for item in own.values() for operation in item.values()]
    listed = [(part, operation) for part in parts for operation in _operations(part)]
    wanted = [
        (index, operation.body["operationId"])
        for index, (_, operation) in enumerate(listed)
        if "operationId" in operation.body
    ]
    ids = operation_ids([(listed[index][0].name, wish) for index, wish in wanted], reserved)
    id_of = dict(zip((index for index, _ in wanted), ids, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for index, (part, operation) in enumerate(listed):
        body = renamed(operation.body, _naming(part.name, names))
        if index in id_of:
            body["operationId"] = id_of[index]
        body = complete(body, operation.path, part.demand(operation.method, operation.path), schemes)
        tags = [_tag(part.name, tag) for tag in operation.tags] or [part.name]
        paths.setdefault(operation.path, {})[operation.method] = {"tags": list(dict.fromkeys(tags)), **body}
    return paths


def _tag(service: str, tag: str) -> str:
    return service if tag.lower() == service.lower() else f"{service}: {tag}"


def _operations(part: Part) -> Iterator[Operation]:
    if part.taken is not None and part.taken.operations:
        yield from part.taken.operations
        return
    prefix = part.prefix.rstrip("/")
    below = {"name": "path", "in": "path", "required": True, "schema": {"type": "string"}}
    for path, parameters in ((prefix or "/", []), (f"{prefix}/{{path}}", [below])):
        for method in ROUTED_METHODS:
            body: dict[str, Any] = {
                "summary": f"{'Anything below ' if parameters else ''}{prefix or '/'}",
                "description": "The service has no document that could be shown; the path may have several segments.",
                "responses": {"default": {"description": "What the service answers."}},
            }
            yield Operation(method, path, {**body, "parameters": parameters} if parameters else body)


def _tags(part: Part) -> Iterator[dict[str, str]]:
    """The tags of one service: one by its name, and its own behind it."""
    taken = part.taken
    said = [f"Below `{part.prefix}`.", *part.remarks, *([part.note] if part.note else [])]
    used = dict.fromkeys(_tag(part.name, tag) for one in (taken.operations if taken else ()) for tag in one.tags)
    described = {_tag(part.name, tag): text for tag, text in (taken.tags.items() if taken else ())}
    text = [" ".join(said), (taken.description if taken else ""), described.pop(part.name, "")]
    yield {"name": part.name, "description": "\n\n".join(filter(None, text))}
    for tag in used:
        if tag != part.name:
            yield {"name": tag, **({"description": described[tag]} if tag in described else {})}


def _description(parts: Sequence[Part]) -> str:
    """What is behind the gateway, as a list in Markdown."""
    lines = ["All that can be called through this gateway, service by service.", ""]
    for part in parts:
        shown = part.note or ("" if part.state == "current" else "There is no document.")
        lines.append(f"- **{part.name}** at `{part.prefix}`{': ' + shown if shown else ''}")
    return "\n".join(lines)


def _summary(part: Part) -> dict[str, Any]:
    taken = part.taken
    made: dict[str, Any] = {"name": part.name, "prefix": part.prefix, "document": part.state}
    if taken is not None:
        made |= {"title": taken.title, "version": taken.version, "operations": len(taken.operations)}
    notes = [*([part.note] if part.note else []), *(taken.notes if taken else ())]
    return made | ({"notes": notes} if notes else {})
