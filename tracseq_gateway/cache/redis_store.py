"""Answers in Redis, for all workers of all hosts.

Rules:

1. What is asked is answered within ``redis.call_seconds``, or it is not there: the request goes on to its service.
2. What is to be kept is sent and forgotten; when much is on its way already, it is not kept.
3. How much is kept is counted in Redis itself (``put.lua``), so that answers never take the room of what the rates and
   the revocations need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.cache.kept import Ready, Record, unpack
from tracseq_gateway.cache.keys import Scope
from tracseq_gateway.cache.store import Bounds

MOST_UNDER_WAY = 8 << 20
"""Bytes that are on their way to Redis at most."""
MOST_OWED = 10_000
"""Answers that are still to be dropped when Redis is there again; of more, the first are forgotten."""
PURGED_AT_ONCE = 500
"""Records that one call drops, and about as many as one call of a scan gives."""


class Link(Protocol):
    """The connection to Redis: ``tracseq_gateway.redis.link.RedisLink``."""

    ready: bool

    def call(self, *arguments: bytes | int | str) -> Deferred[Any]:
        """Send a command; fails when the server is not there, does not answer in time, or answers with an error."""


@frozen
class _Script:
    text: bytes
    digest: bytes

    @classmethod
    def of(cls, name: str) -> _Script:
        text = (files(__package__) / name).read_bytes()
        return cls(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode("ascii"))


class RedisStore:
    """See the module, and :class:`tracseq_gateway.cache.store.Store`."""

    shared = True
    _log = Logger()

    def __init__(
        self,
        link: Link,
        prefix: str,
        bounds: Bounds,
        called: Callable[[str, float], None] = lambda outcome, seconds: None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """``called`` is told how each look-up ended, ``ok``, ``error`` or ``timeout``, and how many seconds it took."""
        self._link = link
        self._prefix = f"{prefix}:@cache:".encode()
        self._tables = (f"{prefix}:@cache-index".encode(), f"{prefix}:@cache-sizes".encode())
        self._bounds = bounds
        self._called = called
        self._clock = clock
        self._put, self._drop = _Script.of("put.lua"), _Script.of("drop.lua")
        self.under_way = 0
        """Bytes that are on their way to Redis."""
        self._usage = Bounds(0, 0)
        self._owed: dict[bytes, None] = {}
        """Keys that were dropped here, and not there."""

    @property
    def usage(self) -> Bounds:
        """What Redis said when something was last kept."""
        return self._usage

    def get(self, key: bytes, ready: Ready) -> None:
        """See :class:`tracseq_gateway.cache.store.Store`."""
        if not self._link.ready or key in self._owed:
            ready(None)
            return
        begun = self._clock()
        found: Deferred[Any] = self._link.call(b"GET", self._prefix + key)
        found.addCallbacks(self._found, self._not_found, (begun,), {}, (begun,))
        found.addCallback(ready)
        found.addErrback(lambda failure: self._log.failure("a kept answer could not be used", failure))

    def peek(self, key: bytes) -> Record | None:
        """See :class:`tracseq_gateway.cache.store.Store`: nothing is known here."""
        return None

    def _found(self, data: object, begun: float) -> Record | None:
        self._called("ok", self._clock() - begun)
        if not isinstance(data, bytes):
            return None
        try:
            return unpack(data)
        except ValueError as error:
            self._log.warn("what Redis has for an answer cannot be read: {error}", error=error)
            return None

    def _not_found(self, failure: Failure, begun: float) -> None:
        self._called("error" if hasattr(failure.value, "code") else "timeout", self._clock() - begun)

    def put(self, key: bytes, record: Record, seconds: float) -> None:
        """See :class:`tracseq_gateway.cache.store.Store`."""
        milliseconds = int(seconds * 1000)
        if not self._link.ready or milliseconds <= 0 or record.size > self._bounds.bytes:
            return
        data = record.pack()
        if self.under_way + len(data) > MOST_UNDER_WAY:
            return
        self.under_way += len(data)
        bounds = self._bounds
        done = self._run(
            self._put, [*self._tables, self._prefix + key], data, milliseconds, bounds.bytes, bounds.entries
        )

        def ended(result: object) -> object:
            self.under_way -= len(data)
            return result

        done.addBoth(ended)
        done.addCallbacks(self._kept, self._not_kept, (key,))

    def _kept(self, usage: Any, key: bytes) -> None:
        self._owed.pop(key, None)
        if isinstance(usage, list) and len(usage) == 2:
            self._usage = Bounds(*map(int, usage))

    def _not_kept(self, failure: Failure) -> None:
        self._log.debug("an answer was not kept: {error}", error=failure.getErrorMessage())

    def drop(self, key: bytes) -> None:
        """See :class:`tracseq_gateway.cache.store.Store`. What Redis cannot do now is done when it is there again."""
        self._owed.pop(key, None)
        self._owed[key] = None
        if len(self._owed) > MOST_OWED:
            del self._owed[next(iter(self._owed))]
        if self._link.ready:
            self._pay(key)

    def settle(self) -> None:
        """Redis is there again: drop what was to be dropped while it was away."""
        for key in list(self._owed):
            self._pay(key)

    def _pay(self, key: bytes) -> None:
        dropped = self._run(self._drop, [*self._tables, self._prefix + key])
        dropped.addCallbacks(lambda _: self._owed.pop(key, None), self._not_dropped)

    def _not_dropped(self, failure: Failure) -> None:
        self._log.warn(
            "an answer that may not hold any more could not be dropped yet: {error}", error=failure.getErrorMessage()
        )

    def purge(self, scope: Scope) -> Deferred[int]:
        """See :class:`tracseq_gateway.cache.store.Store`; fails as the calls of Redis do."""
        return Deferred.fromCoroutine(self._purge(scope))

    async def _purge(self, scope: Scope) -> int:
        cursor, dropped, start = b"0", 0, len(self._prefix)
        while True:
            cursor, members = await self._link.call(b"ZSCAN", self._tables[0], cursor, b"COUNT", PURGED_AT_ONCE)
            meant = [key for key in members[::2] if scope.takes_in(key[start:])]
            for at in range(0, len(meant), PURGED_AT_ONCE):
                batch = meant[at : at + PURGED_AT_ONCE]
                dropped += await self._run(self._drop, [*self._tables, *batch])
            if cursor == b"0":
                return dropped

    def _run(self, script: _Script, keys: Sequence[bytes], *arguments: bytes | int) -> Deferred[Any]:
        """Run a script, which Redis may have to be told first."""

        def told(failure: Failure) -> Deferred[Any]:
            if getattr(failure.value, "code", "") != "NOSCRIPT":
                failure.raiseException()
            return self._link.call(b"EVAL", script.text, len(keys), *keys, *arguments)

        return self._link.call(b"EVALSHA", script.digest, len(keys), *keys, *arguments).addErrback(told)
