"""The service behind the gateway in the tests with real clients: it says what it was asked, and answers as told.

Any method of ``/seen...`` is answered with what came, as JSON. ``GET`` or ``HEAD /bytes/N`` has N bytes, also in part
(Range), ``/text`` a long text, ``/page`` a page for browsers, ``/status/N`` an empty answer with that status;
``/moved`` leads to ``/lab/seen/moved``, and ``/cookies`` sets two.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from random import Random
from typing import Any

from tests.threaded_service import ThreadedService

PIECE = 65536
TEXT = b"".join(b"%d bottles hang on the wall of the laboratory.\n" % number for number in range(2000))
PAGE = b"<!doctype html><title>a page of the service</title>"
ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

_RANGE = re.compile(r"bytes=(\d+)-(\d+)").fullmatch


def noise(size: int) -> bytes:
    """Bytes that no client can compress or mistake, the same for the same size."""
    return Random(size).randbytes(size)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_request(self) -> None:
        size, digest = 0, hashlib.sha256()
        for piece in self._body():
            size += len(piece)
            digest.update(piece)
        resource, _, argument = self.path.lstrip("/").partition("/")
        if resource == "bytes":
            self._bytes(noise(int(argument)))
        elif resource == "text":
            self._answer(200, TEXT, ("content-type", "text/plain"))
        elif resource == "page":
            self._answer(200, PAGE, ("content-type", "text/html"))
        elif resource == "status":
            self._answer(int(argument), b"")
        elif resource == "moved":
            self._answer(302, b"", ("location", "/lab/seen/moved"))
        elif resource == "cookies":
            self._answer(200, b"", ("set-cookie", "theme=dark; Path=/"), ("set-cookie", "bar=open; Path=/"))
        else:
            fields = {name.lower(): value for name, value in self.headers.items()}
            seen = {"method": self.command, "path": self.path, "fields": fields}
            document = json.dumps(seen | {"size": size, "sha256": digest.hexdigest()}).encode()
            self._answer(200, document, ("content-type", "application/json"))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding") == "chunked":
            while length := int(self.rfile.readline(), 16):
                yield self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("content-length") or 0)
        while left:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:
                raise ConnectionError(f"a body ended {left} bytes early")
            left -= len(piece)
            yield piece

    def _bytes(self, data: bytes) -> None:
        part = _RANGE(self.headers.get("range") or "")
        kind = ("content-type", "application/octet-stream"), ("accept-ranges", "bytes")
        if part is None:
            self._answer(200, data, *kind)
            return
        first, last = int(part[1]), int(part[2])
        where = "content-range", f"bytes {first}-{last}/{len(data)}"
        self._answer(206, data[first : last + 1], *kind, where)

    def _answer(self, status: int, body: bytes, *fields: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class LabService(ThreadedService):
    """The service, in threads."""

    def __init__(self) -> None:
        super().__init__(_Handler)
