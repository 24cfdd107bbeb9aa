"""What the services must be beside each other: each has a prefix and instances, and no two want the same paths.

This looks at tables, not at the model, so that one service's mistake does not hide another's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tracseq_gateway.config.model import OWN_PATHS
from tracseq_gateway.config.problem import KeyPath, Problem, Wrong, dotted, show
from tracseq_gateway.config.sources import Sources
from tracseq_gateway.config.texts import path


def check_services(services: object, sources: Sources) -> list[Problem]:
    """Return what is wrong between services, and what each lacks."""
    if not isinstance(services, dict):
        return []
    tables = {name: table for name, table in services.items() if isinstance(table, dict)}
    problems = [problem for name, table in tables.items() for problem in _lacks(name, table, sources)]
    prefixes = dict(_prefixes(tables))
    for name, prefix in prefixes.items():
        problems += _clashes(name, prefix, prefixes, sources)
    return problems


def _lacks(name: str, table: Mapping[str, object], sources: Sources) -> Iterator[Problem]:
    here: KeyPath = ("services", name)
    if "prefix" not in table:
        yield sources.problem(here, "has no prefix", f'prefix = "/{name}" would be right')
    if table.get("instances", []) in ([], ()) and "discovery" not in table:
        yield sources.problem(here, "has no instance", 'instances = ["http://host:port"] or a discovery would be right')


def _prefixes(tables: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, str]]:
    """Yield name and normal prefix of each service whose prefix is right in itself."""
    for name, table in tables.items():
        prefix = table.get("prefix")
        if isinstance(prefix, str):
            try:
                yield name, path(prefix)
            except Wrong:
                continue  # reported where the service is structured


def _clashes(name: str, prefix: str, prefixes: Mapping[str, str], sources: Sources) -> Iterator[Problem]:
    here: KeyPath = ("services", name, "prefix")
    if any(is_within(prefix, own) for own in OWN_PATHS):
        yield sources.problem(
            here, f"{show(prefix)} is the gateway's own", f"a prefix outside {', '.join(OWN_PATHS)} would be right"
        )
    for other, its_prefix in prefixes.items():
        if other == name:
            break
        if its_prefix == prefix:
            yield sources.problem(
                here,
                f"{show(prefix)} is the prefix of {dotted(('services', other))} too",
                f"a prefix that {dotted(('services', name))} has for itself would be right",
            )
    enclosing = [other for other, its in prefixes.items() if its not in (prefix, "/") and is_within(prefix, its)]
    if enclosing:
        around = max(enclosing, key=lambda other: len(prefixes[other]))
        yield sources.problem(
            here,
            f"{show(prefix)} lies within {show(prefixes[around])} of {dotted(('services', around))}",
            "the longest prefix that matches a request wins",
            "warning",
        )


def is_within(prefix: str, other: str) -> bool:
    """Tell whether a prefix is another one or below it, by whole segments."""
    return prefix == other or prefix.startswith(other + "/")
