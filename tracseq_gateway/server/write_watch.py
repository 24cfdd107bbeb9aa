"""Watches over a client that reads slower than it is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tracseq_gateway.net.deadlines import Deadlines, Timer


class Sends(Protocol):
    """A transport that can say what it still holds."""

    def unsent(self) -> int:
        """Bytes that the peer has not taken."""


class WriteWatch:
    """Calls ``stalled`` when the peer has taken nothing for ``seconds``; one that takes something may go on."""

    __slots__ = ("_seconds", "_stalled", "_timer", "_transport", "_unsent")

    def __init__(self, transport: Sends, deadlines: Deadlines, seconds: float, stalled: Callable[[], None]) -> None:
        self._transport = transport
        self._seconds = seconds
        self._stalled = stalled
        self._timer = Timer(deadlines, self._look)
        self._unsent = 0

    def start(self) -> None:
        """Watch from now on."""
        self._unsent = self._transport.unsent()
        self._timer.start(self._seconds)

    def stop(self) -> None:
        """Everything is sent."""
        self._timer.stop()

    def close(self) -> None:
        """The connection is gone."""
        self._timer.close()

    def _look(self) -> None:
        if self._transport.unsent() < self._unsent:
            self.start()
        else:
            self._stalled()
