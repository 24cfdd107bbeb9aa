"""A line that breaks, and a service that remembers what it was given, for uploads over real sockets."""

from __future__ import annotations

import hashlib
import socket
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

from attrs import frozen

PIECE = 16384


@frozen
class Delivered:
    """One request as the service got it."""

    path: str
    media_type: str
    size: int
    sha256: str
    is_what_it_says: bool
    """Whether Repr-Digest is right."""
    key: str


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        size = int(self.headers["content-length"])
        digest, left = hashlib.sha256(), size
        while left:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:
                return
            digest.update(piece)
            left -= len(piece)
        said = f"sha-256=:{b64encode(digest.digest()).decode()}:"
        fields = self.headers
        self.server.delivered.append(
            Delivered(
                self.path,
                fields["content-type"],
                size,
                digest.hexdigest(),
                fields["repr-digest"] == said,
                fields["idempotency-key"],
            )
        )
        self.server.before_answer()
        self.send_response(201)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    delivered: list[Delivered]
    before_answer: Callable[[], object]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: gateways that are killed break their connections."""


class UploadService:
    """Takes what is posted to it, in a thread."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self.delivered: list[Delivered] = []
        self._server.delivered = self.delivered
        self.port: int = self._server.server_address[1]
        self._server.before_answer = lambda: None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def call_before_answer(self, function: Callable[[], object]) -> None:
        """Have ``function`` called when a request has come whole, before it is answered."""
        self._server.before_answer = function

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class BrokenLine:
    """Passes connections on to a port, and cuts most of them after some bytes, in the one direction or the other."""

    def __init__(self, port: int, random: Random, least: int, most: int) -> None:
        """A connection is cut after ``least`` to ``most`` bytes from the client, or with its answer."""
        self._to = port
        self._random = random
        self._bounds = least, most
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    gateway = socket.create_connection(("127.0.0.1", self._to))
                except ConnectionRefusedError:
                    client.close()  # it is being started again
                    continue
                self._open += [client, gateway]
                kind = self._random.random()
                there = self._random.randint(*self._bounds) if kind < 0.7 else None
                back = 1 if 0.7 <= kind < 0.8 else None
                for source, target, left in ((client, gateway, there), (gateway, client, back)):
                    threading.Thread(target=self._pass_on, args=(source, target, left), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, left: int | None) -> None:
        with suppress(OSError):
            while data := source.recv(PIECE if left is None else min(PIECE, left)):
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        self.cuts += 1
                        break
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
