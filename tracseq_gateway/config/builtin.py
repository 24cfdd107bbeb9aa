"""The platform's seven services: where they are when nobody says so."""

from __future__ import annotations

from collections.abc import Mapping

from tracseq_gateway.config.tree import Tree

PORTS: Mapping[str, int] = {
    "auth": 8080,
    "samples": 8081,
    "storage": 8082,
    "templates": 8083,
    "sequencing": 8084,
    "notifications": 8085,
    "rag": 8086,
}


LARGE_BODIES: Mapping[str, str] = {"rag": "100MiB"}
"""The platform's largest file, for the service that takes files; the others keep the model's default."""


def builtin_service(name: str, tree: Tree) -> Tree:
    """Return the table of one of the seven, as an operator would write it; ``tree``'s own ``[defaults]`` win."""
    defaults = tree.get("defaults", {})
    service: Tree = {"prefix": f"/{name}", "instances": [f"http://127.0.0.1:{PORTS[name]}"]}
    if name in LARGE_BODIES and not (isinstance(defaults, dict) and "max_body" in defaults):
        service["max_body"] = LARGE_BODIES[name]
    return service


def builtin_services(tree: Tree) -> Tree:
    """Return the tables of all seven, by name."""
    return {name: builtin_service(name, tree) for name in PORTS}
