"""One connection under whatever a client, a service and time may do to it: what holds in every state."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import read_answers
from tests.kit_client import Attendant, MemoryServer, Visitor, Waiting, answer_whole, request
from tracseq_gateway.errors import CLOSED_EARLY, GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.server.channel import AHEAD
from tracseq_gateway.server.request import GatewayRequest

GET = request(b"/get")
PIECES = [
    GET,
    GET[:9],
    GET[9:],
    GET * 40,
    request(b"/head", method=b"HEAD"),
    request(b"/old", version=b"HTTP/1.0"),
    request(b"/old", b"Connection: keep-alive", version=b"HTTP/1.0"),
    request(b"/last", b"Connection: close"),
    request(b"/body", method=b"POST", body=b"body"),
    request(b"/more", b"Content-Length: 3000", method=b"POST"),
    request(b"/wait", b"Content-Length: 4", b"Expect: 100-continue", method=b"POST"),
    request(b"/chunks", b"Transfer-Encoding: chunked", method=b"POST"),
    b"4\r\nbody\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    b"\r\n",
    b"x",
    b"x" * 3000,
    b"x" * 70_000,
    b"BAD\r\n\r\n",
]


def begin(request: GatewayRequest) -> None:
    if not request.begun:
        request.begin(OutgoingHead(200, b"OK", [], None, dated=True), b"half", False)


def send(request: GatewayRequest) -> None:
    if request.begun:
        request.send(b"x" * 40_000, False)


def end(request: GatewayRequest) -> None:
    if request.begun:
        request.send(b"end", True)
    else:
        answer_whole(request)


def take(request: GatewayRequest) -> None:
    request.take_body()


def large(request: GatewayRequest) -> None:
    if not request.begun:
        answer_whole(request, b"x" * 200_000)


def whole(request: GatewayRequest) -> None:
    if not request.begun:
        answer_whole(request)


SERVICE: list[Callable[[GatewayRequest], None]] = [
    whole,
    large,
    begin,
    send,
    end,
    take,
    lambda request: request.pause_body(),
    lambda request: request.resume_body(),
    lambda request: request.refuse(GatewayError(CLOSED_EARLY)),
    lambda request: request.abort(),
    lambda request: request.interim(OutgoingHead(103, b"Hints", [])),
]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(PIECES)),
        st.tuples(st.just("serve"), st.sampled_from(range(len(SERVICE)))),
        st.tuples(st.just("take"), st.sampled_from([0, 1, 1000, 70_000, 10**9])),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 3.0, 11.0, 31.0])),
        st.tuples(st.sampled_from(["drain", "leave"]), st.just(0)),
    ),
    max_size=25,
)


class StateTests(SynchronousTestCase):
    def play(self, steps: list[tuple[str, int | float | bytes]], window: int) -> tuple[MemoryServer, Visitor, Waiting]:
        """Do these steps, and check after each what must always hold."""
        root = Waiting()
        self.attendants: dict[int, Attendant] = {}
        server = MemoryServer(root, requests_per_connection=30)
        visitor = server.visit(window=window)
        for kind, what in steps:
            if kind == "send" and isinstance(what, bytes):
                visitor.send(what)
            elif kind == "serve" and (pending := self.pending(root)):
                attendant = self.attendants.setdefault(id(pending[0]), Attendant())
                if not attendant.heard:
                    pending[0].attend(attendant)
                SERVICE[int(what)](pending[0])
            elif kind == "take":
                visitor.take(float(what))
            elif kind == "wait":
                server.pass_time(float(what), 0.1)
            elif kind == "drain" and not server.site.draining:
                server.site.drain(1000.0)
            elif kind == "leave" and visitor.connected:
                visitor.leave()
            visitor.transport.flush()
            self.check(server, visitor, root)
        return server, visitor, root

    def pending(self, root: Waiting) -> list[GatewayRequest]:
        return [request for request in root.requests if not request.finished]

    def check(self, server: MemoryServer, visitor: Visitor, root: Waiting) -> None:
        pending = self.pending(root)
        self.assertLessEqual(len(pending), 1, "one request at a time")
        self.assertEqual(server.site.active, len(pending), "the count of open requests")
        self.assertEqual(len(server.site.channels), int(visitor.connected))
        self.assertLessEqual(len(visitor.channel._waiting), AHEAD + 70_000)
        if not visitor.connected:
            self.assertEqual(pending, [], "no request outlives its connection")
        for attendant in self.attendants.values():
            self.assertLessEqual(attendant.heard.count("gone"), 1)
            self.assertLessEqual(attendant.heard.count("ended"), 1)
            if "gone" in attendant.heard:
                self.assertEqual(attendant.heard[-1], "gone", "nothing is said after the end")
        self.assertEqual(self.flushLoggedErrors(), [])

    @given(STEPS, st.sampled_from([0, 100, 10**9]))
    @settings(max_examples=150, deadline=None)
    def test_always(self, steps: list[tuple[str, int | float | bytes]], window: int) -> None:
        """Whatever happens, requests are served one at a time, counted, told of their end once, and bounded."""
        _, visitor, root = self.play(steps, window)
        visitor.take(10**9)
        if visitor.aborted or visitor.transport.unsent():
            return  # what was taken may end anywhere
        answers = read_answers(visitor.received, [request.method for request in root.requests], ended=visitor.closed)
        final = [answer for answer in answers if answer.status >= 200]
        # One more than there were requests: bytes that were none have an answer, too.
        self.assertLessEqual(len(final), len(root.requests) + 1)
        for answer in final[:-1]:
            self.assertTrue(answer.complete, "only the last answer of a connection may be cut")

    @given(STEPS, st.sampled_from([0, 100, 10**9]), st.booleans())
    @settings(max_examples=150, deadline=None)
    def test_every_state_has_an_end(
        self, steps: list[tuple[str, int | float | bytes]], window: int, reads: bool
    ) -> None:
        """If services answer and the client falls silent, its connection ends, whether it reads or not."""
        server, visitor, root = self.play(steps, window)
        if reads:
            visitor.take(10**9)
        for _ in range(200):
            for pending in self.pending(root):
                end(pending)
            visitor.transport.flush()
            server.pass_time(1.0, 0.1)
        self.assertFalse(visitor.connected, "still there")
        self.assertEqual((server.site.active, server.site.channels), (0, set()))
        self.assertEqual(visitor.channel._timer.running, False)
        self.assertEqual(self.flushLoggedErrors(), [])
