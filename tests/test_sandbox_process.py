"""The sandbox as a real process on real sockets."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from treq.client import HTTPClient
from treq.content import content as content_of
from treq.content import json_content
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, FileBodyProducer
from twisted.web.http_headers import Headers

from tests.sandbox_client import SECRET
from tracseq_gateway.sandbox import DEMO_PASSWORD
from tracseq_gateway.sandbox.process import run

ROOT = Path(__file__).parent.parent
MEMORY_ALLOWED = 20 * 1024 * 1024


class Child(ProcessProtocol):
    """One process of the sandbox; ``ended`` fires with its exit status, or None when a signal has ended it."""

    def __init__(self) -> None:
        self.errors = b""
        self.ended: Deferred[int | None] = Deferred()

    def signal(self, number: int) -> None:
        assert self.transport is not None
        self.transport.signalProcess(number)

    def kill(self) -> None:
        """Leave no process behind a test that failed."""
        if not self.ended.called:
            self.signal(signal.SIGKILL)

    def errReceived(self, data: bytes) -> None:
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(cast(ProcessTerminated, reason.value).exitCode)


class ProcessCase(TestCase):
    """A test with sockets that outlive the process."""

    timeout = 30
    services: tuple[str, ...]

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.data = Path(self.mktemp()).absolute()
        self.client = HTTPClient(Agent(reactor))
        self.sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in self.services}
        for listener in self.sockets.values():
            self.addCleanup(listener.close)

    @asynccontextmanager
    async def sandbox(self) -> AsyncIterator[tuple[Child, int]]:
        """Run a process; yields it with our end of its lifetime, which is closed in the end."""
        theirs, ours = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        descriptors: dict[int, int | str] = {0: nothing, 1: "r", 2: "r", 3: theirs}
        arguments = [sys.executable, "-m", "tracseq_gateway.sandbox", "--data", str(self.data), "--lifetime", "3"]
        for number, (name, listener) in enumerate(self.sockets.items(), 4):
            descriptors[number] = listener.fileno()
            arguments += ["--socket", f"{name}={number}"]
        child = Child()
        environment = {**os.environ, "AUTHENTICATION__JWT_SECRET_KEY": SECRET, "PYTHONPATH": str(ROOT)}
        self.reactor.spawnProcess(child, sys.executable, arguments, environment, childFDs=descriptors)
        self.addCleanup(child.kill)
        os.close(theirs)
        os.close(nothing)
        try:
            yield child, ours
        finally:
            if not child.ended.called:
                os.close(ours)
                await child.ended
            self.assertEqual(b"", child.errors)

    def url(self, service: str, path: str) -> str:
        return f"http://127.0.0.1:{self.sockets[service].getsockname()[1]}/api/v1{path}"

    async def get(self, service: str, path: str, **rest: Any) -> Any:
        return await json_content(await self.client.get(self.url(service, path), **rest))

    async def post(self, service: str, path: str, body: Any) -> Any:
        return await json_content(await self.client.post(self.url(service, path), json=body))


class LifeTests(ProcessCase):
    """The process from start to end."""

    services = ("auth", "samples")

    async def test_life(self) -> None:
        """It serves on what it was given, ignores Ctrl-C, keeps its data over a restart, and leaves with its parent."""
        credentials = {"email": "guest@sandbox.tracseq.test", "password": DEMO_PASSWORD}
        async with self.sandbox() as (child, _):
            grant = (await self.post("auth", "/login", credentials))["data"]
            child.signal(signal.SIGINT)
            samples = (await self.get("samples", "/samples"))["data"]
            self.assertEqual(36, len(samples))
            new = await self.post("samples", "/samples", {"name": "Kept", "sample_type": "DNA"})
            child.signal(signal.SIGTERM)
            self.assertEqual(0, await child.ended)
        async with self.sandbox() as (child, ours):
            # Both answers come from the second process: the connections waited in the queue of the sockets.
            self.assertEqual([new["data"], *samples], (await self.get("samples", "/samples"))["data"])
            headers = {"Authorization": f"Bearer {grant['access_token']}"}
            self.assertEqual(credentials["email"], (await self.get("auth", "/me", headers=headers))["data"]["email"])
            left = self.reactor.seconds()
            os.close(ours)
            self.assertEqual(0, await child.ended)
            self.assertLess(self.reactor.seconds() - left, 1)
        self.assertEqual(0o700, self.data.stat().st_mode & 0o777)


class UploadTests(ProcessCase):
    """Large documents."""

    services = ("rag",)

    def memory(self, child: Child) -> int:
        """Return the most memory that the process has ever had, in bytes."""
        assert child.transport is not None
        status = Path(f"/proc/{child.transport.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    async def test_largeDocument(self) -> None:
        """A large upload and its download cost hardly any memory, and the file comes back byte for byte."""
        content = b"All samples of the batch are measured twice. " * (1024 * 1024)
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="\xc3\xa4.txt"\r\n\r\n'
        async with self.sandbox() as (child, _):
            await self.get("rag", "/health")
            before = self.memory(child)
            sent = await self.client.post(
                self.url("rag", "/documents/upload"),
                data=FileBodyProducer(io.BytesIO(head + content + b"\r\n--b--\r\n")),
                headers=Headers({"Content-Type": ["multipart/form-data; boundary=b"]}),
            )
            document = (await json_content(sent))["data"]
            self.assertEqual((201, len(content), True), (sent.code, document["size"], document["is_text"]))
            response = await self.client.get(self.url("rag", f"/documents/{document['id']}/content"))
            self.assertEqual(content, await content_of(response))
            self.assertLess(self.memory(child) - before, MEMORY_ALLOWED)
            fields = {name: response.headers.getRawHeaders(name) for name in ("content-type", "x-content-type-options")}
            self.assertEqual(
                {"content-type": ["application/octet-stream"], "x-content-type-options": ["nosniff"]}, fields
            )
            self.assertIn("filename*=UTF-8''%C3%A4.txt", response.headers.getRawHeaders("content-disposition")[0])

    if not Path("/proc/self/status").exists():
        test_largeDocument.skip = "memory is read from /proc"  # type: ignore[attr-defined]

    async def test_formWithoutBoundary(self) -> None:
        """A form that cannot be taken apart is refused by the service, in its own words."""
        async with self.sandbox():
            kind = Headers({"Content-Type": ["multipart/form-data"]})
            response = await self.client.post(self.url("rag", "/documents/upload"), data=b"x", headers=kind)
            self.assertEqual((400, "malformed_form"), (response.code, (await json_content(response))["error"]["code"]))


class CommandLineTests(SynchronousTestCase):
    """The command line."""

    def complaint(self, *arguments: str) -> str:
        """Return the last line of what a wrong command line is told; nothing is started."""
        errors = io.StringIO()
        self.patch(sys, "stderr", errors)
        self.assertEqual(2, self.assertRaises(SystemExit, run, None, arguments).code)
        return errors.getvalue().splitlines()[-1]

    def test_wrong(self) -> None:
        """What is missing or wrong is said in a sentence."""
        self.assertIn("--data is missing", self.complaint("--socket", "auth=3"))
        self.assertIn("--socket is missing", self.complaint("--data", "x"))
        self.assertIn("there is no service 'mail'", self.complaint("--data", "x", "--socket", "mail=3"))
        self.assertIn("'x' is not the number of a descriptor", self.complaint("--data", "x", "--socket", "auth=x"))
        self.assertFalse(Path("x").exists())

    def test_wrongAlone(self) -> None:
        """So it is for a service that is to be served alone."""
        self.assertIn("there is no service 'mail'", self.complaint("--data", "x", "--service", "mail"))
        self.assertIn("without --socket", self.complaint("--data", "x", "--service", "rag", "--socket", "auth=3"))
        self.assertIn("up to 65535", self.complaint("--data", "x", "--service", "auth", "--port", "http"))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            self.assertIn(f"--port {port}: ", self.complaint("--data", "x", "--service", "auth", "--port", port))
