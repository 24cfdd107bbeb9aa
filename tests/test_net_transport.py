"""Eager transports on real sockets: each promise of Twisted's own is put to both, side by side."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.internet import ssl, tcp
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer, IPushProducer
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tracseq_gateway.net.transport import EagerConnector, EagerPort

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
        return deferred.addTimeout(5, _reactor())

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


def _reactor() -> Any:
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
        port = self.port_class(0, self.factory(Factory(), accepted), 5, "127.0.0.1", _reactor())
        port.startListening()
        self.addCleanup(port.stopListening)
        if buffer is not None:
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                port.socket.setsockopt(socket.SOL_SOCKET, option, buffer)
        factory = self.factory(ClientFactory(), connected)
        self.connector_class("127.0.0.1", port.getHost().port, factory, 5, None, _reactor()).connect()
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
                await deferLater(_reactor(), 0)


@implementer(IPushProducer)
class Pusher:
    """Writes pieces in every turn of the reactor until it is told to pause."""

    def __init__(self, transport: Any, data: bytes, piece: int) -> None:
        self.transport, self.data, self.piece = transport, data, piece
        self.at = 0
        self.pauses = 0
        self.paused = False

    def run(self) -> None:
        """Write until paused, then wait."""
        while not self.paused and self.at < len(self.data):
            piece = self.data[self.at : self.at + self.piece]
            self.at += len(piece)
            self.transport.write(piece)
        if self.at >= len(self.data) and self.transport is not None:
            transport, self.transport = self.transport, None
            transport.unregisterProducer()
            transport.loseConnection()

    def pauseProducing(self) -> None:
        self.paused = True
        self.pauses += 1

    def resumeProducing(self) -> None:
        self.paused = False
        self.run()

    def stopProducing(self) -> None:
        self.paused = True


@implementer(IPullProducer)
class Puller(Pusher):
    """Writes one piece each time that it is asked."""

    def resumeProducing(self) -> None:
        self.pauses += 1
        if self.at < len(self.data):
            self.transport.write(self.data[self.at : self.at + self.piece])
            self.at += self.piece
        else:
            self.transport.unregisterProducer()
            self.transport.loseConnection()


class EagerTests(PairTestCase):
    """The promises of ITransport, ITCPTransport and IConsumer; run again below for Twisted's own transports."""

    async def test_order(self) -> None:
        """Bytes arrive complete and in order, however unevenly they are written and however slowly they are read."""
        client, server = await self.pair(buffer=BUFFER)
        at = step = 0
        while at < len(PATTERN):
            step = (step * 7 + 13) % 90_001
            server.transport.write(PATTERN[at : at + step])
            at += step
            if step % 3 == 0:
                await deferLater(_reactor(), 0)
        server.transport.loseConnection()
        await self.read_slowly(client)
        self.assertEqual(client.received, PATTERN)

    async def test_both_directions(self) -> None:
        """Both ends may write at once more than the kernel takes."""
        client, server = await self.pair(buffer=BUFFER)
        client.transport.write(PATTERN)
        server.transport.write(PATTERN[::-1])
        await client.until_received(len(PATTERN))
        await server.until_received(len(PATTERN))
        self.assertEqual((client.received, server.received), (PATTERN[::-1], PATTERN))

    async def test_push_producer(self) -> None:
        """A push producer is paused while the peer does not read, and resumed, until all is sent."""
        client, server = await self.pair(buffer=BUFFER)
        producer = Pusher(server.transport, PATTERN * 2, 50_000)
        server.transport.registerProducer(producer, True)
        producer.run()
        self.assertEqual(producer.pauses, 1)
        self.assertLess(producer.at, 1 << 20)
        await self.read_slowly(client)
        self.assertEqual(client.received, PATTERN * 2)
        self.assertGreater(producer.pauses, 2)

    async def test_pull_producer(self) -> None:
        """A pull producer is asked for each piece when the one before is sent."""
        client, server = await self.pair(buffer=BUFFER)
        producer = Puller(server.transport, PATTERN, 50_000)
        server.transport.registerProducer(producer, False)
        self.assertEqual(producer.pauses, 1)
        await self.read_slowly(client)
        self.assertEqual(client.received, PATTERN)

    async def test_lose_connection(self) -> None:
        """loseConnection sends what was written before, and then the peer sees an orderly end."""
        client, server = await self.pair(buffer=BUFFER)
        server.transport.write(PATTERN)
        server.transport.loseConnection()
        self.assertTrue(server.transport.disconnecting)
        await client.until(lambda: client.ends)
        self.assertEqual((client.received, client.ends), (PATTERN, ["read"]))
        client.transport.loseConnection()
        await client.until_lost()
        await server.until_lost()
        assert server.reason is not None
        server.reason.trap(ConnectionDone)

    async def test_lose_connection_with_a_producer(self) -> None:
        """loseConnection waits for a producer that is paused, until it is unregistered."""
        client, server = await self.pair(buffer=BUFFER)
        producer = Pusher(server.transport, PATTERN, len(PATTERN) // 2)
        server.transport.registerProducer(producer, True)
        server.transport.write(PATTERN)
        server.transport.loseConnection()
        await client.until_received(len(PATTERN))
        await client.until(lambda: client.ends)
        self.assertEqual(client.received, PATTERN * 2)

    async def test_lose_write_connection(self) -> None:
        """loseWriteConnection sends what was written and ends one direction; the other goes on."""
        client, server = await self.pair(buffer=BUFFER)
        server.transport.write(PATTERN)
        server.transport.loseWriteConnection()
        await client.until(lambda: client.ends)
        self.assertEqual((client.received, client.ends), (PATTERN, ["read"]))
        server.transport.write(b"too late")
        client.transport.write(PATTERN)
        await server.until_received(len(PATTERN))
        self.assertEqual(server.received, PATTERN)
        self.assertEqual(server.ends, ["write"])
        self.assertIsNone(server.reason)

    async def test_abort(self) -> None:
        """abortConnection throws away what was not sent, and the peer sees a reset."""
        client, server = await self.pair(buffer=BUFFER)
        client.transport.pauseProducing()
        server.transport.write(PATTERN)
        server.transport.abortConnection()
        server.transport.write(b"more")
        await server.until_lost()
        client.transport.resumeProducing()
        await client.until_lost()
        assert server.reason is not None and client.reason is not None
        server.reason.trap(ConnectionAborted)
        client.reason.trap(ConnectionLost)
        self.assertLess(len(client.received), len(PATTERN))

    async def test_nothing_after_an_abort(self) -> None:
        """What is written after abortConnection is not sent, not even on an idle connection."""
        client, server = await self.pair()
        server.transport.abortConnection()
        server.transport.write(b"ghost")
        server.transport.writeSequence([b"ghost"])
        await client.until_lost()
        self.assertEqual(client.received, b"")

    async def test_after_the_end(self) -> None:
        """Writing to a connection that is lost does nothing."""
        client, server = await self.pair()
        client.transport.abortConnection()
        await server.until_lost()
        for _ in range(3):
            server.transport.write(b"x")
            server.transport.writeSequence([b"x", b"y"])
        server.transport.loseConnection()
        server.transport.abortConnection()

    async def test_peer_is_gone(self) -> None:
        """A write that finds the peer gone does not raise; the loss is reported as such, once."""
        client, server = await self.pair()
        server.transport.pauseProducing()
        linger = struct.pack("ii", 1, 0)
        client.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.transport.abortConnection()
        await client.until_lost()
        await deferLater(_reactor(), 0)
        server.transport.write(b"x" * 10)
        self.assertIsNone(server.reason)
        server.transport.write(b"y" * 10)
        await server.until_lost()
        assert server.reason is not None
        server.reason.trap(ConnectionLost)

    async def test_write_sequence(self) -> None:
        """writeSequence writes its pieces one after the other; pieces may be many, empty, or none."""
        client, server = await self.pair(buffer=BUFFER)
        server.transport.writeSequence([])
        server.transport.writeSequence([b""])
        pieces = [PATTERN[at : at + 1000] for at in range(0, len(PATTERN), 1000)]
        server.transport.writeSequence([b"<", *pieces, b"", b">"])
        await client.until_received(len(PATTERN) + 2)
        self.assertEqual(client.received, b"<" + PATTERN + b">")

    async def test_only_bytes(self) -> None:
        """Text is refused with a TypeError, at once."""
        client, server = await self.pair()
        self.assertRaises(TypeError, server.transport.write, "text")
        server.transport.write(b"bytes")
        await client.until_received(5)
        self.assertEqual(client.received, b"bytes")

    async def test_start_tls(self) -> None:
        """TLS can be started on a connection that was used in the clear, and moves large amounts both ways."""
        client, server = await self.pair(buffer=BUFFER)
        server.transport.write(b"220 go ahead\r\n")
        await client.until_received(14)
        server.transport.startTLS(SelfSigned())
        client.transport.startTLS(ssl.ClientContextFactory())
        client.transport.write(PATTERN)
        server.transport.write(PATTERN)
        server.transport.write(b"end")
        await client.until_received(14 + len(PATTERN) + 3)
        await server.until_received(len(PATTERN))
        self.assertEqual(client.received, b"220 go ahead\r\n" + PATTERN + b"end")
        self.assertEqual(server.received, PATTERN)
        server.transport.write(b"bye")
        server.transport.loseConnection()
        await client.until_lost()
        self.assertEqual(client.received[-3:], b"bye")


class PlainTests(EagerTests):
    """The same promises, kept by the transports that we replace: what fails here is a wrong test."""

    port_class = tcp.Port
    connector_class = tcp.Connector


class OnlyEagerTests(PairTestCase):
    """What eager transports promise beyond Twisted's."""

    async def test_at_once(self) -> None:
        """What the kernel takes has left before write returns, and nothing waits in this process."""
        client, server = await self.pair()
        client.transport.pauseProducing()
        server.transport.write(b"now")
        self.assertEqual(server.transport.unsent(), 0)
        self.assertEqual(client.transport.getHandle().recv(100, socket.MSG_PEEK), b"now")

    async def test_unsent(self) -> None:
        """unsent counts what waits in this process, and ends at nothing."""
        client, server = await self.pair(buffer=BUFFER)
        client.transport.pauseProducing()
        server.transport.write(PATTERN)
        waiting = server.transport.unsent()
        self.assertGreater(waiting, len(PATTERN) // 2)
        self.assertLess(waiting, len(PATTERN))
        server.transport.write(b"x" * 10)
        self.assertEqual(server.transport.unsent(), waiting + 10)
        client.transport.resumeProducing()
        await client.until_received(len(PATTERN) + 10)
        await deferLater(_reactor(), 0)
        self.assertEqual(server.transport.unsent(), 0)

    async def test_last_words(self) -> None:
        """When a write finds the peer gone, what the peer had said before is still delivered, beyond one read, too."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        connected: Deferred[Peer] = Deferred()
        factory = self.factory(ClientFactory(), connected)
        self.connector_class("127.0.0.1", listening.getsockname()[1], factory, 5, None, _reactor()).connect()
        client = await connected
        self.addCleanup(self.finish, client)
        peer, _ = listening.accept()
        client.transport.pauseProducing()
        answer = PATTERN[:100_000]
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        peer.sendall(answer)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handle = client.transport.getHandle()
        for _ in range(100):
            if len(handle.recv(len(answer), socket.MSG_PEEK)) == len(answer):
                break
            await deferLater(_reactor(), 0.005)
        peer.close()
        client.transport.resumeProducing()
        client.transport.write(b"x" * 1000)
        await client.until_lost()
        self.assertEqual(client.received, answer)


class PortTests(TestCase):
    """EagerPort over sockets that somebody else has opened."""

    def adopt(self, factory: Factory) -> tuple[EagerPort, int]:
        """A port that serves a listening socket, and its number."""
        listening = socket.create_server(("127.0.0.1", 0))
        number = listening.getsockname()[1]
        port = EagerPort.adopt(_reactor(), listening, factory)
        self.assertEqual(listening.fileno(), -1)
        return port, number

    def factory(self) -> tuple[Factory, list[Peer]]:
        made: list[Peer] = []

        class Announced(Peer):
            def connectionMade(self) -> None:
                made.append(self)
                self.transport.write(b"hello")
                self.transport.loseConnection()

        factory = Factory()
        factory.protocol = Announced
        factory.noisy = False
        return factory, made

    async def test_serves(self) -> None:
        """Connections to an adopted socket are served with eager transports."""
        factory, made = self.factory()
        port, number = self.adopt(factory)
        self.addCleanup(port.stopListening)
        with socket.create_connection(("127.0.0.1", number)) as client:
            client.setblocking(False)
            for _ in range(100):
                await deferLater(_reactor(), 0)
                if made and made[0].reason is not None:
                    break
            self.assertEqual(client.recv(100), b"hello")
        self.assertEqual(type(made[0].transport).__name__, "EagerServer")

    async def test_gives_the_socket_up(self) -> None:
        """A port that took a socket over closes it when it stops: nobody can connect any more."""
        factory, _ = self.factory()
        port, number = self.adopt(factory)
        await port.stopListening()
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", number), 1)

    async def test_accepts_what_waits(self) -> None:
        """Connections that the kernel has made already are taken up before the port is closed upon them."""
        factory, made = self.factory()
        port, number = self.adopt(factory)
        clients = [socket.create_connection(("127.0.0.1", number)) for _ in range(40)]
        port.accept_waiting()
        self.assertEqual(len(made), 40)
        await port.stopListening()
        port.accept_waiting()
        for peer in made:
            await peer.until_lost()
        for client in clients:
            self.assertEqual(client.recv(100), b"hello")
            client.close()


class SelfSigned(ssl.ContextFactory):
    """A server's side of TLS, with a certificate of its own making."""

    def getContext(self) -> SSL.Context:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gw.test")])
        start, end = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate(
            x509.CertificateBuilder(name, name, key.public_key(), 1, start, end).sign(key, hashes.SHA256())
        )
        context.use_privatekey(key)
        return context
