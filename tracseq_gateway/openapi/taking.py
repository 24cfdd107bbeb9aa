"""Takes over the whole document of one service: its operations at their public paths, and what they refer to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from attrs import frozen

from tracseq_gateway.openapi.addresses import Address, bases
from tracseq_gateway.openapi.grammar import COMPONENTS, STAND_INS, operation, parameter
from tracseq_gateway.openapi.reading import Raw
from tracseq_gateway.openapi.schemas import discriminate
from tracseq_gateway.openapi.shapes import listing, text
from tracseq_gateway.openapi.walk import Key, Unfit, Walk

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
"""Those that the gateway passes on: not TRACE."""
MOST_OPERATIONS: Final = 5000
LONGEST_SHORT_TEXT: Final = 200

_NO_PARAMETERS: Final = {("header", "accept"), ("header", "content-type"), ("header", "authorization")}
"""Parameters that mean nothing, for OpenAPI has other places for them."""
_PARAMETER = re.compile(r"\{([^{}]+)\}")


@frozen
class Operation:
    """One operation of a service."""

    method: str
    """In lower case, as in a path item."""
    path: str
    """The public one."""
    body: dict[str, Any]
    """The operation object, without tags, servers and security."""
    tags: tuple[str, ...] = ()


@frozen
class Taken:
    """What was taken over of one document. References stand in it as :class:`~.walk.Reference`."""

    title: str
    version: str
    description: str
    tags: Mapping[str, str]
    """Descriptions by the names of tags."""
    operations: tuple[Operation, ...]
    components: Mapping[Key, Any]
    notes: tuple[str, ...]
    """What was left out and why, in sentences without a full stop."""


def take(raw: Raw, address: Address, document_path: str) -> Taken:
    """Take over what is of use. ``document_path`` is where the document was fetched.

    :raises Unusable: when following its references makes too much of it.
    """
    walk = Walk(raw)
    operations = tuple(_operations(raw.content, walk, address, document_path))
    if raw.content.get("webhooks"):
        walk.notes.add("webhooks were left out: they do not come through the gateway")
    info = raw.content.get("info")
    info = info if isinstance(info, dict) else {}
    return Taken(
        _short(info.get("title")),
        _short(info.get("version")),
        info["description"][:5000] if isinstance(info.get("description"), str) else "",
        _tags(raw.content.get("tags")),
        operations,
        _components(walk),
        tuple(walk.notes.lines()),
    )


def _short(value: object) -> str:
    return " ".join(value.split())[:LONGEST_SHORT_TEXT] if isinstance(value, str) else ""


def _tags(value: object) -> dict[str, str]:
    found = {}
    for tag in value[:1000] if isinstance(value, list) else ():
        if isinstance(tag, dict) and isinstance(tag.get("description"), str):
            found[_short(tag.get("name"))] = tag["description"][:5000]
    return found


def _components(walk: Walk) -> dict[Key, Any]:
    """Take over what was referred to, and what that refers to."""
    taken: dict[Key, Any] = {}
    heirs = _heirs(walk)
    while walk.wanted:
        wanted, walk.wanted = walk.wanted, []
        for key in wanted:
            if key in taken:
                continue
            with walk.at("/".join(key.pointer)):
                try:
                    value = COMPONENTS[key.kind](walk.find(key.pointer), walk)
                    if key.kind == "schemas" and isinstance(value, dict) and "discriminator" in value:
                        discriminate(value, [walk.refer("schemas", heir) for heir in heirs.get(key.pointer, ())])
                    taken[key] = value
                except Unfit as unfit:
                    walk.leave(unfit)
                    taken[key] = STAND_INS[key.kind]
    return taken


def _heirs(walk: Walk) -> dict[tuple[str, ...], list[str]]:
    """References to the schemas that are made of another by ``allOf``, by where that is: who refers to it may mean
    them."""
    found: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    schemas = walk.find_schemas()
    for name, value in schemas.items():
        parts = value.get("allOf") if isinstance(value, dict) else None
        for part in parts if isinstance(parts, list) else ():
            base = part.get("$ref") if isinstance(part, dict) else None
            if isinstance(base, str) and base.startswith("#/components/schemas/"):
                escaped = name.replace("~", "~0").replace("/", "~1")
                found[("components", "schemas", base[21:])].append(f"#/components/schemas/{quote(escaped)}")
    return found


def _operations(document: Mapping[str, Any], walk: Walk, address: Address, document_path: str) -> Iterator[Operation]:
    paths = document.get("paths")
    paths = paths if isinstance(paths, dict) else {}
    base = address.best_base(bases(document.get("servers"), document_path), list(paths)[:MOST_OPERATIONS])
    seen: set[tuple[str, str]] = set()
    for path, item in paths.items():
        with walk.at(path):
            for found in _of_path(path, item, walk, address, base, document_path):
                key = (found.method, _PARAMETER.sub("{}", found.path))
                if key in seen:
                    walk.leave("operations that are there already were left out")
                elif len(seen) >= MOST_OPERATIONS:
                    walk.leave(f"operations beyond the first {MOST_OPERATIONS} were left out")
                else:
                    seen.add(key)
                    yield found


def _of_path(path: str, item: Any, walk: Walk, address: Address, base: str, document_path: str) -> Iterator[Operation]:
    """The operations of one path item; each may name servers of its own."""
    try:
        if isinstance(item, dict) and "$ref" in item:
            _, item = walk.follow("pathItems", item["$ref"])
        if not isinstance(item, dict):
            raise Unfit("paths that are none were left out")
    except Unfit as unfit:
        walk.leave(unfit)
        return
    for method in METHODS:
        value = item.get(method)
        if value is None:
            continue
        with walk.at(method):
            try:
                if not isinstance(value, dict):
                    raise Unfit("operations that are none were left out")
                servers = value.get("servers") or item.get("servers")
                at = address.best_base(bases(servers, document_path), [path]) if servers else base
                public = address.locate(at, path)
                if public is None:
                    raise Unfit("paths that no client gets to through the gateway were left out")
                yield _operation(method, public, value, item, walk)
            except Unfit as unfit:
                walk.leave(unfit)


def _operation(method: str, path: str, value: dict[str, Any], item: dict[str, Any], walk: Walk) -> Operation:
    body = operation(value, walk)
    for name in ("summary", "description"):
        if name not in body and isinstance(item.get(name), str):
            body[name] = text(item[name], walk)
    parameters = _parameters(path, value, item, walk)
    if parameters:
        body["parameters"] = parameters
    tags = value.get("tags")
    return Operation(method, path, body, tuple(filter(None, map(_short, tags))) if isinstance(tags, list) else ())


def _parameters(path: str, value: dict[str, Any], item: dict[str, Any], walk: Walk) -> list[dict[str, Any]]:
    """The parameters of an operation and of its path: those of the path's template all and only, the others once."""
    named = _PARAMETER.findall(path)
    taken: dict[tuple[str, str], dict[str, Any]] = {
        ("path", name): {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in named
    }
    for source in (item, value):  # the operation's own win
        for found in _some_parameters(source.get("parameters") or [], walk):
            key = (found["in"], found["name"].lower() if found["in"] == "header" else found["name"])
            if key not in _NO_PARAMETERS and (found["in"] != "path" or found["name"] in named):
                taken[key] = found
    return list(taken.values())


def _some_parameters(value: Any, walk: Walk) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = listing(parameter)(value, walk)
    except Unfit as unfit:
        walk.leave(unfit)
        return []
    return found
