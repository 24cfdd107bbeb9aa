"""curl's own ways through a whole gateway: asking before it sends, and files that are longer than memory should be."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import proc
from benchmarks.payload import CHUNK, payload
from tests.clients_kit import shared_gateway
from tests.clients_programs import missing_curl

SIZE = 100_000_000
MOST_GROWTH = 20_000_000
"""Bytes of the worker's memory for one upload of any length."""
MOST_TOO_MUCH = 20_000_000
"""Bytes of a refused upload that may still have been on their way."""
CHUNKED = ("-H", "Transfer-Encoding: chunked")
ASKS_FIRST = ("-H", "Expect: 100-continue", "--expect100-timeout", "10")


class CurlTests(SynchronousTestCase):
    if missing_curl():
        skip = missing_curl()

    def setUp(self) -> None:
        self.gateway = shared_gateway()
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def curl(self, path: str, *options: str) -> tuple[dict[str, Any], str, str]:
        """Ask; return what curl knows of the transfer, the head or heads, and the body."""
        head, body = self.directory / "head", self.directory / "body"
        written = ("--output", str(body), "--dump-header", str(head), "--write-out", "%{json}")
        url = f"http://127.0.0.1:{self.gateway.port}{path}"
        command = ["curl", "--http1.1", "--silent", "--noproxy", "*", *written, *options, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return json.loads(done.stdout), head.read_text(), body.read_text()

    def large_file(self) -> tuple[str, str]:
        """The path of a large file, and its digest."""
        file, digest, noise = self.directory / "large", hashlib.sha256(), os.urandom(CHUNK)
        with file.open("wb") as output:
            for chunk in payload(SIZE, noise):
                digest.update(chunk)
                output.write(chunk)
        return str(file), digest.hexdigest()

    def test_continue(self) -> None:
        """A client that asks whether to send its body is told to at once, and then sends it."""
        told, heads, body = self.curl("/lab/seen", *ASKS_FIRST, "--data-binary", "some")
        self.assertTrue(heads.startswith("HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\n"), heads)
        self.assertEqual((told["size_upload"], json.loads(body)["size"]), (4, 4))
        self.assertLess(told["time_total"], 5.0)

    def test_refused_before(self) -> None:
        """One that will be refused hears that instead, and has sent nothing."""
        file, _ = self.large_file()
        for path, status in (("/small/seen", 413), ("/closed/seen", 401), ("/nowhere", 404)):
            told, heads, body = self.curl(path, *ASKS_FIRST, "--data-binary", f"@{file}")
            self.assertEqual((told["response_code"], told["size_upload"]), (status, 0))
            self.assertNotIn("100 Continue", heads)
            self.assertEqual(json.loads(body)["status"], status)

    def test_large_upload(self) -> None:
        """A large file arrives as it is, however it is framed, and the worker keeps hardly any of it."""
        file, digest = self.large_file()
        (worker,) = self.gateway.worker_pids()
        for framing in ((), CHUNKED):
            proc.forget_peak(worker)
            before = proc.resident(worker)
            told, _, body = self.curl("/lab/seen", *framing, "-T", file)
            self.assertEqual(told["response_code"], 200, told)
            self.assertEqual((json.loads(body)["size"], json.loads(body)["sha256"]), (SIZE, digest))
            self.assertLess(proc.peak_resident(worker) - before, MOST_GROWTH)

    def test_refused_while_uploading(self) -> None:
        """A file whose length nobody said is refused with 413 where it gets too long, and curl stops sending it."""
        file, _ = self.large_file()
        told, _, body = self.curl("/small/seen", *CHUNKED, "-T", file)
        self.assertEqual((told["response_code"], json.loads(body)["status"]), (413, 413))
        self.assertLess(told["size_upload"], MOST_TOO_MUCH)
