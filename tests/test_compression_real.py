"""Compression through a gateway of processes, as curl sees it, and as its library decodes it."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.compression_kit import samples
from tests.running_kit import RunningGateway

CONFIGURATION = """
[services.lab]
prefix = "/lab"
rewrite = ""
instances = ["http://127.0.0.1:{port}"]
[compression]
enabled = true
[metrics]
enabled = true
"""
CURL = shutil.which("curl")
LARGE = 3_000_000


class _Lab(BaseHTTPRequestHandler):
    """Gives documents: whole, in chunks with pauses, or broken off."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        answers = {"/whole": self._whole, "/slow": self._slow, "/broken": self._broken}
        answers.get(asked.path, self._healthy)(parse_qs(asked.query))

    do_HEAD = do_GET

    def _begin(self, *fields: tuple[str, str]) -> None:
        self.send_response(200)
        for name, value in (("content-type", "application/json"), *fields):
            self.send_header(name, value)
        self.end_headers()

    def _healthy(self, query: dict[str, list[str]]) -> None:
        self._begin(("content-length", "0"))

    def _whole(self, query: dict[str, list[str]]) -> None:
        body = samples(int(query["size"][0]))
        if self.headers.get("if-none-match") in ('"v1"', 'W/"v1"'):
            self.send_response(304)
            self.send_header("etag", '"v1"')
            self.end_headers()
            return
        self._begin(("content-length", str(len(body))), ("etag", '"v1"'))
        if self.command == "GET":
            self.wfile.write(body)

    def _slow(self, query: dict[str, list[str]]) -> None:
        assert isinstance(self.server, _Server)
        self._begin(("transfer-encoding", "chunked"))
        for piece in (b'{"step": 1}\n', b'{"step": 2}\n'):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.server.go_on.wait(10)
        self.wfile.write(b"0\r\n\r\n")

    def _broken(self, query: dict[str, list[str]]) -> None:
        self._begin(("content-length", "100000"))
        self.wfile.write(samples(50_000))
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Lab)
        self.go_on = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no error."""


class CurlTests(SynchronousTestCase):
    if CURL is None:
        skip = "curl is not installed"

    def setUp(self) -> None:
        server = self.server = _Server()
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.gateway = RunningGateway(CONFIGURATION.format(port=server.server_address[1]), workers=1)
        self.addCleanup(self.gateway.stop)

    def command(self, path: str, *options: str) -> list[str]:
        return [str(CURL), "--silent", "--max-time", "20", *options, f"http://127.0.0.1:{self.gateway.port}/lab{path}"]

    def curl(self, path: str, *options: str) -> tuple[int, bytes]:
        """What curl gives back, and what it writes."""
        done = subprocess.run(self.command(path, *options), capture_output=True, timeout=30, check=False)
        return done.returncode, done.stdout

    def test_decoded(self) -> None:
        """curl decodes every coding to what the service said, short and long, on HTTP/1.0 and 1.1."""
        for coding in ("gzip", "br", "zstd"):
            for size in (100, 10_000, LARGE):
                for version in ("--http1.0", "--http1.1"):
                    wanted = ("--compressed", "--header", f"Accept-Encoding: {coding}", version)
                    status, body = self.curl(f"/whole?size={size}", *wanted)
                    self.assertEqual((0, True), (status, body == samples(size)), (coding, size, version))

    def smaller(self) -> None:
        """Ask as curl does by itself, for all that it can decode, and look at what went over the wire."""
        told = ("--output", "/dev/null", "--write-out", "%{size_download} %{header_json}")
        status, text = self.curl(f"/whole?size={LARGE}", "--compressed", *told)
        size, _, fields = text.decode().partition(" ")
        self.assertEqual(0, status)
        self.assertLess(int(size), LARGE / 5)
        self.assertRegex(fields, r'"content-encoding":\["(zstd|br|gzip)"\]')
        self.assertIn('"vary":["accept-encoding"]', fields)
        self.assertIn('"etag":["W/\\"v1\\""]', fields)

    def test_fields(self) -> None:
        """What goes over the wire is a fifth or less; the tag of an encoded answer is good for asking again."""
        self.smaller()
        wanted = ("--header", "Accept-Encoding: gzip", "--include")
        _, answer = self.curl("/whole?size=5000", *wanted, "--header", 'If-None-Match: W/"v1"')
        head = answer.decode("latin-1").lower()
        self.assertIn(" 304 ", head)
        self.assertIn('etag: w/"v1"', head)

    def test_flushed(self) -> None:
        """A piece of a stream is there, decoded, before the service says the next one."""
        for coding in ("gzip", "br", "zstd"):
            self.server.go_on.clear()
            words = self.command("/slow", "--compressed", "--no-buffer", "--header", f"Accept-Encoding: {coding}")
            with subprocess.Popen(words, stdout=subprocess.PIPE) as curl:
                assert curl.stdout is not None
                began = time.monotonic()
                self.assertEqual(b'{"step": 1}\n', curl.stdout.readline())
                self.assertLess(time.monotonic() - began, 5)
                self.server.go_on.set()
                self.assertEqual(b'{"step": 2}\n', curl.stdout.read())
                self.assertEqual(0, curl.wait(10))

    def test_broken(self) -> None:
        """A service that breaks off is an error to curl, in every coding; clients that leave harm nobody."""
        for coding in ("gzip", "br", "zstd"):
            status, body = self.curl("/broken", "--compressed", "--header", f"Accept-Encoding: {coding}")
            self.assertNotEqual(0, status, coding)
            self.assertTrue(samples(50_000).startswith(body))
        leaving = [
            subprocess.Popen(
                self.command(f"/whole?size={LARGE}", "--compressed", "--limit-rate", "20k"), stdout=subprocess.DEVNULL
            )
            for _ in range(4)
        ]
        time.sleep(0.2)
        for process in leaving:
            process.kill()
            process.wait(10)
        self.smaller()
        self.assertNotIn("Traceback", self.gateway.said())
