"""Finds out that a worker's reactor turns no more.

A blocked reactor is not dead: its process lives, its connections stay open, and the kernel goes on to give it new
ones. So a worker that serves is pinged; whoever does not answer is past helping itself.

House rules:

1. Beats are counted, not seconds. A supervisor that was stopped itself, or whose clock was set, finds at most one beat
   due when it wakes, and what was answered meanwhile is read before the next: it must not kill who did nothing wrong.
2. One ping is under way at a time, so that nothing piles up before a worker that reads nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

BEAT: Final = 0.5
"""Seconds between two pings at most."""
HESITATION: Final = 2
"""Beats after which a worker that has not answered is said to waver."""
BEATS: Final = 20
"""Beats at least within the time that a worker is given."""
STACK_SECONDS: Final = 0.5
"""What a stuck worker gets at most to write its stack."""


class Watchdog:
    """Watches over one worker between :meth:`start` and :meth:`stop`."""

    def __init__(
        self,
        reactor: IReactorTime,
        seconds: float,
        ping: Callable[[], Deferred[object]],
        wavers: Callable[[], None],
        silent: Callable[[float], None],
    ) -> None:
        """``ping`` asks the worker, ``wavers`` is called when :attr:`wavering` changes.

        ``silent`` is called once, with the seconds for which a ping was not answered, and so early that who then waits
        for :attr:`stack_seconds` and kills has done so within ``seconds`` after the worker got stuck. 0: nobody is
        watched.
        """
        self._reactor = reactor
        self._beat = min(BEAT, seconds / BEATS)
        self.stack_seconds: float = min(STACK_SECONDS, seconds / 4)
        """How long the worker may write its stack."""
        # The worker may have hung since just after its last answer, a beat before the ping that it misses; and another
        # beat is for what timers are late.
        self._most = round((seconds - self.stack_seconds) / self._beat) - 2 if seconds else 0
        self._ping = ping
        self._wavers = wavers
        self._silent = silent
        self._missed = 0
        self._waiting = False
        self._next: IDelayedCall | None = None
        self._log = Logger()

    @property
    def wavering(self) -> bool:
        """Whether the worker has not answered for a while, which may mean nothing yet."""
        return self._missed >= HESITATION

    def start(self) -> None:
        """Begin to watch."""
        if self._most:
            self._next = self._reactor.callLater(self._beat, self._turn)

    def stop(self) -> None:
        """Watch no more; may be called at any time."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _turn(self) -> None:
        self._next = None
        if self._waiting:
            self._missed += 1
            if self._missed == HESITATION:
                self._wavers()
            if self._missed == self._most:
                self._silent(self._missed * self._beat)
                return
        else:
            self._waiting = True
            self._ping().addCallbacks(self._answered, self._failed)
        self._next = self._reactor.callLater(self._beat, self._turn)

    def _answered(self, _: object) -> None:
        wavered = self.wavering
        self._waiting = False
        self._missed = 0
        if wavered:
            self._wavers()

    def _failed(self, failure: Failure) -> None:
        """Not an answer: it stays silent. That its connection is lost, its owner is told by itself."""
        if failure.check(ConnectionClosed) is None:
            self._log.error("a ping failed: {error}", error=failure.getErrorMessage())
