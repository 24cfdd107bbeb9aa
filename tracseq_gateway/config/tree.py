"""Plain tables, as tomllib gives them: setting a value by its path, and laying one table over another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Tree = dict[str, Any]


def put(tree: Tree, path: tuple[str, ...], value: object) -> bool:
    """Set the value at a path, and make the tables on the way; return False when there is something else on it.

    Tables on the way are replaced by copies, so that a table that belongs to somebody else stays as it is.
    """
    *way, last = path
    table = tree
    for name in way:
        below = table.get(name, {})
        if not isinstance(below, dict):
            return False
        table[name] = table = dict(below)
    table[last] = value
    return True


def holds(tree: Tree, path: tuple[str, ...]) -> bool:
    """Tell whether something stands at a path."""
    table: Any = tree
    for name in path:
        if not isinstance(table, dict) or name not in table:
            return False
        table = table[name]
    return True


def is_deeper(value: object, levels: int) -> bool:
    """Tell whether tables and arrays lie within each other beyond a number of levels."""
    layer = [value]
    for _ in range(levels):
        layer = [
            part
            for outer in layer
            if isinstance(outer, dict | list)
            for part in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(part, dict | list) for part in layer)


def merged(own: Tree, shared: Tree) -> Tree:
    """Return ``own`` over ``shared``, table by table."""
    result = {**shared, **own}
    for name in own.keys() & shared.keys():
        if isinstance(own[name], dict) and isinstance(shared[name], dict):
            result[name] = merged(own[name], shared[name])
    return result


def only_in(shared: Tree, own: Tree) -> Iterator[tuple[str, ...]]:
    """Yield the shortest paths of what :func:`merged` takes from ``shared``."""
    for name, value in shared.items():
        if name not in own:
            yield (name,)
        elif isinstance(value, dict) and isinstance(own[name], dict):
            yield from ((name, *path) for path in only_in(value, own[name]))
