"""Warnings about keys that the model knows and this version does not act on.

A policy that is written down and not there is worse than none, so each such key is named, whatever its value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_type_hints

import attrs

from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.config.problem import KeyPath, Problem
from tracseq_gateway.config.sources import Sources
from tracseq_gateway.config.tree import Tree


def warnings(tree: Tree, sources: Sources) -> list[Problem]:
    """Return one warning for each key that the tree sets and that this version does not act on."""
    found = [*_set_keys(tree, Config, ()), *_set_keys(tree.get("defaults"), Service, ("defaults",))]
    return [
        sources.problem(
            path,
            f"known, but this version does not act on it ({policy})",
            "it has no effect until a later version",
            "warning",
        )
        for path, policy in found
    ]


def _set_keys(table: object, kind: type[Any], path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Yield the path and the policy of each planned key in a table; a planned table counts as one key."""
    if not isinstance(table, dict):
        return
    hints = get_type_hints(kind)
    for field in attrs.fields(kind):
        if field.name not in table:
            continue
        here, value = (*path, field.name), table[field.name]
        if field.metadata["planned"]:
            yield here, field.metadata["planned"]
        elif here == ("services",) and isinstance(value, dict):
            for name, service in value.items():
                yield from _set_keys(service, Service, (*here, name))
        elif attrs.has(hints[field.name]):
            yield from _set_keys(value, hints[field.name], here)
