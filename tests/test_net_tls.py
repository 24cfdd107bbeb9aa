"""TLS transports on real sockets: what those in clear promise, and how an end looks that is none."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.certificate_kit import self_signed
from tests.kit_pair import BUFFER, PATTERN, PairTestCase, Peer, the_reactor
from tests.test_net_transport import Pusher
from tracseq_gateway.net.tls import TLSTransport


class Wrapped:
    """A factory of connections whose certificates nobody looks at."""

    noisy = False

    def __init__(self, newest: int, factory: Any) -> None:
        issued = self_signed()
        self._factory = factory
        self._context = SSL.Context(SSL.TLS_METHOD)
        self._context.set_max_proto_version(newest)
        self._context.use_certificate(x509.load_pem_x509_certificate(issued.certificate_pem))
        self._context.use_privatekey(load_pem_private_key(issued.key_pem, None))  # type: ignore[arg-type]
        self.failures: list[Failure] = []

    def buildProtocol(self, address: Any) -> TLSTransport:
        connection = SSL.Connection(self._context)
        if isinstance(self._factory, ClientFactory):
            connection.set_connect_state()
        else:
            connection.set_accept_state()
        return TLSTransport(connection, lambda _: self._factory.buildProtocol(address), self.failures.append)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factory, name)


class TLSTransportTests(PairTestCase):
    """Both ends are ours, of TLS 1.3."""

    newest = SSL.TLS1_3_VERSION

    def factory(self, factory: Any, made: Deferred[Peer]) -> Any:
        return Wrapped(self.newest, super().factory(factory, made))

    def ended_in(self, peer: Peer, kind: type[Exception]) -> None:
        assert peer.reason is not None
        peer.reason.trap(kind)

    async def test_both_directions(self) -> None:
        """Both ends may write at once more than the kernel takes."""
        client, server = await self.pair(buffer=BUFFER)
        client.transport.write(PATTERN)
        server.transport.write(PATTERN[::-1])
        self.assertGreater(server.transport.unsent(), 0)
        await client.until_received(len(PATTERN))
        await server.until_received(len(PATTERN))
        self.assertEqual((client.received, server.received), (PATTERN[::-1], PATTERN))
        self.assertEqual(server.transport.unsent(), 0)

    async def test_eager(self) -> None:
        """A write leaves before the reactor's next turn."""
        client, server = await self.pair()
        server.transport.pauseProducing()
        client.transport.write(b"at once")
        self.assertEqual(client.transport.unsent(), 0)
        server.transport.resumeProducing()
        await server.until_received(7)
        self.assertEqual(server.received, b"at once")

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

    async def test_push_producer(self) -> None:
        """A producer is paused while the peer does not read, and resumed, until all is sent; then the end is clean."""
        client, server = await self.pair(buffer=BUFFER)
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
        client, server = await self.pair(buffer=BUFFER)
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
        client, server = await self.pair()
        client.transport.pauseProducing()
        server.transport.loseConnection()
        await server.until_lost()
        self.assertIsNone(client.reason)
        self.ended_in(server, ConnectionDone)

    async def test_lose_write_connection(self) -> None:
        """After loseWriteConnection nothing more is written, and what comes is read and thrown away."""
        client, server = await self.pair(buffer=BUFFER)
        client.transport.pauseProducing()
        server.transport.write(b"answer")
        server.transport.loseWriteConnection()
        server.transport.write(b"too late")
        client.transport.write(PATTERN)
        while client.transport.unsent():
            await deferLater(the_reactor(), 0.001)
        self.assertIsNone(server.reason)
        client.transport.resumeProducing()
        await client.until_lost()
        await server.until_lost()
        self.assertEqual((client.received, server.received), (b"answer", b""))
        self.ended_in(client, ConnectionDone)

    async def test_truncated(self) -> None:
        """A stream that ends without close_notify was cut off, and is reported as such."""
        client, server = await self.pair()
        server.transport.write(b"the first half")
        server.transport.transport.loseConnection()
        await client.until_lost()
        self.assertEqual(client.received, b"the first half")
        self.ended_in(client, ConnectionLost)

    async def test_abort(self) -> None:
        """abortConnection throws away what was not sent; the peer sees no orderly end."""
        client, server = await self.pair(buffer=BUFFER)
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

    async def test_pause(self) -> None:
        """Who pauses reading is given nothing more, whatever has been received by then."""
        client, server = await self.pair(buffer=BUFFER)
        heard = server.dataReceived

        def pause_at_once(data: bytes) -> None:
            server.transport.pauseProducing()
            heard(data)

        server.dataReceived = pause_at_once  # type: ignore[method-assign]
        client.transport.write(PATTERN)
        await server.until_anything()
        so_far = len(server.received)
        await deferLater(the_reactor(), 0.01)
        self.assertEqual(len(server.received), so_far)


class OlderTLSTransportTests(TLSTransportTests):
    """The same over TLS 1.2."""

    newest = SSL.TLS1_2_VERSION
