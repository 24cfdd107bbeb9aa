"""Consistent hashing with bounded loads: the same key goes to the same instance, unless that has too much to do.

Each instance has many points on a ring, in proportion to its weight; a key takes the first point behind its own place.
When an instance comes or goes, only the keys of its points move. An instance whose load is above the bound is passed
over (Mirrokni, Thorup and Zadimoghaddam, Consistent Hashing with Bounded Loads, 2016).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from hashlib import blake2b

from tracseq_gateway.http.cookies import cookie
from tracseq_gateway.interfaces import Request
from tracseq_gateway.upstream.balance import Candidate, LeastConnections

POINTS = 100
"""Points on the ring for a weight of 1, up to :data:`MOST_POINTS` for an instance."""
MOST_POINTS = 1000

KeyOf = Callable[[Request], bytes | None]


def key_of(setting: str) -> KeyOf:
    """What a request's key is, by the ``hash_by`` of the configuration; None for a request that has none."""
    if setting == "path":
        return lambda request: request.head.path
    if setting == "client":
        return _client
    kind, _, text = setting.partition(":")
    if kind == "header":
        field = text.lower().encode("ascii")
        return lambda request: request.head.get(field)
    name = text.encode("ascii")
    return lambda request: cookie(request.head.get(b"cookie"), name)


def _client(request: Request) -> bytes:
    identity = request.identity
    return identity.client if identity is not None else request.client.encode("ascii", "replace")


class ConsistentHash:
    """A policy; see the module. A request without a key goes where there is least to do."""

    def __init__(self, key: KeyOf, bound: float) -> None:
        """``bound``: how far above the mean a load may be, at least 1."""
        self._key = key
        self._bound = bound
        self._without_key = LeastConnections()
        self._candidates: tuple[str, ...] = ()
        self._places: list[int] = []
        self._owners: list[int] = []

    def choose(self, candidates: Sequence[Candidate], request: Request | None = None) -> int:
        """See :class:`tracseq_gateway.upstream.balance.Policy`."""
        key = self._key(request) if request is not None else None
        if not key:
            return self._without_key.choose(candidates)
        present = tuple(candidate.url for candidate in candidates)
        if present != self._candidates:
            self._build(candidates, present)
        total = 1 + sum(candidate.in_flight for candidate in candidates)
        weights = sum(candidate.weight for candidate in candidates)
        first = bisect_right(self._places, _place(key))
        owners, count = self._owners, len(self._owners)
        for step in range(count):
            index = owners[(first + step) % count]
            candidate = candidates[index]
            if candidate.in_flight < max(1.0, self._bound * total * candidate.weight / weights):
                return index
        return owners[first % count]

    def _build(self, candidates: Sequence[Candidate], present: tuple[str, ...]) -> None:
        points = sorted(
            (_place(b"%b %d" % (candidate.url.encode(), number)), index)
            for index, candidate in enumerate(candidates)
            for number in range(min(POINTS * candidate.weight, MOST_POINTS))
        )
        self._candidates = present
        self._places = [place for place, _ in points]
        self._owners = [owner for _, owner in points]


def _place(key: bytes) -> int:
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")
