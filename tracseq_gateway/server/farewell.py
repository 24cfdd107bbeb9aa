"""The end of a client connection: how its last answer arrives, and how long a slow reader is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tracseq_gateway.net.deadlines import Timer
from tracseq_gateway.server.write_watch import WriteWatch

if TYPE_CHECKING:
    from tracseq_gateway.net.deadlines import Deadlines
    from tracseq_gateway.net.transport import EagerServer

LINGER_SECONDS = 2.0
"""How long a refused connection is still read, so that its answer arrives."""


class Farewell:
    """Closes one connection. While it is open it watches over a client that takes nothing of its answer."""

    __slots__ = ("_deadlines", "_idle_seconds", "_timer", "_transport", "_watch")

    def __init__(self, deadlines: Deadlines, idle_seconds: float) -> None:
        """``idle_seconds`` is how long a client may take no byte of what is sent to it."""
        self._deadlines = deadlines
        self._idle_seconds = idle_seconds
        self._transport: EagerServer | None = None
        self._watch: WriteWatch | None = None
        self._timer: Timer | None = None

    def close(self, transport: EagerServer) -> None:
        """Close once everything is sent."""
        # A producer that is paused would keep the transport open: there is nothing left to produce.
        transport.unregisterProducer()
        transport.loseConnection()
        if transport.unsent():
            self.watch(transport)

    def linger(self, transport: EagerServer) -> None:
        """Close in a way that lets the answer arrive although the client still sends.

        What it sends must be read meanwhile, or the reset that follows would destroy the answer on its way.
        """
        self._transport = transport
        transport.unregisterProducer()
        transport.loseWriteConnection()
        if transport.unsent():
            self.watch(transport)
        self._timer = Timer(self._deadlines, self._lingered)
        self._timer.start(LINGER_SECONDS)

    def watch(self, transport: EagerServer) -> None:
        """From now on the client must take something of its answer from time to time."""
        if self._watch is None:
            stalled: Callable[[], None] = transport.abortConnection
            self._watch = WriteWatch(transport, self._deadlines, self._idle_seconds, stalled)
        self._watch.start()

    def all_sent(self) -> None:
        """The client has taken everything."""
        if self._watch is not None:
            self._watch.stop()

    def lost(self) -> None:
        """The connection is gone."""
        if self._watch is not None:
            self._watch.close()
        if self._timer is not None:
            self._timer.close()

    def _lingered(self) -> None:
        if self._transport is None or self._timer is None:
            return
        if self._transport.unsent():
            # The answer is still on its way: what watches the writing decides.
            self._timer.start(LINGER_SECONDS)
        else:
            self._transport.abortConnection()
