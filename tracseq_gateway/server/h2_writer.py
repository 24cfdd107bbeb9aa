"""Writes what one HTTP/2 connection has to say: many frames with one write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from h2.connection import H2Connection
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from tracseq_gateway.server.h2_outbox import Outbox

if TYPE_CHECKING:
    from tracseq_gateway.net.transport import EagerServer


class Writer:
    """Collects the frames that arise together, and writes them when all have been."""

    __slots__ = ("_call", "_clock", "_collecting", "_flushed", "_h2", "_outbox", "_sent", "_transport", "paused")

    def __init__(
        self,
        h2: H2Connection,
        outbox: Outbox,
        clock: IReactorTime,
        sent: Callable[[int], None],
        flushed: Callable[[], None],
    ) -> None:
        """Prepare to write for one connection.

        ``sent`` hears how many DATA frames of use were written; ``flushed`` is called when nothing more can be for now.
        """
        self._h2 = h2
        self._outbox = outbox
        self._clock = clock
        self._sent = sent
        self._flushed = flushed
        self._transport: EagerServer | None = None
        self._collecting = False
        self._call: IDelayedCall | None = None
        self.paused = False
        """Whether the transport holds more than it should."""

    def open(self, transport: EagerServer) -> None:
        """Write to this transport from now on."""
        self._transport = transport

    def close(self) -> None:
        """Write nothing more."""
        self._transport = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def collect(self) -> None:
        """Write nothing before :meth:`flush`."""
        self._collecting = True

    def flush_soon(self, at_once: bool) -> None:
        """Write in this turn of the reactor, if it is not ``at_once``, together with what arises in it meanwhile."""
        if self._collecting or self._call is not None or self._transport is None:
            return
        if at_once:
            self.flush()
        else:
            self._call = self._clock.callLater(0, self._flush_now)

    def _flush_now(self) -> None:
        self._call = None
        self.flush()

    def flush(self) -> None:
        """Write what there is, as far as the windows allow and the client reads."""
        self._collecting = True
        while self._transport is not None:
            frames = 0 if self.paused else self._outbox.fill()
            data = self._h2.data_to_send()
            if not data:
                break
            self._sent(frames)
            self._transport.write(data)
        self._collecting = False
        self._flushed()

    def write(self, data: bytes) -> None:
        """Write a frame that h2 knows nothing of, behind those that it has made."""
        if self._transport is not None:
            self._transport.write(self._h2.data_to_send() + data)
