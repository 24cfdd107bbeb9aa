"""When documents are fetched, how long they are kept, and what is shown while a service is down."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, execute, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent

from tests.openapi_kit import FRONT, document, getting
from tracseq_gateway.openapi.addresses import Address
from tracseq_gateway.openapi.catalogue import Catalogue, Rendered
from tracseq_gateway.openapi.merge import Part
from tracseq_gateway.openapi.sources import NotServed, Source, Tools, fetcher

KEEP, TIMEOUT = 60.0, 3.0


class CatalogueCase(SynchronousTestCase):
    """Two services, whose answers the test gives."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.asked: list[tuple[str, Deferred[bytes]]] = []
        self.instance: str | None = "http://10.0.0.7:8081"
        tools = Tools(self.fetch, execute, self.clock, lambda: 1_772_359_200.0 + self.clock.seconds(), KEEP, TIMEOUT)
        parts = []
        for name in ("samples", "rag"):
            source = Source(name, "/openapi.json", Address(f"/{name}", ""), lambda: self.instance, tools)
            parts.append((Part(name, f"/{name}", None, "none"), source))
        nowhere = Source("storage", "", Address("/storage", ""), lambda: self.instance, tools)
        parts.append((Part("storage", "/storage", None, "none"), nowhere))
        self.rendered = 0
        self.catalogue = Catalogue(FRONT, parts, self.render)

    def fetch(self, url: str) -> Deferred[bytes]:
        answer: Deferred[bytes] = Deferred()
        self.asked.append((url, answer))
        return answer

    def render(self, work: Callable[[], Rendered]) -> Deferred[Rendered]:
        self.rendered += 1
        return execute(work)

    def answer(self, *outcomes: bytes | Exception) -> None:
        """Give these answers to those who were asked, in their order."""
        asked, self.asked = self.asked, []
        self.assertEqual(len(asked), len(outcomes))
        for (_, waiting), outcome in zip(asked, outcomes, strict=True):
            if isinstance(outcome, Exception):
                waiting.errback(outcome)
            else:
                waiting.callback(outcome)

    def ask(self, *outcomes: bytes | Exception) -> dict[str, Any]:
        """Ask for the document while services answer so."""
        waiting = self.catalogue.document()
        self.answer(*outcomes)
        found: dict[str, Any] = json.loads(self.successResultOf(waiting).plain)
        return found

    def states(self, made: dict[str, Any]) -> list[tuple[str, str]]:
        """The state of each document, and the first note."""
        return [(it["document"], it.get("notes", [""])[0]) for it in made["x-services"]]


def content(path: str = "/x", **rest: Any) -> bytes:
    return json.dumps(document({path: getting()}, **rest)).encode()


class KeepingTests(CatalogueCase):
    def test_lazy(self) -> None:
        """Nothing is fetched before somebody asks; then each is, once, from an instance, and kept for its time."""
        self.assertEqual(self.asked, [])
        first, second = self.catalogue.document(), self.catalogue.document()
        self.assertEqual([url for url, _ in self.asked], ["http://10.0.0.7:8081/openapi.json"] * 2)
        self.answer(content(), content("/y"))
        self.assertIs(self.successResultOf(first), self.successResultOf(second))
        self.clock.advance(KEEP - 1)
        made = self.ask()
        self.assertEqual({path for path in made["paths"] if path[1:4] in ("sam", "rag")}, {"/samples/x", "/rag/y"})
        self.assertEqual([state for state, _ in self.states(made)], ["current", "current", "none"])

    def test_renewed(self) -> None:
        """An old document is fetched again by who asks then; the merged one is made anew only if one has changed."""
        before = self.ask(content(), content())
        self.clock.advance(KEEP)
        self.assertEqual(self.ask(content(), content()), before)
        self.assertEqual(self.rendered, 1)
        self.clock.advance(KEEP)
        self.assertIn("/samples/z", self.ask(content("/z"), content())["paths"])
        self.assertEqual(self.rendered, 2)

    def test_encodings(self) -> None:
        """What is sent by gzip is the same, and the tag changes with the content alone."""
        waiting = self.catalogue.document()
        self.answer(content(), content())
        one = self.successResultOf(waiting)
        self.assertEqual(gzip.decompress(one.zipped), one.plain)
        self.clock.advance(KEEP)
        waiting = self.catalogue.document()
        self.answer(content("/y"), content())
        self.assertNotEqual(self.successResultOf(waiting).tag, one.tag)


class FailureTests(CatalogueCase):
    def test_down(self) -> None:
        """A service that is down is shown by its last document, which says how old it is; then by the new one."""
        self.ask(content(), content())
        self.clock.advance(KEEP)
        made = self.ask(ConnectionRefusedError(), content())
        state, note = self.states(made)[0]
        self.assertEqual(state, "stale")
        self.assertRegex(note, r"as of 2026-03-01 10:16:40 UTC; there is no newer one: connection refused")
        self.assertIn("/samples/x", made["paths"])
        self.clock.advance(9)
        self.ask()
        self.clock.advance(1)
        self.assertEqual(self.states(self.ask(content()))[0], ("current", ""))

    def test_never_there(self) -> None:
        """Of a service that never gave a document, the routes are listed, with a reason that says nothing of hosts."""
        for error, reason in (
            (ConnectionRefusedError("10.0.0.7"), "connection refused"),
            (NotServed(404), "status 404"),
            (NotServed(302), "status 302"),
            (ValueError("an answer of more than 5 bytes"), "too large"),
            (OSError("10.0.0.7"), "no answer"),
        ):
            self.setUp()
            made = self.ask(error, b'{"swagger": "2.0"}')
            self.assertIn("/samples/{path}", made["paths"])
            (_, first), (_, second), (_, third) = self.states(made)
            self.assertIn(reason, first)
            self.assertIn("Swagger 2.0", second)
            self.assertEqual(third, "No document is configured.")
            self.assertNotIn("10.0.0.7", json.dumps(made))

    def test_withdrawn(self) -> None:
        """A service that says it has none any more is believed; one that sends nonsense is not."""
        self.ask(content(), content())
        self.clock.advance(KEEP)
        made = self.ask(NotServed(404), b"<html>")
        self.assertEqual([state for state, _ in self.states(made)], ["none", "stale", "none"])

    def test_slow(self) -> None:
        """A service that does not answer costs its timeout, and then none for a while; what it says later is lost."""
        waiting = self.catalogue.document()
        (_, first), (_, second) = self.asked
        second.callback(content())
        self.clock.advance(TIMEOUT - 0.1)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        made = json.loads(self.successResultOf(waiting).plain)
        self.assertIn("no answer within 3 s", self.states(made)[0][1])
        self.assertTrue(first.called, "it was cancelled")
        self.asked.clear()
        self.assertEqual(self.ask(), made)

    def test_nobody(self) -> None:
        """With no instance nobody is asked."""
        self.instance = None
        self.assertIn("no instance is healthy", self.states(self.ask())[0][1])

    def test_stop(self) -> None:
        """A worker that stops breaks off what it fetches, and leaves no timer."""
        waiting = self.catalogue.document()
        self.catalogue.stop()
        self.successResultOf(waiting)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_defect(self) -> None:
        """A defect in the merging reaches who asked, and the next is served."""
        self.catalogue._aside = lambda work: fail(ZeroDivisionError())
        waiting = self.catalogue.document()
        self.answer(content(), content())
        self.failureResultOf(waiting, ZeroDivisionError)
        self.catalogue._aside = self.render
        self.assertIn("/samples/x", self.ask()["paths"])


class FetcherTests(SynchronousTestCase):
    def test_bounds(self) -> None:
        """Only a 200 with at most so many bytes is a document; redirects are not followed."""
        for answer, error in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", None),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef", ValueError),
            (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\n\r\n", NotServed),
            (b"HTTP/1.1 500 Oh\r\nContent-Length: 100000000\r\n\r\n", NotServed),
        ):
            reactor = MemoryReactorClock()
            fetched = fetcher(Agent(reactor), 5)("http://127.0.0.1:1/openapi.json")
            (host, port, factory, *_) = reactor.tcpClients[0]
            self.assertEqual((host, port), ("127.0.0.1", 1))
            protocol: Any = factory.buildProtocol(None)
            transport = StringTransport()
            protocol.makeConnection(transport)
            self.assertIn(b"GET /openapi.json HTTP/1.1", transport.value())
            protocol.dataReceived(answer)
            if error is None:
                self.assertEqual(self.successResultOf(fetched), b"abcde")
            else:
                self.failureResultOf(fetched, error)
                self.assertTrue(transport.disconnecting)
