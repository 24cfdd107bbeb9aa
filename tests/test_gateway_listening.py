"""One gateway on several listening sockets: its own and those of neighbours."""

from __future__ import annotations

import socket

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tracseq_gateway.config import Config, RateLimiting
from tracseq_gateway.service import Gateway


class ListeningTests(TestCase):
    """``Gateway.listen`` and what ends it."""

    timeout = 10

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.gateway = Gateway(Config(rate_limit=RateLimiting(enabled=False)), reactor)
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.ports = [listening.getsockname()[1] for listening in self.sockets]
        # As in a worker, somebody else has a copy of each.
        self.copies = [listening.dup() for listening in self.sockets]
        for copy in self.copies:
            self.addCleanup(copy.close)

    async def serves(self, port: int) -> bool:
        """Whether a connection to ``port`` is answered within half a second."""

        def ask() -> bytes:
            with socket.create_connection(("127.0.0.1", port), 0.5) as client:
                client.sendall(b"GET /health/live HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                try:
                    return client.recv(100)
                except TimeoutError:
                    return b""

        answer: bytes = await deferToThread(ask)
        return answer.startswith(b"HTTP/1.1 200 ")

    async def test_several(self) -> None:
        """A gateway serves several sockets, and what ``listen`` returned ends one of them alone."""
        stops = [self.gateway.listen(listening) for listening in self.sockets]
        self.assertTrue(await self.serves(self.ports[0]))
        self.assertTrue(await self.serves(self.ports[1]))
        stops[1]()
        self.assertTrue(await self.serves(self.ports[0]))
        self.assertFalse(await self.serves(self.ports[1]))
        await self.gateway.drain(1.0)
        stops[1]()
        stops[0]()

    async def test_drain(self) -> None:
        """A drain closes all of them: when the other copies are closed as well, nobody can connect."""
        for listening in self.sockets:
            self.gateway.listen(listening)
        await self.gateway.drain(1.0)
        for copy, port in zip(self.copies, self.ports, strict=True):
            copy.close()
            self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", port), 1)
