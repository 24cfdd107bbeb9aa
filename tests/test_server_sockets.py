"""The server on real sockets, to plain blocking clients: what they see of ends of connections."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.kit import Answer, read_answers
from tests.kit_client import Handler, answer_whole, request
from tracseq_gateway.config.model import Client
from tracseq_gateway.errors import BODY_TOO_LARGE, GatewayError
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.net.transport import EagerPort
from tracseq_gateway.server.request import GatewayRequest
from tracseq_gateway.server.site import GatewaySite

T = TypeVar("T")
BIG = bytes(range(256)) * 8192
"""Two megabytes: more than the kernel takes at once."""


def read_to_the_end(client: socket.socket, piece: int = 65536, pause: float = 0.0) -> bytes:
    """Read until the orderly end; a reset raises."""
    received = bytearray()
    while data := client.recv(piece):
        received += data
        if pause:
            time.sleep(pause)
    return bytes(received)


class SocketTests(TestCase):
    def serve(self, handle: Callable[[GatewayRequest], Any], **limits: Any) -> int:
        """Serve a resource on a free port of the loopback; return the port."""
        from twisted.internet import reactor

        self.deadlines = Deadlines(reactor)
        self.site = GatewaySite(Handler(handle), reactor, self.deadlines, Client(**limits), (), "gw")
        self.addCleanup(self.deadlines.stop)
        listening = socket.create_server(("127.0.0.1", 0))
        number: int = listening.getsockname()[1]
        self.port = EagerPort.adopt(reactor, listening, self.site)
        self.addCleanup(self.close)
        return number

    async def close(self) -> None:
        """Leave nothing in the reactor."""
        from twisted.internet import reactor

        await maybeDeferred(self.port.stopListening)
        for channel in self.site.channels:
            channel.cut()
        await deferLater(reactor, 0)

    def as_client(self, port: int, talk: Callable[[socket.socket], T]) -> Deferred[T]:
        """Let a blocking client talk to the server, in a thread."""

        def run() -> T:
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                return talk(client)

        return deferToThread(run)

    async def exchange(self, port: int, data: bytes, **reading: Any) -> list[Answer]:
        """Send bytes, read to the end, and return the answers."""

        def talk(client: socket.socket) -> bytes:
            client.sendall(data)
            return read_to_the_end(client, **reading)

        return read_answers(await self.as_client(port, talk), ended=True)

    async def test_large_answer(self) -> None:
        """A large answer that is the last of its connection arrives whole at a slow reader, and then the end."""
        port = self.serve(lambda request: answer_whole(request, BIG))
        for data in (request(b"/", b"Connection: close"), request(b"/", version=b"HTTP/1.0")):
            (answer,) = await self.exchange(port, data, piece=200_000, pause=0.002)
            self.assertEqual(answer.body, BIG)

    async def test_pipeline(self) -> None:
        """Five hundred pipelined requests are answered in order."""
        port = self.serve(lambda request: answer_whole(request, request.uri), requests_per_connection=0)
        data = b"".join(request(b"/%d" % number) for number in range(499)) + request(b"/499", b"Connection: close")
        answers = await self.exchange(port, data)
        self.assertEqual([answer.body for answer in answers], [b"/%d" % number for number in range(500)])

    async def test_refused_upload(self) -> None:
        """A client that sends a long body to a refusal gets the refusal, not a reset."""
        port = self.serve(lambda request: request.refuse(GatewayError(BODY_TOO_LARGE)))

        def talk(client: socket.socket) -> bytes:
            client.sendall(request(b"/", b"Content-Length: 4000000", method=b"POST"))
            for _ in range(40):
                client.sendall(b"x" * 100_000)
            client.shutdown(socket.SHUT_WR)
            return read_to_the_end(client)

        (answer,) = read_answers(await self.as_client(port, talk), ended=True)
        self.assertEqual((answer.status, answer.values(b"connection")), (413, [b"close"]))

    async def test_last_request_of_a_connection(self) -> None:
        """A client that pipelines beyond the end of its connection gets its answers and an orderly end, no reset."""
        port = self.serve(lambda request: answer_whole(request, b"x" * 1000), requests_per_connection=3)

        def talk(client: socket.socket) -> bytes:
            for _ in range(3):
                client.sendall(request(b"/") * 10)
                time.sleep(0.03)
            return read_to_the_end(client)

        answers = read_answers(await self.as_client(port, talk), ended=True)
        self.assertEqual([answer.status for answer in answers], [200] * 3)

    async def test_drain_serves_what_waits(self) -> None:
        """Connections that wait in the kernel when a drain begins are taken up, and their requests answered."""
        port = self.serve(answer_whole)
        clients = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(10)]
        for client in clients:
            client.sendall(request(b"/"))
        self.port.accept_waiting()
        stopped = maybeDeferred(self.port.stopListening)
        self.assertEqual(await self.site.drain(5.0), 0)
        await stopped
        for client in clients:
            (answer,) = read_answers(read_to_the_end(client), ended=True)
            self.assertEqual((answer.status, answer.values(b"connection")), (200, [b"close"]))
            client.close()
