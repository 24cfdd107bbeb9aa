"""Instances from files and from endpoints: real files, and a real server on a loopback port."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.process_kit import freePort
from tracseq_gateway.config import Instance
from tracseq_gateway.discovery import document
from tracseq_gateway.discovery import file as file_module
from tracseq_gateway.discovery.document import LARGEST
from tracseq_gateway.discovery.endpoint import EndpointSource
from tracseq_gateway.discovery.file import FileSource
from tracseq_gateway.discovery.source import NotFound
from tracseq_gateway.upstream.health import probing_agent

Instances = tuple[Instance, ...]


def at_once(work: Callable[[], Instances]) -> Deferred[Instances]:
    """Call at once, as a thread would."""
    try:
        return succeed(work())
    except NotFound:
        failed: Deferred[Instances] = Deferred()
        failed.errback(Failure())
        return failed


class FileTests(SynchronousTestCase):
    """``FileSource``, read at once."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.source = FileSource(str(self.file), at_once)

    def found(self) -> list[str]:
        return [instance.url for instance in self.successResultOf(self.source.find())]

    def reason(self) -> str:
        return str(self.failureResultOf(self.source.find(), NotFound).value)

    def test_changes(self) -> None:
        """What is found follows the file, whether it is written in place or replaced by renaming."""
        self.file.write_text('["http://a:1"]')
        self.assertEqual(["http://a:1"], self.found())
        self.file.write_text('["http://b:1"]')
        self.assertEqual(["http://b:1"], self.found())
        other = Path(self.mktemp())
        other.write_text('{"instances": ["http://c:1"]}')
        other.rename(self.file)
        self.assertEqual(["http://c:1"], self.found())

    def test_toml(self) -> None:
        """A name that ends in ``.toml`` says that it is TOML."""
        toml = self.file.with_suffix(".toml")
        toml.write_text('instances = ["http://a:1"]')
        self.source = FileSource(str(toml), at_once)
        self.assertEqual(["http://a:1"], self.found())
        self.assertEqual(f"file {toml}", str(self.source))

    def test_parsedOnce(self) -> None:
        """A file that has not changed is not parsed again; one that was wrong is, and is found when it is right."""
        parsed: list[bytes] = []
        parse = document.parse

        def counting(data: bytes, form: Any) -> Instances:
            parsed.append(data)
            return parse(data, form)

        self.patch(file_module, "parse", counting)
        self.file.write_text('["http://a:1"]')
        self.assertEqual([["http://a:1"]] * 3, [self.found() for _ in range(3)])
        self.assertEqual(1, len(parsed))
        self.file.write_text("[")
        self.assertIn("not JSON", self.reason())
        self.assertIn("not JSON", self.reason())
        self.file.write_text('["http://a:1"]')
        self.assertEqual(["http://a:1"], self.found())

    def test_unreadable(self) -> None:
        """A file that is gone, a pipe, a directory and one that is too large are no answer, and none is waited for."""
        self.assertEqual("unreachable file (No such file or directory)", self.reason())
        os.mkfifo(self.file)
        self.assertEqual("not a regular file", self.reason())
        self.file.unlink()
        self.file.mkdir()
        self.assertEqual("not a regular file", self.reason())
        self.file.rmdir()
        self.file.write_bytes(b" " * (LARGEST + 1))
        self.assertEqual(f"more than {LARGEST} bytes", self.reason())
        self.file.write_bytes(b'["http://a:1"]'.ljust(LARGEST))
        self.assertEqual(["http://a:1"], self.found())

    def test_hangs(self) -> None:
        """While a reading hangs there is no second one, even when the first is no longer waited for."""
        begun: list[Callable[[], Instances]] = []
        self.file.write_text('["http://a:1"]')

        def hang(work: Callable[[], Instances]) -> Deferred[Instances]:
            begun.append(work)
            return Deferred()

        self.source = FileSource(str(self.file), hang)
        looking = self.source.find()
        looking.addErrback(lambda _: None)
        looking.cancel()
        self.assertEqual("still being read", self.reason())
        begun[0]()
        self.source.find()
        self.assertEqual(2, len(begun))


class Talker(Protocol):
    """Says the same words to everybody, and remembers what it was asked."""

    def __init__(self, words: bytes, close: bool) -> None:
        self.words, self.close = words, close
        self.request = b""
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.request += data
        if self.request.endswith(b"\r\n\r\n"):
            self.transport.write(self.words)  # type: ignore[union-attr]
            if self.close:
                self.transport.loseConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.gone.callback(None)


class EndpointTests(TestCase):
    """``EndpointSource``, by the agent that the supervisor uses."""

    timeout = 20

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor

    def aside(self, work: Callable[[], Instances]) -> Deferred[Instances]:
        return cast(Deferred[Instances], deferToThreadPool(self.reactor, self.reactor.getThreadPool(), work))

    def source(self, words: bytes, close: bool = False) -> EndpointSource:
        """A source at a server that says this."""
        self.talker = Talker(words, close)
        factory = Factory.forProtocol(lambda: self.talker)
        factory.noisy = False
        port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(lambda: self.talker.gone)
        self.addCleanup(port.stopListening)
        return EndpointSource(
            f"http://127.0.0.1:{port.getHost().port}/list?token=secret", probing_agent(self.reactor), self.aside
        )

    async def reason(self, source: EndpointSource) -> str:
        error: Any = await self.assertFailure(cast(Any, source.find()), NotFound)
        return str(error)

    @staticmethod
    def answer(body: bytes, status: bytes = b"200 OK") -> bytes:
        return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)

    async def test_answer(self) -> None:
        """A 200 with a list is an answer to the whole URL, on a connection that is closed after it."""
        source = self.source(self.answer(json.dumps({"instances": [{"url": "http://a:1", "weight": 2}]}).encode()))
        self.assertEqual((Instance("http://a:1", 2),), await source.find())
        self.assertTrue(self.talker.request.startswith(b"GET /list?token=secret HTTP/1.1\r\n"))
        self.assertIn(b"Connection: close\r\n", self.talker.request)

    async def test_name(self) -> None:
        """The log is not told the query, which may hold a secret."""
        self.assertEqual("http://h/list", str(EndpointSource("http://h/list?token=x", cast(Any, None), at_once)))

    async def test_status(self) -> None:
        """Any other status is no answer, redirects among them."""
        good = b'["http://a:1"]'
        for status in (b"204 No Content", b"302 Found", b"404 Not Found", b"503 Sorry"):
            body = b"" if status.startswith(b"204") else good
            self.assertEqual(f"status {status[:3].decode()}", await self.reason(self.source(self.answer(body, status))))

    async def test_rubbish(self) -> None:
        """What is no list, no HTTP or no whole answer is no answer."""
        self.assertIn("not JSON", await self.reason(self.source(self.answer(b"<html>"))))
        self.assertEqual("not an HTTP answer", await self.reason(self.source(b"220 mail.example ESMTP\r\n\r\n")))
        cut = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n[]"
        self.assertEqual(
            "connection closed before the answer was complete", await self.reason(self.source(cut, close=True))
        )

    async def test_refused(self) -> None:
        """Nobody there is no answer."""
        source = EndpointSource(f"http://127.0.0.1:{freePort()}", probing_agent(self.reactor), self.aside)
        self.assertEqual("connection refused", await self.reason(source))

    async def test_endless(self) -> None:
        """No more is read than a list may have."""
        endless = b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (LARGEST + 1)
        self.assertEqual(f"an answer of more than {LARGEST} bytes", await self.reason(self.source(endless)))

    async def test_cancelled(self) -> None:
        """A look-up that is cancelled closes its connection."""
        source = self.source(b"")
        looking: Any = source.find()
        while not self.talker.request:
            await _turn(self.reactor)
        looking.cancel()
        await self.assertFailure(looking, NotFound)
        await self.talker.gone


def _turn(reactor: Any) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(0.001, done.callback, None)
    return done
