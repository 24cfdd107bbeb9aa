"""Every broken answer of a service, in every split: the client gets the right verdict and never a clean half-truth."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, SPLITS, Answer, MemoryClient, MemoryGateway, ServiceConnection, whole
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.upstream import Timeouts

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "wire_cases" / "upstream-answers.json").read_text())

RIGHT: dict[str, tuple[int, bytes]] = {
    "up-204": (204, b""),
    "up-204-cl": (204, b""),
    "up-204-body": (204, b""),
    "up-304-cl": (304, b""),
    "up-head-cl": (200, b""),
    "up-205-body": (205, b"ok"),
    "up-code-599": (599, b"ok"),
    "up-early-413": (413, b""),
    "up-early-401-nobody-read": (401, b""),
}
"""What a client gets for an answer that is right; (200, b"ok") where a case is not named."""

ONE_HOP = frozenset(
    (b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer", b"upgrade")
)
LARGE = 100_000
"""Bytes beyond which an answer is sent byte by byte to one kind of client only, to save time."""


@frozen
class Caller:
    """A client: its request, and what it understands."""

    request: bytes
    method: bytes
    minor: int


GET = Caller(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET", 1)
HEAD = Caller(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n", b"HEAD", 1)
OLD = Caller(b"GET /x HTTP/1.0\r\nHost: a\r\n\r\n", b"GET", 0)
OLD_KEPT = Caller(b"GET /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", b"GET", 0)
UPLOAD = Caller(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n" + bytes(4096), b"POST", 1)
EXPECTING = Caller(
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    b"POST",
    1,
)
CALLERS = {"GET": (GET, OLD, OLD_KEPT), "HEAD": (HEAD,), "POST-100MB": (UPLOAD,), "POST-EXPECT": (EXPECTING,)}


class Run:
    """One answer, given to one caller in one split."""

    def __init__(self, case: dict[str, Any], caller: Caller, split: Callable[[bytes], list[bytes]]) -> None:
        self.case = case
        self.caller = caller
        # A head that comes byte by byte, one a second, needs a minute.
        timeouts = Timeouts(response=Seconds(60.0)) if case.get("bps") else Timeouts()
        self.gateway = MemoryGateway(answer=None, timeouts=timeouts, max_body=0)
        self.client = self.gateway.client()
        self.client.send(caller.request)
        self.connection: ServiceConnection = self.gateway.service.connections[0]
        for piece in split(base64.b64decode(case["raw_b64"])):
            self.connection.answer(piece)
            if case.get("bps"):
                self.gateway.pass_time(1.0)
        if case["close_after"] or case.get("rst"):
            self.connection.close(reset=bool(case.get("rst")))
        if case.get("silence"):
            self.gateway.pass_time(62)
        if "late_b64" in case:
            self.connection.answer(base64.b64decode(case["late_b64"]))
        self.gateway.service.run()

    @property
    def final(self) -> Answer:
        """The final answer; fails unless there is exactly one."""
        finals = [answer for answer in self.client.answers(self.caller.method) if answer.status >= 200]
        assert len(finals) == 1, f"{len(finals)} final answers: {self.client.received[:200]!r}"
        return finals[0]

    def ask_again(self) -> tuple[MemoryClient, bool]:
        """Send a further request from another client; return that client, and whether the connection served again."""
        before = len(self.connection.requests)
        self.gateway.service.answer = OK
        client = self.gateway.client()
        client.send(GET.request)
        self.gateway.service.run()
        return client, len(self.connection.requests) > before


class WireAnswerTests(SynchronousTestCase):
    """One test for each case, made below."""

    def check(self, case: dict[str, Any]) -> None:
        for caller in CALLERS[case["request_method"]]:
            for name, split in SPLITS.items():
                if len(case["raw_b64"]) > LARGE and caller is not GET and split is not whole:
                    continue
                run = Run(case, caller, split)
                what = f"{name}, {caller.request[:40]!r}: {run.client.received[:300]!r}, closed {run.client.closed}"
                self.verdict(run, what)
                self.fields(run, what)
                self.next_request(run, what)
        self.assertEqual(self.flushLoggedErrors(), [])

    def verdict(self, run: Run, what: str) -> None:
        """The answer is the right one, or an error, or visibly cut."""
        case, final = run.case, run.final
        status, body = RIGHT.get(case["id"], (200, b"ok"))
        if case["expect"] == "ok" and case.get("repeat"):
            self.assertEqual((final.status, final.complete), (200, False), what)
        elif case["expect"] == "ok":
            self.assertEqual((final.status, final.body, final.complete), (status, body, True), what)
        elif case["expect"] == "bad" or final.status == 502:
            self.broken(run, final, what)
        else:
            # Repaired: then it is whole.
            self.assertLess(final.status, 300, what)
            self.assertTrue(final.complete, what)

    def broken(self, run: Run, final: Answer, what: str) -> None:
        """The client sees an error: 502, 504 for silence, or an answer that has no clean end."""
        if final.status >= 500:
            self.assertEqual(final.status, 504 if run.case.get("silence") else 502, what)
            self.assertTrue(final.complete, what)
            self.assertEqual(len(final.values(b"proxy-status")), 1, what)
        else:
            self.assertFalse(final.complete, what)
            self.assertTrue(run.client.closed, what)

    def fields(self, run: Run, what: str) -> None:
        """No field of one hop, none that Connection named, and no control character reaches the client."""
        final = run.final
        for name, value in final.fields:
            self.assertNotIn(name.lower(), ONE_HOP, what)
            self.assertNotEqual(name.lower(), b"x-secret", what)
            self.assertNotRegex(value, rb"[\x00-\x08\x0a-\x1f\x7f]", what)
        for name in (b"x-request-id", b"date"):
            self.assertEqual(len(final.values(name)), 1, what)
        ours = bool(final.values(b"proxy-status"))
        self.assertEqual(len(final.values(b"via")), 0 if ours else 1, what)
        self.assertIn(final.values(b"connection"), ([], [b"close"], [b"keep-alive"]), what)
        if run.caller.minor == 0:
            self.assertEqual(final.values(b"transfer-encoding"), [], what)

    def next_request(self, run: Run, what: str) -> None:
        """Another client's request is served, on the same connection only where that may serve again."""
        expected = run.case["reuse"]
        client, reused = run.ask_again()
        self.assertEqual([answer.status for answer in client.answers()], [200], what)
        if expected is not None and not run.case.get("repeat"):
            self.assertEqual(reused, expected, what)
        if run.case["expect"] == "bad":
            self.assertFalse(reused, what)
            self.assertTrue(run.connection.lost, what)

    def check_head(self, case: dict[str, Any]) -> None:
        """HEAD meets the same answer: no byte of a body reaches the client, no surplus a further request."""
        for name, split in SPLITS.items():
            if len(case["raw_b64"]) > LARGE and split is not whole:
                continue
            run = Run(case, HEAD, split)
            if case.get("silence"):
                run.gateway.pass_time(62)
            final = run.final
            what = f"{name}: {run.client.received[:300]!r}"
            self.assertTrue(final.status in (502, 504) or final.status == RIGHT.get(case["id"], (200, b""))[0], what)
            self.assertTrue(run.client.received.endswith(b"\r\n\r\n"), what)
            self.fields(run, what)
            _, _, surplus = base64.b64decode(case["raw_b64"]).rpartition(b"\r\n\r\n")
            client, reused = run.ask_again()
            self.assertEqual([answer.status for answer in client.answers()], [200], what)
            if surplus:
                self.assertFalse(reused, what)


class EndlessAnswerTests(SynchronousTestCase):
    def test_slow_client(self) -> None:
        """A body without end and a client that reads nothing: the service is held back, and little is kept."""
        case = next(case for case in CASES if case["id"] == "up-endless-body")
        head, _, chunk = base64.b64decode(case["raw_b64"]).partition(b"\r\n\r\n")
        gateway = MemoryGateway(answer=None)
        client = gateway.client()
        client.transport.stalled = True
        client.send(GET.request)
        connection = gateway.service.connections[0]
        connection.answer(head + b"\r\n\r\n")
        for _ in range(10):
            while connection.transport.reading:
                connection.answer(chunk)
            self.assertLess(client.transport.unsent(), 2 * 65536)
            client.transport.drain()
            client.transport.stalled = True
            self.assertTrue(connection.transport.reading)
        body = client.answers()[0].body
        self.assertEqual(body, b"x" * len(body))
        self.assertGreaterEqual(len(body), 10 * 65536)


FRAGMENTS = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"X-A: b\r\n",
    b"\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"0\r\nX-T: t\r\n\r\n",
    b"hello",
    b"\n",
    b"\r",
    b" ",
    b"\0",
)
GOOD = (b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n")


@st.composite
def broken_answers(draw: st.DrawFn) -> bytes:
    """A good answer in which some fragments were replaced, left out or put in."""
    fragments = list(GOOD)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(fragments)))
        fragments[at : at + draw(st.integers(0, 1))] = draw(st.lists(st.sampled_from(FRAGMENTS), max_size=2))
    return b"".join(fragments)


class AnySplitTests(SynchronousTestCase):
    def outcome(self, pieces: list[bytes]) -> object:
        """What the client has in the end: a whole answer, or an error of some kind."""
        gateway = MemoryGateway(answer=None)
        client = gateway.client()
        client.send(GET.request)
        connection = gateway.service.connections[0]
        for piece in pieces:
            connection.answer(piece)
        connection.settle()
        connection.close()
        *_, final = client.answers()
        if final.status >= 500:
            return "error"
        if not final.complete:
            self.assertTrue(client.closed)
            return "error"
        return final.status, final.body

    @given(broken_answers(), st.lists(st.integers(0, 150), max_size=6))
    @settings(max_examples=200, deadline=None)
    def test_split_does_not_matter(self, answer: bytes, cuts: list[int]) -> None:
        """Whatever a service sends before it closes, and however it is cut up, the client gets one and the same."""
        marks = [0, *sorted(cuts), len(answer)]
        pieces = [piece for a, b in pairwise(marks) if (piece := answer[a:b])]
        self.assertEqual(self.outcome(pieces), self.outcome([answer] if answer else []))
        self.assertEqual(self.outcome(pieces), self.outcome(SPLITS["bytes"](answer)))


def _make(case: dict[str, Any]) -> Any:
    def test(self: WireAnswerTests) -> None:
        self.check(case)

    test.__doc__ = f"{case['expect']}: {case['note'] or case['id']}"
    return test


def _make_head(case: dict[str, Any]) -> Any:
    def test(self: WireAnswerTests) -> None:
        self.check_head(case)

    test.__doc__ = f"HEAD, no body whatever the service says: {case['id']}"
    return test


for _case in CASES:
    _name = _case["id"].replace("-", "_").replace(".", "_")
    setattr(WireAnswerTests, f"test_{_name}", _make(_case))
    if _case["request_method"] == "GET":
        setattr(WireAnswerTests, f"test_head_{_name}", _make_head(_case))
