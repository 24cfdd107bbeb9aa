"""Streams of HTTP/2 that are answered whole while their request is not: what the client still sends is thrown away.

RFC 9113 section 8.1 lets a server reset such a stream without an error right behind its answer; but many clients look
at an answer only when they have sent their request, and to them a stream that was reset has none. So they may send on
for a while, as on a connection of HTTP/1.1 that is to be closed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from tracseq_gateway.net.deadlines import Deadlines, Timer
from tracseq_gateway.server.farewell import LINGER_SECONDS

LINGER_BYTES: Final = 16 << 20
"""Most bytes of one body, with their padding, that are read for nothing."""


class Lingering:
    """Those of one connection, by their numbers."""

    __slots__ = ("_deadlines", "_enough", "_streams")

    def __init__(self, deadlines: Deadlines, enough: Callable[[int], None]) -> None:
        """``enough`` is called with a stream of which no more is read; it is none of these any more."""
        self._deadlines = deadlines
        self._enough = enough
        self._streams: dict[int, tuple[Timer, int]] = {}
        """The deadline of each, and how many bytes may still come."""

    def __contains__(self, number: int) -> bool:
        return number in self._streams

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, number: int) -> None:
        """A stream was answered; the client may send on."""
        timer = Timer(self._deadlines, partial(self._stop, number))
        self._streams[number] = timer, LINGER_BYTES
        timer.start(LINGER_SECONDS)

    def received(self, number: int, size: int) -> None:
        """So many bytes have come for one of these."""
        timer, left = self._streams[number]
        self._streams[number] = timer, left - size
        if left < size:
            self._stop(number)

    def remove(self, number: int) -> None:
        """The client has sent its last for one of these."""
        timer, _ = self._streams.pop(number)
        timer.close()

    def clear(self) -> None:
        """The connection is over."""
        for number in list(self._streams):
            self.remove(number)

    def _stop(self, number: int) -> None:
        self.remove(number)
        self._enough(number)
