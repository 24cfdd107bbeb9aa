"""The service of the transfer part, a process of its own: it takes an upload slowly and sends a download at once.

``POST /...`` reads the body at :class:`SlowPace` and answers with its size and SHA-256 as JSON. ``GET /...?bytes=N``
sends N bytes as fast as they are taken; the next GET of any path that ends in ``/digest`` says what was sent. Any other
GET answers 200 with an empty object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from benchmarks.payload import CHUNK, SlowPace, payload

SMALL_BUFFER = 64 * 1024


class SlowPeer(ThreadingHTTPServer):
    """Listens on 127.0.0.1 with a small receive buffer, so that the sender feels the pace soon."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        self.noise = os.urandom(CHUNK)
        self.sent = {"bytes": 0, "sha256": ""}
        super().__init__(("127.0.0.1", port), Handler)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        super().server_bind()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: SlowPeer

    def do_POST(self) -> None:
        digest = hashlib.sha256()
        pace = SlowPace()
        left = length = int(self.headers["Content-Length"])
        while left:
            data = self.rfile.read1(min(left, CHUNK))
            if not data:
                raise ConnectionError(f"the upload ended {left} bytes early")
            left -= len(data)
            digest.update(data)
            pace.took(len(data))
        self._answer({"bytes": length, "sha256": digest.hexdigest()})

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        wanted = parse_qs(target.query).get("bytes")
        if wanted:
            self._send(int(wanted[0]))
        elif target.path.endswith("/digest"):
            self._answer(self.server.sent)
        else:
            self._answer({})

    def _send(self, total: int) -> None:
        digest = hashlib.sha256()
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(total))
        self.end_headers()
        for chunk in payload(total, self.server.noise):
            digest.update(chunk)
            self.wfile.write(chunk)
        self.server.sent = {"bytes": total, "sha256": digest.hexdigest()}

    def _answer(self, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    """The process's entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    SlowPeer(parser.parse_args().port).serve_forever()


if __name__ == "__main__":
    main()
