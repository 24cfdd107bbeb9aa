"""A service for browsers, in threads of the test: a page, a stream of events, and a WebSocket that notes who leaves."""

from __future__ import annotations

import select
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

PAGE = b"<!doctype html><title>live</title><p>live</p>"


class StreamsService:
    """``events`` and ``live`` are ports; what happened there stands in the lists."""

    def __init__(self) -> None:
        self.resumed: list[str] = []
        """The Last-Event-ID of each stream that was opened; empty: it was a first one."""
        self.left: list[tuple[str, float]] = []
        """What somebody left, and when by the monotonic clock."""
        self.events = _EventServer(self)
        self.live = serve(self._echo, "127.0.0.1", 0)
        self._threads = [
            threading.Thread(target=self.events.serve_forever, args=(0.02,), daemon=True),
            threading.Thread(target=self.live.serve_forever, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def ports(self) -> tuple[int, int]:
        """Of the page and its events, and of the WebSocket."""
        return self.events.server_address[1], self.live.socket.getsockname()[1]

    def note_leaving(self, what: str) -> None:
        self.left.append((what, time.monotonic()))

    def _echo(self, connection: ServerConnection) -> None:
        try:
            for message in connection:
                connection.send(message)
        except ConnectionClosed:
            pass  # without a Close of its own, as from whoever may no longer
        self.note_leaving("live")

    def stop(self) -> None:
        self.events.ending.set()
        self.events.shutdown()
        self.events.server_close()
        self.live.shutdown()
        for thread in self._threads:
            thread.join(5)


class _EventServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    server_address: tuple[str, int]

    def __init__(self, service: StreamsService) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = service
        self.ending = threading.Event()
        self.count = 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # the gateway drops its connections when it stops
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _EventServer

    def do_GET(self) -> None:
        if self.path == "/events":
            self._stream()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def _stream(self) -> None:
        server = self.server
        server.service.resumed.append(self.headers.get("Last-Event-ID", ""))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"retry: 100\n\n")
        while not server.ending.is_set():
            if select.select([self.connection], [], [], 0.05)[0]:
                server.service.note_leaving("events")
                break
            server.count += 1
            self.wfile.write(b"id: %d\ndata: %d\n\n" % (server.count, server.count))
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass
