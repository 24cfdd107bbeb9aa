"""TLS transports on real sockets: what those in clear promise, and how an end looks that is none."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from tests.certificate_kit import self_signed
from tests.kit_pair import BUFFER, PATTERN, PairTestCase, Peer, the_reactor
from tests.test_net_transport import Pusher
from tracseq_gateway.net.tls_transport import TlsTransport


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class Unverified:
    """Connections of a server with some certificate, and of clients to whom any is good."""

    def __init__(self, newest: int) -> None:
        issued = self_signed()
        self._context = SSL.Context(SSL.TLS_METHOD)
        self._context.set_max_proto_version(newest)
        self._context.use_certificate(x509.load_pem_x509_certificate(issued.certificate_pem))
        self._context.use_privatekey(load_pem_private_key(issued.key_pem, None))  # type: ignore[arg-type]

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self._context)

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self._context)


class TlsFactory(TLSMemoryBIOFactory):
    protocol = TlsTransport


class TlsTransportTests(PairTestCase):
    """Both ends are ours, of TLS 1.3."""

    newest = SSL.TLS1_3_VERSION

    def factory(self, factory: Any, made: Deferred[Peer]) -> Any:
        inner = super().factory(factory, made)
        return TlsFactory(Unverified(self.newest), isinstance(inner, ClientFactory), inner, the_reactor())

    def ended_in(self, peer: Peer, kind: type[Exception]) -> None:
        assert peer.reason is not None
        peer.reason.trap(kind)

    async def shaken(self, buffer: int | None = None) -> tuple[Peer, Peer]:
        """A pair whose handshake is done."""
        client, server = await self.pair(buffer)
        client.transport.write(b".")
        server.transport.write(b".")
        await client.until_received(1)
        await server.until_received(1)
        client.received.clear()
        server.received.clear()
        return client, server

    async def test_both_directions(self) -> None:
        """Both ends may write at once more than the kernel takes, from before the handshake on."""
        client, server = await self.pair(buffer=BUFFER)
        client.transport.write(PATTERN)
        self.assertGreaterEqual(client.transport.unsent(), len(PATTERN))
        server.transport.write(PATTERN[::-1])
        await client.until_received(len(PATTERN))
        await server.until_received(len(PATTERN))
        self.assertEqual((client.received, server.received), (PATTERN[::-1], PATTERN))
        self.assertEqual(client.transport.unsent(), 0)

    async def test_eager(self) -> None:
        """A write leaves before the reactor's next turn."""
        client, server = await self.shaken()
        server.transport.pauseProducing()
        client.transport.write(b"at once")
        self.assertEqual(client.transport.unsent(), 0)
        server.transport.resumeProducing()
        await server.until_received(7)
        self.assertEqual(server.received, b"at once")

    async def test_order(self) -> None:
        """Bytes arrive complete and in order, however unevenly they are written and however slowly they are read."""
        client, server = await self.shaken(buffer=BUFFER)
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

    async def test_push_producer(self) -> None:
        """A producer is paused while the peer does not read, and resumed, until all is sent; then the end is clean."""
        client, server = await self.shaken(buffer=BUFFER)
        producer = Pusher(server.transport, PATTERN * 2, 50_000)
        server.transport.registerProducer(producer, True)
        producer.run()
        self.assertEqual(producer.pauses, 1)
        self.assertLess(producer.at, 1 << 20)
        await self.read_slowly(client)
        self.assertEqual(client.received, PATTERN * 2)
        self.assertGreater(producer.pauses, 2)
        self.ended_in(client, ConnectionDone)

    async def test_lose_connection(self) -> None:
        """loseConnection sends what was written before, and then the peer sees an orderly end."""
        client, server = await self.shaken(buffer=BUFFER)
        server.transport.write(PATTERN)
        server.transport.loseConnection()
        server.transport.write(b"too late")
        self.assertTrue(server.transport.disconnecting)
        await client.until_lost()
        await server.until_lost()
        self.assertEqual(client.received, PATTERN)
        self.ended_in(client, ConnectionDone)
        self.ended_in(server, ConnectionDone)

    async def test_peer_that_never_closes(self) -> None:
        """A connection that was closed is gone although the peer never says close_notify."""
        client, server = await self.shaken()
        client.transport.pauseProducing()
        server.transport.loseConnection()
        await server.until_lost()
        self.assertIsNone(client.reason)
        self.ended_in(server, ConnectionDone)

    async def test_lose_write_connection(self) -> None:
        """After loseWriteConnection the other direction goes on; nothing more is written."""
        client, server = await self.shaken(buffer=BUFFER)
        # As long as the client has not read that the server is done, it goes on.
        client.transport.pauseProducing()
        server.transport.write(b"answer")
        server.transport.loseWriteConnection()
        server.transport.write(b"too late")
        client.transport.write(PATTERN)
        await server.until_received(len(PATTERN))
        self.assertEqual(server.received, PATTERN)
        self.assertIsNone(server.reason)
        server.transport.loseConnection()
        await server.until_lost()
        client.transport.resumeProducing()
        await client.until_lost()
        self.assertEqual(client.received, b"answer")

    async def test_truncated(self) -> None:
        """A stream that ends without close_notify was cut off, and is reported as such."""
        client, server = await self.shaken()
        server.transport.write(b"the first half")
        server.transport.transport.loseConnection()
        await client.until_lost()
        self.assertEqual(client.received, b"the first half")
        self.ended_in(client, ConnectionLost)

    async def test_abort(self) -> None:
        """abortConnection throws away what was not sent; the peer sees no orderly end."""
        client, server = await self.shaken(buffer=BUFFER)
        client.transport.pauseProducing()
        server.transport.write(PATTERN)
        server.transport.abortConnection()
        server.transport.write(b"more")
        await server.until_lost()
        client.transport.resumeProducing()
        await client.until_lost()
        self.ended_in(server, ConnectionAborted)
        self.ended_in(client, ConnectionLost)
        self.assertLess(len(client.received), len(PATTERN))

    async def test_before_the_handshake(self) -> None:
        """Half-closing or closing before the handshake is done ends the connection."""
        client, server = await self.pair()
        client.transport.loseWriteConnection()
        server.transport.loseConnection()
        await client.until_lost()
        await server.until_lost()
        self.assertEqual((client.received, server.received), (b"", b""))


class OlderTlsTransportTests(TlsTransportTests):
    """The same over TLS 1.2."""

    newest = SSL.TLS1_2_VERSION
