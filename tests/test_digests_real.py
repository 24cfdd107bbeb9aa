"""Bodies with digests over real sockets: a wrong one never comes whole to a service, however long it is."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from hashlib import sha512
from random import Random

from attrs import define, field
from httptools import HttpRequestParser
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import Answer, read_answers
from tests.running_kit import RunningGateway

CONFIGURATION = """
[services.all]
prefix = "/"
rewrite = ""
instances = ["http://127.0.0.1:{port}"]
health = {{ interval = 0 }}
connections = {{ idle_seconds = 0.1 }}
[rate_limit]
enabled = false
"""
SIZES = (0, 10, 65536, 10 << 20)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@define
class Seen:
    """What a service has seen of one connection."""

    heads: int = 0
    body: bytearray = field(factory=bytearray)
    whole: int = 0

    def on_headers_complete(self) -> None:
        self.heads += 1
        self.body.clear()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.whole += 1


class StrictService(threading.Thread):
    """A service that answers whole requests and notes what it sees; one thread a connection."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.seen: list[Seen] = []
        self.connections: list[threading.Thread] = []
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # stopped
                return
            seen = Seen()
            self.seen.append(seen)
            thread = threading.Thread(target=self._serve, args=(connection, seen), daemon=True)
            self.connections.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, seen: Seen) -> None:
        parser = HttpRequestParser(seen)
        with connection:
            while True:
                try:
                    data = connection.recv(1 << 20)
                except ConnectionResetError:
                    return
                if not data:
                    return
                whole = seen.whole
                parser.feed_data(data)
                if seen.whole > whole:
                    connection.sendall(OK)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(5)


def upload(body: bytes, digest: bytes, *, chunked: bool) -> Iterator[bytes]:
    """A request, in pieces as they are sent."""
    value = base64.b64encode(digest)
    lines = b"PUT /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRepr-Digest: sha-512=:%b:\r\n" % value
    if not chunked:
        yield lines + b"Content-Length: %d\r\n\r\n" % len(body)
        yield body
        return
    yield lines + b"Transfer-Encoding: chunked\r\n\r\n"
    for start in range(0, len(body), 100_000):
        piece = body[start : start + 100_000]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


class DigestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.service = StrictService()
        self.addCleanup(self.service.stop)
        self.gateway = RunningGateway(CONFIGURATION.format(port=self.service.port), workers=1)
        self.addCleanup(self.gateway.stop)

    def send(self, body: bytes, digest: bytes, *, chunked: bool) -> Answer:
        """Upload a body on a connection of its own; return the answer."""
        with socket.create_connection(("127.0.0.1", self.gateway.port), timeout=20) as connection:
            for piece in upload(body, digest, chunked=chunked):
                connection.sendall(piece)
            received = b""
            while data := connection.recv(65536):
                received += data
        (answer,) = read_answers(received, (b"PUT",))
        return answer

    def settle(self) -> None:
        """Wait until the gateway has closed its connections to the service."""
        for thread in self.service.connections:
            thread.join(5)
            self.assertFalse(thread.is_alive())

    def forget(self) -> None:
        """Forget what the service has seen."""
        self.settle()
        self.service.seen.clear()
        self.service.connections.clear()

    def test_sizes(self) -> None:
        """Of bodies of any size and framing, those with their own digest come whole, and no other one does."""
        for size in SIZES:
            body = Random(size).randbytes(size)
            for chunked in (False, True):
                answer = self.send(body, sha512(body + b"!").digest(), chunked=chunked)
                self.assertEqual((answer.status, answer.complete), (400, True), (size, chunked))
                self.assertEqual(json.loads(answer.body)["type"], "urn:tracseq:problem:digest-mismatch")
                self.settle()
                begun = [seen for seen in self.service.seen if seen.heads]
                self.assertEqual([seen.whole for seen in begun], [0] * len(begun), (size, chunked))
                if size != 65536:  # which is as much as is waited for
                    self.assertEqual(bool(begun), size > 65536, (size, chunked))
                self.forget()
                self.assertEqual(self.send(body, sha512(body).digest(), chunked=chunked).status, 200)
                (seen,) = self.service.seen
                self.assertEqual((seen.whole, bytes(seen.body)), (1, body))
                self.forget()
