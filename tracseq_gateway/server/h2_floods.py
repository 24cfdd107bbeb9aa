"""How much one HTTP/2 connection may ask for that serves nobody.

h2 bounds what a header block may be, and how often it is continued. It does not bound how often a client resets its
requests, or sends frames that ask for work and bring nothing. What is measured here is paid back by time and by work
that has a use, so that a busy connection may send more of them than an idle one.
"""

from __future__ import annotations

from collections.abc import Callable

from tracseq_gateway.server.h2_frames import CONTINUATION, DATA, HEADERS, Frame

MOST_RESETS = 100
RESETS_A_SECOND = 10.0
"""Streams that may be reset, by the client or for what it did: so many at once, and again in ten seconds.

A request that is reset has cost the gateway and perhaps a service their work, and the client nothing (CVE-2023-44487);
nor does it matter which side is brought to do it (CVE-2025-8671).
"""

MOST_IDLE_FRAMES = 500
IDLE_FRAMES_A_SECOND = 50.0
"""Frames that carry nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, and what is for no open stream."""
EARNED_BY_REQUEST = 5
EARNED_BY_FRAME = 2
"""How many more of them a request, and each DATA frame that the client was sent, make room for."""


class Allowance:
    """So many at once; what was used comes back with time."""

    __slots__ = ("_left", "_most", "_rate", "_since")

    def __init__(self, most: float, rate: float, now: float) -> None:
        """``rate``: how many come back in a second."""
        self._most = self._left = most
        self._rate = rate
        self._since = now

    def use(self, now: float) -> bool:
        """Use one; return False if there is none left."""
        left = min(self._most, self._left + (now - self._since) * self._rate)
        self._since = now
        self._left = left - 1
        return left >= 1

    def earn(self, number: int) -> None:
        """Get some back for another reason than time."""
        self._left = min(self._most, self._left + number)


class Floods:
    """Watches over one connection. What it says False to must end it."""

    __slots__ = ("_idle_frames", "_now", "_resets")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._resets = Allowance(MOST_RESETS, RESETS_A_SECOND, now())
        self._idle_frames = Allowance(MOST_IDLE_FRAMES, IDLE_FRAMES_A_SECOND, now())

    def frame(self, frame: Frame, known: bool) -> bool:
        """A frame came; ``known``: for a stream that is open."""
        if frame.kind == HEADERS:
            self._idle_frames.earn(EARNED_BY_REQUEST)
            return True
        if frame.kind == CONTINUATION or (frame.kind == DATA and known):
            return True
        return self._idle_frames.use(self._now())

    def nothing(self) -> bool:
        """A frame turned out to carry nothing."""
        return self._idle_frames.use(self._now())

    def reset(self) -> bool:
        """A stream was reset, by the client or for what it did."""
        return self._resets.use(self._now())

    def sent(self, frames: int) -> None:
        """The client was sent so many DATA frames of use: see the outbox."""
        self._idle_frames.earn(frames * EARNED_BY_FRAME)
