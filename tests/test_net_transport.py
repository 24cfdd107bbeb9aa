"""Eager transports on real sockets: each promise of Twisted's own is put to both, side by side."""

from __future__ import annotations

import socket
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.internet import ssl, tcp
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.task import deferLater
from zope.interface import implementer

from tests.kit_pair import BUFFER, PATTERN, PairTestCase, the_reactor


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
                await deferLater(the_reactor(), 0)
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
        await deferLater(the_reactor(), 0)
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
