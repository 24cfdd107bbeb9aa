"""What eager transports promise beyond Twisted's own, and ports over sockets that somebody else has opened."""

from __future__ import annotations

import socket
import struct

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Factory
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.kit_pair import BUFFER, PATTERN, PairTestCase, Peer, the_reactor
from tracseq_gateway.net.transport import EagerPort


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
        await deferLater(the_reactor(), 0)
        self.assertEqual(server.transport.unsent(), 0)

    async def test_last_words(self) -> None:
        """When a write finds the peer gone, what the peer had said before is still delivered, beyond one read, too."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        connected: Deferred[Peer] = Deferred()
        factory = self.factory(ClientFactory(), connected)
        self.connector_class("127.0.0.1", listening.getsockname()[1], factory, 5, None, the_reactor()).connect()
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
            await deferLater(the_reactor(), 0.005)
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
        port = EagerPort.adopt(the_reactor(), listening, factory)
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
                await deferLater(the_reactor(), 0)
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
