"""Request bodies: when the client is told to go on, who takes them, what holds them back, and what breaks them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import Attendant, MemoryServer, Visitor, Waiting, answer_whole, request, slices
from tracseq_gateway.errors import NOT_FOUND, GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.server.request import GatewayRequest

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = b"Expect: 100-continue"
CHUNKED = b"Transfer-Encoding: chunked"


class BodyTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Waiting()
        self.server = MemoryServer(self.root)
        self.attendant = Attendant()

    def visit(self, *fields: bytes, sent: bytes = b"", version: bytes = b"HTTP/1.1") -> Visitor:
        """Send a POST with these fields, and in the same read the first of its body."""
        return self.server.visit(request(b"/", *fields, method=b"POST", version=version) + sent)

    @property
    def request(self) -> GatewayRequest:
        """The request that waits to be answered."""
        (waiting,) = self.root.requests
        return waiting

    def attend(self) -> tuple[bytes, bool]:
        """Let the attendant take the body, as a service does once it is connected."""
        self.request.attend(self.attendant)
        return self.request.take_body()


class ContinueTests(BodyTestCase):
    def test_when_it_is_taken(self) -> None:
        """100 (Continue) is sent once, when somebody takes the body, and not before."""
        visitor = self.visit(EXPECT, b"Content-Length: 4")
        self.assertEqual(visitor.received, b"")
        self.assertEqual(self.attend(), (b"", False))
        self.assertEqual(visitor.received, CONTINUE)
        visitor.send(b"bo", b"dy")
        self.assertEqual(self.attendant.heard, ["body", "body", "ended"])
        answer_whole(self.request)
        self.assertEqual([answer.status for answer in visitor.answers()], [100, 200])
        self.assertFalse(visitor.closed)

    def test_chunked(self) -> None:
        """A chunked body is waited for in the same way."""
        visitor = self.visit(EXPECT, CHUNKED)
        self.attend()
        self.assertEqual(visitor.received, CONTINUE)
        visitor.send(b"4\r\nbody\r\n0\r\n\r\n")
        self.assertEqual((self.attendant.body, self.attendant.heard[-1]), (b"body", "ended"))

    def test_refused_first(self) -> None:
        """A request that is refused gets its answer without a 100, and the connection closes: its body may follow."""
        visitor = self.visit(EXPECT, b"Content-Length: 4")
        self.request.refuse(GatewayError(NOT_FOUND))
        (answer,) = visitor.answers()
        self.assertEqual((answer.status, answer.values(b"connection")), (404, [b"close"]))
        self.assertTrue(visitor.half_closed)
        visitor.send(b"body" + request(b"/smuggled"))
        self.assertEqual(len(self.root.requests), 1)

    def test_not_to_http_1_0(self) -> None:
        """HTTP/1.0 never gets a 100: it cannot have asked for it."""
        visitor = self.visit(EXPECT, b"Content-Length: 4", version=b"HTTP/1.0")
        self.attend()
        self.assertEqual(visitor.received, b"")

    def test_not_when_the_body_came(self) -> None:
        """A client that does not wait, or not long, gets no 100 any more."""
        for later in (False, True):
            self.setUp()
            visitor = self.visit(EXPECT, b"Content-Length: 4", sent=b"" if later else b"bo")
            if later:
                visitor.send(b"bo")
            self.assertEqual(self.attend(), (b"bo", False))
            self.assertEqual(visitor.received, b"")
            visitor.send(b"dy")
            self.assertEqual(self.attendant.body, b"dy")

    def test_not_without_a_body(self) -> None:
        """An expectation without a body is nothing to wait for."""
        for fields in ([EXPECT], [EXPECT, b"Content-Length: 0"]):
            self.setUp()
            visitor = self.visit(*fields)
            self.assertEqual(self.request.take_body(), (b"", True))
            answer_whole(self.request)
            self.assertEqual((visitor.statuses(), visitor.closed), ([200], False))

    def test_not_twice(self) -> None:
        """Pausing and resuming the body sends no second 100."""
        visitor = self.visit(EXPECT, b"Content-Length: 9")
        self.attend()
        self.request.pause_body()
        self.request.resume_body()
        self.assertEqual(visitor.received, CONTINUE)


class FlowTests(BodyTestCase):
    def test_with_the_head(self) -> None:
        """A body that came with its head is there when it is taken, whole."""
        for fields, sent in (([b"Content-Length: 4"], b"body"), ([CHUNKED], b"4\r\nbody\r\n0\r\n\r\n")):
            self.setUp()
            self.visit(*fields, sent=sent)
            self.assertEqual(self.attend(), (b"body", True))
            self.assertEqual(self.attendant.heard, [])
            self.assertEqual(self.request.take_body(), (b"", True))

    def test_in_pieces(self) -> None:
        """What came before is handed over when the body is taken, what comes later piece by piece, then its end."""
        visitor = self.visit(b"Content-Length: 6", sent=b"ab")
        visitor.send(b"cd")
        self.assertEqual(self.attend(), (b"abcd", False))
        visitor.send(b"ef")
        self.assertEqual((self.attendant.heard, self.attendant.body), (["body", "ended"], b"ef"))

    def test_nobody_takes_it(self) -> None:
        """While nobody takes a body, no more of it is read than one piece beyond what came with the head."""
        visitor = self.visit(b"Content-Length: 1000000", sent=b"x" * 1000)
        self.assertTrue(visitor.transport.reading)
        visitor.send(b"x" * 1000)
        self.assertFalse(visitor.transport.reading)
        self.assertEqual(self.attend(), (b"x" * 2000, False))
        self.assertTrue(visitor.transport.reading)

    def test_paused(self) -> None:
        """Who takes a body may stop it, again and again; nothing is read in between."""
        visitor = self.visit(b"Content-Length: 30")
        self.attend()
        for _ in range(3):
            self.request.pause_body()
            self.assertFalse(visitor.transport.reading)
            self.request.pause_body()
            self.request.resume_body()
            self.assertTrue(visitor.transport.reading)
            visitor.send(b"x" * 10)
        self.assertEqual(self.attendant.heard, ["body"] * 3 + ["ended"])

    def test_paused_to_the_end(self) -> None:
        """A body that is paused by its very last piece does not keep the connection from reading on."""
        visitor = self.visit(b"Content-Length: 4")
        self.attend()
        self.request.pause_body()
        self.request.resume_body()
        visitor.send(b"body")
        self.request.pause_body()
        answer_whole(self.request)
        self.root.requests.clear()
        visitor.send(request(b"/next"))
        self.assertEqual(self.request.uri, b"/next")

    def test_empty_chunks_of_time(self) -> None:
        """Reads that hold a part of a chunk's line only are no pieces of the body."""
        visitor = self.visit(CHUNKED)
        self.attend()
        visitor.send(b"4", b"\r", b"\n", b"body", b"\r", b"\n", b"0", b"\r\n", b"\r\n")
        self.assertEqual((self.attendant.heard, self.attendant.body), (["body", "ended"], b"body"))

    @given(
        st.binary(min_size=1, max_size=300),
        st.lists(st.integers(0, 900), max_size=10),
        st.integers(1, 64),
        st.booleans(),
    )
    @settings(max_examples=100, deadline=None)
    def test_any_split(self, body: bytes, cuts: list[int], size: int, chunked: bool) -> None:
        """Any body, in either framing and in any split, arrives as it was sent, and the next request after it."""
        self.setUp()
        if chunked:
            parts = [body[at : at + size] for at in range(0, len(body), size)]
            coded = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
            data = request(b"/", CHUNKED, method=b"POST") + coded
        else:
            data = request(b"/", method=b"POST", body=body)
        visitor = self.server.visit()
        taken, ended = b"", False
        for piece in slices(data + request(b"/next"), cuts):
            visitor.send(piece)
            if self.root.requests and not self.attendant.heard and not taken and not ended:
                taken, ended = self.attend()
        self.assertEqual(taken + self.attendant.body, body)
        answer_whole(self.root.requests.pop(0))
        self.assertEqual(self.request.uri, b"/next")


class EarlyAnswerTests(BodyTestCase):
    def test_before_the_end(self) -> None:
        """An answer before the body's end is delivered, says close, and closes in a way that lets it arrive."""
        visitor = self.visit(b"Content-Length: 1000", sent=b"x")
        answer_whole(self.request, b"enough")
        (answer,) = visitor.answers()
        self.assertEqual((answer.body, answer.values(b"connection")), (b"enough", [b"close"]))
        self.assertTrue(visitor.half_closed)
        self.assertTrue(visitor.connected)
        visitor.send(b"x" * 999, request(b"/smuggled"))
        self.assertEqual(len(self.root.requests), 1)

    def test_begun_before_the_end(self) -> None:
        """An answer that begins before the body's end takes the rest of the body along, and then closes."""
        visitor = self.visit(b"Content-Length: 4", sent=b"bo")
        self.attend()
        self.request.begin(OutgoingHead(200, b"OK", [], 8, dated=True), b"half", False)
        visitor.send(b"dy")
        self.assertEqual(self.attendant.heard, ["body", "ended"])
        self.request.send(b"half", True)
        (answer,) = visitor.answers()
        self.assertEqual((answer.body, answer.values(b"connection")), (b"halfhalf", [b"close"]))
        self.assertFalse(visitor.connected)

    def test_after_the_end(self) -> None:
        """An answer after the body's end keeps the connection."""
        visitor = self.visit(b"Content-Length: 4", sent=b"body")
        answer_whole(self.request)
        self.assertFalse(visitor.closed)


class BrokenTests(BodyTestCase):
    def test_bad_chunk(self) -> None:
        """A broken chunk is answered with 400, who took the body is told, and nothing behind it is read."""
        for before in (b"", b"4\r\nbody\r\n"):
            self.setUp()
            visitor = self.visit(CHUNKED, sent=before)
            self.attend()
            visitor.send(b"XYZ\r\n" + request(b"/smuggled"))
            self.assertEqual((visitor.statuses(), self.attendant.heard[-1]), ([400], "gone"))
            self.assertTrue(visitor.half_closed)
            self.assertEqual((len(self.root.requests), self.server.site.active), (1, 0))

    def test_bad_chunk_with_the_head(self) -> None:
        """A body that is broken from its first byte is refused before anybody hears of the request."""
        visitor = self.visit(CHUNKED, sent=b"XYZ\r\n")
        self.assertEqual((visitor.statuses(), visitor.half_closed, self.root.requests), ([400], True, []))
        self.assertEqual(self.server.site.active, 0)

    def test_bad_chunk_after_the_answer_began(self) -> None:
        """A body that breaks while its answer is under way cuts the answer off."""
        visitor = self.visit(CHUNKED)
        self.attend()
        self.request.begin(OutgoingHead(200, b"OK", [], 8, dated=True), b"half", False)
        visitor.send(b"XYZ\r\n")
        (answer,) = visitor.answers()
        self.assertEqual((answer.complete, visitor.closed, self.attendant.heard), (False, True, ["gone"]))

    def test_client_leaves(self) -> None:
        """A client that leaves within its body: who took it is told once, and the request is over."""
        visitor = self.visit(b"Content-Length: 10", sent=b"x")
        self.attend()
        visitor.leave()
        self.assertEqual((self.attendant.heard, self.server.site.active), (["gone"], 0))
        self.assertTrue(self.request.finished)

    def test_too_large(self) -> None:
        """A body that grows beyond what the request allows is 413, counted in bytes of body, not of coding."""
        visitor = self.visit(CHUNKED)
        self.request.max_body = 10
        self.attend()
        visitor.send(b"a;x=yyyyyyyyyyyyyyy\r\n0123456789\r\n")
        self.assertEqual((visitor.received, self.attendant.heard), (b"", ["body"]))
        visitor.send(b"1\r\nx\r\n")
        self.assertEqual((visitor.statuses(), self.attendant.heard), ([413], ["body", "gone"]))
        self.assertTrue(visitor.half_closed)

    def test_known_to_be_too_large(self) -> None:
        """A body is known to exceed a limit by its declared length, or by what has come of it."""
        self.visit(b"Content-Length: 100")
        self.assertEqual([self.request.body_exceeds(limit) for limit in (99, 100)], [True, False])
        self.root.requests.clear()
        self.visit(CHUNKED, sent=b"5\r\nhello\r\n")
        self.assertEqual([self.request.body_exceeds(limit) for limit in (4, 5)], [True, False])
