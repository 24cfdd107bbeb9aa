"""Answers in the memory of one worker: what was not asked for the longest goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from tracseq_gateway.cache.kept import Kept, Ready, Record
from tracseq_gateway.cache.keys import Scope
from tracseq_gateway.cache.store import Bounds


class MemoryStore:
    """See :class:`tracseq_gateway.cache.store.Store`."""

    shared = False

    def __init__(self, bounds: Bounds, now: Callable[[], float]) -> None:
        """``now`` gives seconds of any clock that does not go back."""
        self._bounds = bounds
        self._now = now
        self._records: OrderedDict[bytes, tuple[Record, float, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: bytes, ready: Ready) -> None:
        """See :class:`tracseq_gateway.cache.store.Store`: at once."""
        ready(self.find(key))

    def find(self, key: bytes) -> Record | None:
        """What is kept by ``key``; it counts as asked for."""
        found = self._records.get(key)
        if found is None:
            return None
        record, until, _ = found
        if self._now() >= until:
            self.drop(key)
            return None
        self._records.move_to_end(key)
        return record

    def peek(self, key: bytes) -> Record | None:
        """See :class:`tracseq_gateway.cache.store.Store`."""
        record, until, _ = self._records.get(key, (None, 0.0, 0))
        return record if self._now() < until else None

    def put(self, key: bytes, record: Record, seconds: float) -> None:
        """See :class:`tracseq_gateway.cache.store.Store`."""
        self.drop(key)
        size = record.size + len(key)
        if size > self._bounds.bytes or seconds <= 0:
            return
        self._records[key] = (record, self._now() + seconds, size)
        self._bytes += size
        while self._bytes > self._bounds.bytes or len(self._records) > self._bounds.entries:
            self._bytes -= self._records.popitem(last=False)[1][2]

    def drop(self, key: bytes) -> None:
        """See :class:`tracseq_gateway.cache.store.Store`."""
        found = self._records.pop(key, None)
        if found is not None:
            self._bytes -= found[2]

    def purge(self, scope: Scope) -> Deferred[int]:
        """See :class:`tracseq_gateway.cache.store.Store`."""
        meant = [key for key in self._records if scope.takes_in(key)]
        answers = sum(isinstance(self._records[key][0], Kept) for key in meant)
        for key in meant:
            self.drop(key)
        return succeed(answers)

    @property
    def usage(self) -> Bounds:
        """See :class:`tracseq_gateway.cache.store.Store`."""
        return Bounds(self._bytes, len(self._records))
