"""Work that would hold up the reactor, in its threads: few pieces at once, the others in the order in which they came.

The threads are also those that look up names of hosts, so that encoding must not take them all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

Work = Callable[[], bytes]
Ended = Callable[[bytes | Failure], None]


class OffLoop:
    """Whoever wants something done has one piece at a time here, so what waits is bounded by how many they are."""

    def __init__(self, in_thread: Callable[[Work], Deferred[bytes]], most: int = 2) -> None:
        """``in_thread`` calls a function in a thread; ``most``: how many at once."""
        self._in_thread = in_thread
        self._most = most
        self._waiting: deque[tuple[Work, Ended]] = deque()
        self.running = 0
        """How many threads are at work."""

    def run(self, work: Work, ended: Ended) -> None:
        """Have ``work`` done in a thread; then ``ended`` is called in the reactor's, with its result or its failure."""
        if self.running < self._most:
            self._start(work, ended)
        else:
            self._waiting.append((work, ended))

    def _start(self, work: Work, ended: Ended) -> None:
        self.running += 1

        def finish(outcome: bytes | Failure) -> None:
            self.running -= 1
            if self._waiting:
                self._start(*self._waiting.popleft())
            ended(outcome)

        self._in_thread(work).addBoth(finish)
