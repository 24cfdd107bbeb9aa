"""Whether a connection is read: not while somebody has a reason against it."""

from __future__ import annotations

from typing import Protocol

FOR_BODY, FOR_AHEAD = 1, 2
"""Reasons: nobody has room for the body; enough waits behind the request that is being answered."""


class Reads(Protocol):
    """A transport that can be told to read no more for now."""

    def pauseProducing(self) -> None:
        """Read no more."""

    def resumeProducing(self) -> None:
        """Read on."""


class ReadGate:
    """Pauses a transport for the first reason, and resumes it when the last is gone."""

    __slots__ = ("_transport", "reasons")

    def __init__(self, transport: Reads) -> None:
        self._transport = transport
        self.reasons = 0
        """The sum of the present ones."""

    def close(self, reason: int) -> None:
        """Read no more, for ``reason``."""
        if not self.reasons:
            self._transport.pauseProducing()
        self.reasons |= reason

    def open(self, reason: int) -> None:
        """``reason`` has gone, or was never there."""
        if self.reasons & reason:
            self.reasons &= ~reason
            if not self.reasons:
                self._transport.resumeProducing()
