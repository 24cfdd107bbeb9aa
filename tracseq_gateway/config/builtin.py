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


def builtin_service(name: str) -> Tree:
    """Return the table of one of the seven, as an operator would write it."""
    return {"prefix": f"/{name}", "instances": [f"http://127.0.0.1:{PORTS[name]}"]}


def builtin_services() -> Tree:
    """Return the tables of all seven, by name."""
    return {name: builtin_service(name) for name in PORTS}
