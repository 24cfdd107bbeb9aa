"""From the merged tree to the model: each table on its own, each service with what ``[defaults]`` gives it."""

from __future__ import annotations

import re
from typing import Any, get_type_hints

import attrs
from cattrs import Converter

from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.config.problem import KeyPath, Problem, Wrong
from tracseq_gateway.config.references import check_references
from tracseq_gateway.config.sources import Sources
from tracseq_gateway.config.structure import Fault, make_converter, structure, unknown_key
from tracseq_gateway.config.tree import Tree, merged, only_in
from tracseq_gateway.config.values import mistyped

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OWN_KEYS = ("prefix", "instances", "discovery")
"""What every service has for itself, so that ``[defaults]`` cannot have it."""


def compose(tree: Tree, sources: Sources) -> tuple[Config | None, list[Problem]]:
    """Return the configuration and no problem, or None and all that is wrong with single values."""
    converter = make_converter()
    hints = get_type_hints(Config)
    faults: list[Fault] = _unknown_tables(tree)
    tables: dict[str, Any] = {}
    for name in (field.name for field in attrs.fields(Config) if field.name != "services"):
        tables[name], found = structure(converter, hints[name], tree.get(name, {}), (name,))
        faults += found
    shared, found = _shared(converter, tree.get("defaults", {}))
    faults += found
    tables["services"], found = _services(converter, tree["services"], shared, sources)
    faults += found
    if isinstance(tree["services"], dict):
        faults += check_references(tables)
    if faults:
        # A wrong default is found again in each service that takes it, but it is one problem, in one place.
        return None, list(dict.fromkeys(sources.fault(path, wrong) for path, wrong in faults))
    return Config(**tables), []


def _unknown_tables(tree: Tree) -> list[Fault]:
    known = [*(field.name for field in attrs.fields(Config)), "defaults"]
    return [((name,), unknown_key(name, known)) for name in tree if name not in known]


def _shared(converter: Converter, table: object) -> tuple[Tree, list[Fault]]:
    """Return what every service inherits, checked as if it were a service of its own."""
    if not isinstance(table, dict):
        return {}, [(("defaults",), mistyped(table, "a table"))]
    faults: list[Fault] = [
        (("defaults", name), Wrong("is each service's own", f"{name} in [services.NAME] would be right"))
        for name in _OWN_KEYS
        if name in table
    ]
    shared = {name: value for name, value in table.items() if name not in _OWN_KEYS}
    _, found = _service(converter, "defaults", shared, ("defaults",))
    return shared, faults + found


def _services(
    converter: Converter, tables: object, shared: Tree, sources: Sources
) -> tuple[dict[str, Service | None], list[Fault]]:
    services: dict[str, Service | None] = {}
    if not isinstance(tables, dict):
        return services, [(("services",), mistyped(tables, "a table of services"))]
    faults: list[Fault] = []
    for name, table in tables.items():
        here: KeyPath = ("services", name)
        if not _NAME.fullmatch(name):
            faults.append((here, Wrong("is no name for a service", "letters, digits, - and _ would be right")))
        if isinstance(table, dict):
            for path in only_in(shared, table):
                sources.inherit(here + path, ("defaults", *path))
            table = merged(table, shared)
        services[name], found = _service(converter, name, table, here)
        faults += found
    return services, faults


def _service(converter: Converter, name: str, table: object, here: KeyPath) -> tuple[Service | None, list[Fault]]:
    """Structure one service, whose name is not a key but that of its table."""
    if not isinstance(table, dict):
        return None, [(here, mistyped(table, "a table"))]
    service, faults = structure(converter, Service, {**table, "name": name}, here)
    if "name" in table:
        faults.append(((*here, "name"), Wrong("unknown key", "the table's own name is the service's")))
    return service, faults
