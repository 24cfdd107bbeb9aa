"""TCP transports that send at once when nothing is queued.

Twisted's ``write`` only queues: the bytes leave at the next turn of the reactor, after two ``epoll_ctl`` calls. Here a
write on an idle transport is a ``send``; whatever the kernel does not take, and every state but the plain one, goes
the way that Twisted wrote, so that producers, ``loseConnection`` after a flush, half-close and TLS above keep their
meaning.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST

READ_SIZE = 65536
"""Most bytes that one read takes."""

_LAST_READS = 4
_MOST_ACCEPTS = 4096


class EagerWrites:
    """Mixed in before a :class:`tcp.Connection`."""

    connected: int
    dataBuffer: bytes
    offset: int
    _tempDataBuffer: list[bytes]
    _tempDataLen: int
    TLS: bool
    producer: Any
    streamingProducer: bool
    socket: socket.socket
    protocol: IProtocol

    def doRead(self) -> Exception | None:
        """Read once, and hand over what came; Twisted's own way takes one call more."""
        try:
            data = self.socket.recv(READ_SIZE)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def write(self, data: bytes) -> None:
        """Send now what the kernel takes now, and queue the rest."""
        if (
            self.dataBuffer
            or self._tempDataBuffer
            or self.TLS
            or not self.connected
            or self._writeDisconnected  # type: ignore[attr-defined]
            or self._writeDisconnecting  # type: ignore[attr-defined]
            or self.disconnecting  # type: ignore[attr-defined]
            or self._aborting  # type: ignore[attr-defined]
            or (self.producer is not None and not self.streamingProducer)
        ):
            super().write(data)  # type: ignore[misc]
            return
        try:
            sent = self.socket.send(data)
        except OSError:
            # Would block, or broken: Twisted's own path waits, or finds the error and reports the loss.
            sent = 0
        if sent != len(data):
            super().write(data[sent:])  # type: ignore[misc]

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send the pieces with one call."""
        self.write(b"".join(iovec))

    def unsent(self) -> int:
        """Bytes that wait in this process for the peer to take them."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen


class EagerServer(EagerWrites, tcp.Server):  # type: ignore[misc]
    """A connection that was accepted."""


class EagerClient(EagerWrites, tcp.Client):  # type: ignore[misc]
    """A connection that was opened.

    A service that refuses a long body answers and closes, and our next write then fails: what it said before is still
    read, so that its answer is not lost with the connection.
    """

    def doWrite(self) -> Any:
        """Write what is queued."""
        why = super().doWrite()
        if why is CONNECTION_LOST:
            for _ in range(_LAST_READS):
                if self.disconnected or self.doRead() is not None:
                    break
        return why


class EagerPort(tcp.Port):
    """A listening port whose connections write eagerly."""

    transport = EagerServer

    @classmethod
    def adopt(cls, reactor: Any, listening: socket.socket, factory: IProtocolFactory) -> EagerPort:
        """Serve a socket that is bound and listening already; takes it over."""
        listening.setblocking(False)
        port: EagerPort = cls._fromListeningDescriptor(reactor, listening.fileno(), listening.family, factory)
        # The port works on a copy of the descriptor; while ours stays open, closing the port refuses nobody.
        listening.close()
        port.startListening()
        return port

    def connectionLost(self, reason: Any) -> None:
        """Close, after a last look for connections that were made since the decision to close."""
        self.accept_waiting()
        super().connectionLost(reason)

    def accept_waiting(self) -> None:
        """Accept the connections that the kernel has already made for us, before the port closes upon them."""
        if not self.connected:
            return
        for _ in range(_MOST_ACCEPTS):
            before = self.sessionno
            self.doRead()
            if self.sessionno == before:
                return
