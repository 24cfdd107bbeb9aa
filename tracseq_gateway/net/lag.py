"""How late the reactor runs: the sign that a process has more to do than it can."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

LOOK_SECONDS = 0.1
"""Time between two looks."""


class LagMeter:
    """Looks at the clock again and again, and at how much later than asked it was called.

    One long call makes one look late; a reactor that cannot keep up makes them all late. So what counts is the least
    of the last two.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.lag = 0.0
        """Seconds, of the last two looks the better."""
        self._clock = clock
        self._last = 0.0
        self._due = 0.0
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to look."""
        self._due = self._clock.seconds() + LOOK_SECONDS
        self._call = self._clock.callLater(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        late = max(0.0, self._clock.seconds() - self._due)
        self.lag = min(late, self._last)
        self._last = late
        self.start()
