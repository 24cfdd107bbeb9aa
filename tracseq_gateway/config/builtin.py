"""The platform's seven services: where they are when nobody says so, and what holds for them by their names."""

from __future__ import annotations

from collections.abc import Mapping

from tracseq_gateway.config.tree import Tree, put

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

RATES: Mapping[str, Tree] = {
    name: {"requests_per_minute": rate, "burst": 2 * rate}
    for name, rate in {
        "auth": 50,
        "samples": 200,
        "storage": 150,
        "templates": 100,
        "sequencing": 300,
        "notifications": 100,
        "rag": 80,
    }.items()
}
"""The platform's rate for each client."""

PUBLIC: Mapping[str, list[str]] = {
    "auth": ["/login", "/register", "/refresh", "/forgot-password", "/reset-password", "/verify-email"]
}
"""Paths below the prefix that are called by those who have no token yet."""

UPLOADS: Mapping[str, Tree] = {"rag": {"paths": ["/documents/upload"], "form": "file"}}
"""Where large files are taken, by resumable uploads too once they have a directory."""


def builtin_service(name: str, tree: Tree) -> Tree:
    """Return the table of one of the seven, as an operator would write it; ``tree``'s own ``[defaults]`` win."""
    service: Tree = {"prefix": f"/{name}", "instances": [f"http://127.0.0.1:{PORTS[name]}"]}
    if name in LARGE_BODIES and "max_body" not in _defaults(tree):
        service["max_body"] = LARGE_BODIES[name]
    return service


def builtin_services(tree: Tree) -> Tree:
    """Return the tables of all seven, by name."""
    return {name: builtin_service(name, tree) for name in PORTS}


def lay_under(tree: Tree) -> None:
    """Give the services of the platform's names its rates, public paths and uploads, where the tree says nothing else.

    A service's own value wins, then that of ``[defaults]``; each is taken as a whole.
    """
    services = tree["services"]
    if not isinstance(services, dict):
        return
    for key, values in (("rate_limit", RATES), ("public", PUBLIC), ("uploads", UPLOADS)):
        for name in services.keys() & values.keys():
            if isinstance(services[name], dict) and key not in services[name] and key not in _defaults(tree):
                put(tree, ("services", name, key), values[name])


def _defaults(tree: Tree) -> Tree:
    defaults = tree.get("defaults", {})
    return defaults if isinstance(defaults, dict) else {}
