"""Large bodies over real sockets: byte-exact, held back by a slow peer, and answered even when nobody reads them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.kit import read_answers
from tracseq_gateway.config.keys import Size
from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.net.connect import EagerConnector
from tracseq_gateway.server.channel import HTTPChannel
from tracseq_gateway.service import Gateway

SIZE = 20 << 20
PIECE = 65536
MOST = 256 * 1024
"""Bytes that may wait in the gateway on one side of a transfer."""
WINDOW = 65536
"""Receive buffer of a slow peer: small, so that the kernel hides little of its slowness."""
REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbig\n"


@implementer(IPullProducer)
class Sender:
    """Writes a body as fast as a transport takes it."""

    def __init__(self, transport: Any, body: bytes) -> None:
        self.transport = transport
        self.body = memoryview(body)
        transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        piece, self.body = self.body[:PIECE], self.body[PIECE:]
        self.transport.write(bytes(piece))
        if not self.body:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.body = self.body[:0]


class Peer(Protocol):
    """A client or a service: keeps what comes; ``read`` is told each piece and may pause."""

    transport: Any

    def __init__(self, begin: Callable[[Peer], None], read: Callable[[Peer], None]) -> None:
        self.received = bytearray()
        self.lost: Deferred[bytes] = Deferred()
        self._begin = begin
        self._read = read

    def connectionMade(self) -> None:
        self._begin(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._read(self)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost.callback(bytes(self.received))


class Peers(Factory):
    """A service's connections, as the gateway opens them."""

    def __init__(self, make: Callable[[], Peer]) -> None:
        self._make = make

    def buildProtocol(self, addr: object) -> Peer:
        return self._make()


def nothing(peer: Peer) -> None:
    """Do nothing."""


class TransferTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.connectors: list[EagerConnector] = []
        self.peers: list[Peer] = []
        self.most = {"client": 0, "service": 0}
        self.body = Random(20).randbytes(SIZE)

    def serve(self, begin: Callable[[Peer], None], read: Callable[[Peer], None]) -> None:
        """Start a service and a gateway before it."""
        port = self.reactor.listenTCP(0, Peers(lambda: self.peer(begin, read)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        service = Service(
            "all",
            prefix="/",
            rewrite="",
            instances=(Instance(f"http://127.0.0.1:{port.getHost().port}"),),
            max_body=Size(0),
        )
        self.gateway = Gateway(Config(services={"all": service}), self.reactor, connect=self.connect)
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self.gateway.listen(listening)
        sampling = LoopingCall(self.sample)
        sampling.start(0)
        # The last that is added is the first that is done.
        self.addCleanup(deferLater, self.reactor, 0)
        self.addCleanup(lambda: self.gateway.drain(0.1))
        self.addCleanup(self.leave)
        self.addCleanup(sampling.stop)

    def peer(self, begin: Callable[[Peer], None], read: Callable[[Peer], None]) -> Peer:
        peer = Peer(begin, read)
        self.peers.append(peer)
        return peer

    def connect(self, host: str, port: int, factory: ClientFactory, timeout: float | None) -> None:
        """Open the gateway's connection to the service, where the test can see it."""
        connector = EagerConnector(host, port, factory, timeout or 30.0, None, self.reactor)
        self.connectors.append(connector)
        connector.connect()

    def sample(self) -> None:
        """Note how much waits in the gateway, at each turn of the reactor."""
        sides: dict[str, list[Any]] = {
            "client": [channel.transport for channel in self.gateway.site.channels if isinstance(channel, HTTPChannel)],
            "service": [connector.transport for connector in self.connectors],
        }
        for side, transports in sides.items():
            for transport in transports:
                self.most[side] = max(self.most[side], transport.unsent())

    async def leave(self) -> None:
        """Close whatever a test has left open."""
        for peer in self.peers:
            if not peer.lost.called:
                peer.transport.abortConnection()
                await peer.lost

    def call(self, begin: Callable[[Peer], None], read: Callable[[Peer], None] = nothing) -> Peer:
        """Connect a client."""
        client = self.peer(begin, read)
        connected = connectProtocol(TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.port), client)
        connected.addErrback(client.lost.errback)
        return client

    def slowly(self, peer: Peer) -> None:
        """Read again only after a moment."""
        peer.transport.pauseProducing()
        self.reactor.callLater(0.0005, self.read_on, peer)

    def read_on(self, peer: Peer) -> None:
        if not peer.lost.called:
            peer.transport.resumeProducing()

    def narrow(self, peer: Peer) -> None:
        """Give a peer a small receive buffer."""
        peer.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)

    def upload(self, peer: Peer) -> None:
        peer.transport.write(b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % SIZE)
        Sender(peer.transport, self.body)

    async def test_upload_to_a_slow_service(self) -> None:
        """20 MiB to a service that reads slowly arrive as they were, and hardly any of it waits in the gateway."""

        def read(service: Peer) -> None:
            head = service.received.find(b"\r\n\r\n") + 4
            if len(service.received) - head < SIZE:
                self.slowly(service)
            else:
                service.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        self.serve(self.narrow, read)
        client = self.call(self.upload)
        (answer,) = read_answers(await client.lost)
        self.assertEqual((answer.status, answer.body), (200, b"ok"))
        received = bytes(self.peers[1].received)
        body = received[received.index(b"\r\n\r\n") + 4 :]
        self.assertEqual(sha256(body).digest(), sha256(self.body).digest())
        self.assertHeldBack("service")

    async def test_download_by_a_slow_client(self) -> None:
        """20 MiB for a client that reads slowly arrive as they were, and hardly any of it waits in the gateway."""

        def read(service: Peer) -> None:
            service.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            Sender(service.transport, self.body)

        def begin(client: Peer) -> None:
            self.narrow(client)
            client.transport.write(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

        self.serve(nothing, read)
        client = self.call(begin, self.slowly)
        (answer,) = read_answers(await client.lost)
        self.assertEqual((answer.status, answer.complete), (200, True))
        self.assertEqual(sha256(answer.body).digest(), sha256(self.body).digest())
        self.assertHeldBack("client")

    async def test_a_service_that_refuses_an_upload(self) -> None:
        """413 and a close (a reset, since it has not read everything) in the midst of an upload: the client gets it."""

        def read(service: Peer) -> None:
            service.transport.write(REFUSAL)
            service.transport.loseConnection()

        self.serve(nothing, read)
        for _ in range(5):
            await self.refused()

    async def test_a_service_that_refuses_an_upload_unread(self) -> None:
        """The same from a service that lets the upload pile up first, so that gateway and client are held back."""

        def begin(service: Peer) -> None:
            self.narrow(service)
            service.transport.pauseProducing()
            self.reactor.callLater(0.2, refuse, service)

        def refuse(service: Peer) -> None:
            service.transport.write(REFUSAL)
            service.transport.loseConnection()

        self.serve(begin, nothing)
        for _ in range(2):
            await self.refused()
        self.assertHeldBack("service")

    async def refused(self) -> None:
        """Upload; the refusal arrives whole."""
        client = self.call(self.upload)
        await client.lost
        (answer,) = read_answers(bytes(client.received), (b"POST",))
        self.assertEqual((answer.status, answer.body, answer.complete), (413, b"big\n", True))
        self.assertEqual(self.gateway.services["all"].instances[0].in_flight, 0)

    async def test_a_client_that_leaves_a_download(self) -> None:
        """The service is cut off while it still sends, though the gateway was not reading from it."""

        def read(service: Peer) -> None:
            service.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
            Sender(service.transport, self.body)

        def begin(client: Peer) -> None:
            self.narrow(client)
            client.transport.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")

        def stop(client: Peer) -> None:
            client.transport.pauseProducing()
            self.reactor.callLater(0.2, client.transport.abortConnection)

        self.serve(nothing, read)
        client = self.call(begin, stop)
        await client.lost
        await self.peers[1].lost
        self.assertHeldBack("client")
        self.assertEqual(self.gateway.services["all"].instances[0].in_flight, 0)
        self.assertEqual(self.gateway.site.active, 0)

    def assertHeldBack(self, side: str) -> None:
        """Something waited on this side, so the transfer was held back; but no more than may on either."""
        self.assertGreater(self.most[side], 0)
        self.assertLessEqual(max(self.most.values()), MOST, self.most)
