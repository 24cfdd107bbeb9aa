"""TLS over a transport that writes eagerly, as a transport of the same kind: for both sides of a connection.

What Twisted's own does otherwise:

1. Small writes are not gathered until the reactor's next turn: a write leaves at once, in as few pieces as it needs.
2. ``loseConnection`` closes when everything is sent, our close_notify as the last of it, and does not wait for the
   peer's, as RFC 8446 section 6.1 allows: a peer that never says it could else keep the connection open for ever.
3. ``loseWriteConnection`` sends close_notify and goes on reading.

A stream that ends without the peer's close_notify has been cut off: it is reported as
:exc:`~twisted.internet.error.ConnectionLost`, never as ``ConnectionDone``.
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

_RECORD: Final = 1 << 14
"""Bytes that one record holds (RFC 8446 section 5.1)."""

_FLUSH: Final = 1 << 15
"""Bytes that are taken at once from what OpenSSL has to send."""


class TlsTransport(TLSMemoryBIOProtocol):
    """Put between a transport of :mod:`tracseq_gateway.net.transport` and a protocol.

    After a pause, what has been received by then is still delivered: the records of one read at most.
    """

    transport: Any
    _half_closed = False

    def unsent(self) -> int:
        """Bytes that wait in this process for the peer to take them, as far as TLS has made records of them."""
        waiting: int = self.transport.unsent()
        return waiting + sum(map(len, self._appSendBuffer))

    def pauseProducing(self) -> None:
        """Read nothing for now."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on."""
        self.transport.resumeProducing()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See :class:`twisted.internet.interfaces.ITCPTransport`."""
        self.transport.setTcpNoDelay(enabled)

    def loseWriteConnection(self) -> None:
        """Say that nothing more comes from here, and go on reading until the peer closes."""
        if not self._handshakeDone:
            self.abortConnection()
        elif not self.disconnecting:
            self.disconnecting = self._half_closed = True
            self._shutdownTLS()

    def loseConnection(self) -> None:
        """Close once everything is sent; at once if the handshake is not done."""
        if self._half_closed and self.connected:
            self._half_closed = False
            self.transport.loseConnection()
        else:
            super().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is closed, or broke."""
        if self.disconnecting and not self._half_closed:
            # It was we who closed it: that the peer's close_notify has not come is no loss.
            self._lostTLSConnection = True
        super().connectionLost(reason)

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        if reason is None and self._reason is None:
            # The peer said close_notify: all is well, even if it is gone by the time that our own arrives.
            self._reason = connectionDone
        super()._tlsShutdownFinished(reason)

    def _shutdownTLS(self) -> None:
        super()._shutdownTLS()
        if self.disconnecting and not self._aborted and not self._half_closed:
            self.transport.loseConnection()

    def _write(self, data: bytes) -> None:
        if self._lostTLSConnection:
            return
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._tlsConnection.send(rest[:_RECORD]) :]
            except SSL.WantReadError:  # within a handshake that came late: OpenSSL must hear of the peer first
                self._bufferedWrite(bytes(rest))
                break
            except SSL.Error:
                self._tlsShutdownFinished(Failure())
                return
        self._flushSendBIO()

    def _flushSendBIO(self) -> None:
        take = self._tlsConnection.bio_read
        pieces = []
        try:
            pieces.append(take(_FLUSH))
            while len(pieces[-1]) == _FLUSH:
                pieces.append(take(_FLUSH))
        except SSL.WantReadError:
            pass  # there is nothing, or nothing more
        if pieces:
            self.transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
