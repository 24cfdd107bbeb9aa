"""Where answers are kept."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen
from twisted.internet.defer import Deferred

from tracseq_gateway.cache.kept import Ready, Record
from tracseq_gateway.cache.keys import Scope


@frozen
class Bounds:
    """What a store may hold."""

    bytes: int
    entries: int


class Store(Protocol):
    """A store never fails a request: what it cannot give is not there, and what it cannot take is not kept."""

    shared: bool
    """Whether it is one for all workers."""

    def get(self, key: bytes, ready: Ready) -> None:
        """Have ``ready`` called once with what is kept by ``key``, or with None; perhaps at once."""

    def peek(self, key: bytes) -> Record | None:
        """What is known to be kept by ``key``, without asking anybody; it does not count as asked for."""

    def put(self, key: bytes, record: Record, seconds: float) -> None:
        """Keep a record for so many seconds at most, in the place of what was there."""

    def drop(self, key: bytes) -> None:
        """Keep what is there no longer."""

    def purge(self, scope: Scope) -> Deferred[int]:
        """Drop all that is meant; fires with how many answers that were."""

    @property
    def usage(self) -> Bounds:
        """How much is kept, as far as it is known."""
