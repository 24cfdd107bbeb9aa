"""The route table: pure data, from a normalised path to a route.

Prefixes match on whole segments, the longest first. A look-up costs one dict access for each length that some prefix
has and the path can have, however many routes there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from attrs import frozen

T = TypeVar("T")


@frozen
class Route(Generic[T]):
    """One prefix and what stands behind it."""

    prefix: bytes
    """Without a trailing slash; empty for ``/``."""
    rewrite: bytes
    """What stands for the prefix upstream, without a trailing slash; may be empty."""
    target: T

    def upstream_path(self, path: bytes) -> bytes:
        """Put the rewrite in the prefix's place: ``/samples/1`` becomes ``/api/v1/1``, ``/samples`` ``/api/v1/``."""
        return self.rewrite + (path[len(self.prefix) :] or b"/")


class DuplicatePrefix(ValueError):
    """Two routes have one prefix."""


class RouteTable(Generic[T]):
    """Finds the route of a path."""

    def __init__(self, routes: Iterable[Route[T]]) -> None:
        self._routes: dict[bytes, Route[T]] = {}
        for route in routes:
            if route.prefix in self._routes:
                raise DuplicatePrefix(f"two routes for {route.prefix.decode('ascii') or '/'}")
            self._routes[route.prefix] = route
        self._depth = max((prefix.count(b"/") for prefix in self._routes), default=0)
        self._root = self._routes.get(b"")

    def __len__(self) -> int:
        return len(self._routes)

    def find(self, path: bytes) -> Route[T] | None:
        """Return the route with the longest prefix of whole segments of ``path``, or None."""
        routes = self._routes
        if self._depth == 1:
            # The usual table: /samples, /storage, ... One slice, one look-up.
            end = path.find(b"/", 1)
            return routes.get(path if end < 0 else path[:end], self._root)
        ends: list[int] = []
        at = 0
        for _ in range(self._depth):
            at = path.find(b"/", at + 1)
            if at < 0:
                ends.append(len(path))
                break
            ends.append(at)
        for end in reversed(ends):
            route = routes.get(path[:end])
            if route is not None and end:
                return route
        return self._root
