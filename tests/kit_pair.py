"""Pairs of real connections, for tests of transports: both ends in one reactor, writing down what they hear."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tracseq_gateway.net.connect import EagerConnector
from tracseq_gateway.net.transport import EagerPort

PATTERN = bytes(range(251)) * 4000
"""A megabyte in which every displaced byte shows."""
BUFFER = 100_000
"""What the kernel may hold for each end: far less than that."""


@implementer(IHalfCloseableProtocol)
class Peer(Protocol):
    """One end of a connection: writes down what it hears, and fires when it has heard something."""

    transport: Any

    def __init__(self) -> None:
        self.received = bytearray()
        self.ends: list[str] = []
        self.reason: Failure | None = None
        self._waiting: list[tuple[Callable[[], object], Deferred[None]]] = []

    def _heard(self) -> None:
        due, self._waiting = [w for w in self._waiting if w[0]()], [w for w in self._waiting if not w[0]()]
        for _, deferred in due:
            deferred.callback(None)

    def until(self, condition: Callable[[], object]) -> Deferred[None]:
        """Wait until the condition holds; it is looked at when something is heard."""
        deferred: Deferred[None] = Deferred()
        self._waiting.append((condition, deferred))
        self._heard()
        return deferred.addTimeout(5, the_reactor())

    def until_anything(self) -> Deferred[None]:
        """Wait for more bytes, or an end."""
        before = len(self.received)
        return self.until(lambda: len(self.received) > before or self.ends or self.reason)

    def until_received(self, size: int) -> Deferred[None]:
        """Wait for so many bytes."""
        return self.until(lambda: len(self.received) >= size)

    def until_lost(self) -> Deferred[None]:
        """Wait for the end of the connection."""
        return self.until(lambda: self.reason is not None)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._heard()

    def readConnectionLost(self) -> None:
        self.ends.append("read")
        self._heard()

    def writeConnectionLost(self) -> None:
        self.ends.append("write")
        self._heard()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.reason = reason
        self._heard()


def the_reactor() -> Any:
    """The reactor that the tests run in."""
    from twisted.internet import reactor

    return reactor


class PairTestCase(TestCase):
    """Makes a connected pair of :class:`Peer` of the transports under test."""

    port_class: type[tcp.Port] = EagerPort
    connector_class: type[tcp.Connector] = EagerConnector

    async def pair(self, buffer: int | None = None) -> tuple[Peer, Peer]:
        """Connect a client to a server; ``buffer``: the bytes that the kernel may hold for each."""
        accepted: Deferred[Peer] = Deferred()
        connected: Deferred[Peer] = Deferred()
        port = self.port_class(0, self.factory(Factory(), accepted), 5, "127.0.0.1", the_reactor())
        port.startListening()
        self.addCleanup(port.stopListening)
        if buffer is not None:
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                port.socket.setsockopt(socket.SOL_SOCKET, option, buffer)
        factory = self.factory(ClientFactory(), connected)
        self.connector_class("127.0.0.1", port.getHost().port, factory, 5, None, the_reactor()).connect()
        client, server = await connected, await accepted
        for peer in (client, server):
            self.addCleanup(self.finish, peer)
        return client, server

    def factory(self, factory: Any, made: Deferred[Peer]) -> Any:
        """Let a factory make one peer."""

        class Announced(Peer):
            def connectionMade(self) -> None:
                made.callback(self)

        factory.protocol = Announced
        factory.noisy = False
        return factory

    def finish(self, peer: Peer) -> Deferred[None]:
        """Leave nothing in the reactor."""
        if peer.reason is None:
            peer.transport.abortConnection()
        return peer.until_lost()

    async def read_slowly(self, peer: Peer) -> None:
        """Read one piece, stop for a turn of the reactor, and so on to the end."""
        while peer.reason is None and "read" not in peer.ends:
            peer.transport.resumeProducing()
            await peer.until_anything()
            if peer.reason is None:
                peer.transport.pauseProducing()
                await deferLater(the_reactor(), 0)
