"""How answers are written: framing, the fields that the channel adds, errors, and answers that cannot be completed."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import Answer
from tests.kit_client import DATE, Attendant, MemoryServer, Visitor, Waiting, answer_whole, request
from tracseq_gateway.errors import CLOSED_EARLY, NO_INSTANCE, GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.server.request import GatewayRequest


class AnswerTestCase(SynchronousTestCase):
    def one(self, handle: Any, *fields: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> Answer:
        """Send one request, let ``handle`` answer, and return the answer."""
        visitor = MemoryServer(handle).visit(request(b"/", *fields, method=method, version=version))
        (answer,) = visitor.answers(method)
        return answer


def begins(length: int | None, *pieces: bytes, status: int = 200, dated: bool = True) -> Any:
    """An answer of a known or unknown length, in these pieces; one piece is the whole answer at once."""

    def handle(request: GatewayRequest) -> None:
        first, *rest = pieces
        request.begin(OutgoingHead(status, b"Fine", [], length, dated=dated), first, not rest)
        for left, piece in zip(range(len(rest), 0, -1), rest, strict=True):
            request.send(piece, left == 1)

    return handle


class FramingTests(AnswerTestCase):
    def test_known_length(self) -> None:
        """An answer of known length is framed by Content-Length, in one piece or in several."""
        for handle in (
            begins(4, b"body"),
            begins(4, b"bo", b"", b"dy"),
            begins(4, b"", b"body", b""),
            begins(None, b"body"),
        ):
            answer = self.one(handle)
            self.assertEqual((answer.framing, answer.body, answer.complete), ("length", b"body", True))

    def test_empty(self) -> None:
        """An empty answer says so."""
        self.assertEqual(self.one(begins(0, b"")).values(b"content-length"), [b"0"])
        self.assertEqual(self.one(begins(None, b"")).values(b"content-length"), [b"0"])

    def test_unknown_length(self) -> None:
        """An answer of unknown length is sent in chunks, none of them empty but the last."""
        for pieces in ((b"bo", b"dy", b""), (b"", b"body", b""), (b"body", b""), (b"", b"bo", b"", b"dy")):
            answer = self.one(begins(None, *pieces))
            self.assertEqual((answer.framing, answer.body, answer.complete), ("chunked", b"body", True))

    def test_unknown_length_to_http_1_0(self) -> None:
        """To HTTP/1.0 an answer of unknown length ends with the connection, and says that it will."""
        visitor = MemoryServer(begins(None, b"bo", b"dy", b"")).visit(
            request(b"/", b"Connection: keep-alive", version=b"HTTP/1.0")
        )
        (answer,) = visitor.answers()
        self.assertEqual((answer.framing, answer.body, answer.complete), ("close", b"body", True))
        self.assertEqual(answer.values(b"connection"), [b"close"])
        self.assertFalse(visitor.connected)

    def test_head(self) -> None:
        """HEAD gets the fields of GET and no byte of the body, however the body is sent."""
        for handle in (begins(4, b"body"), begins(4, b"bo", b"dy"), begins(4, b"", b"body", b"")):
            answer = self.one(handle, method=b"HEAD")
            self.assertEqual((answer.body, answer.values(b"content-length")), (b"", [b"4"]))
        for version in (b"HTTP/1.0", b"HTTP/1.1"):
            answer = self.one(
                begins(None, b"bo", b"dy", b""), b"Connection: keep-alive", method=b"HEAD", version=version
            )
            self.assertEqual((answer.framing, answer.body), ("none", b""))

    def test_head_keeps_the_connection(self) -> None:
        """After an answer to HEAD the connection serves on, also when the length of a GET would be unknown."""
        server = MemoryServer(begins(None, b"bo", b"dy"))
        visitor = server.visit(request(b"/", method=b"HEAD"), request(b"/"))
        self.assertEqual([answer.body for answer in visitor.answers(b"HEAD")], [b"", b"body"])

    def test_bodiless_statuses(self) -> None:
        """204 has neither a body nor framing, 304 no body; nothing of one is sent, in however many pieces it comes."""
        for status in (204, 304):
            for pieces in ((b"body",), (b"body", b""), (b"bo", b"dy"), (b"", b"bo", b"dy", b"")):
                for length in (4, None):
                    server = MemoryServer(begins(length, *pieces, status=status))
                    visitor = server.visit(request(b"/"), request(b"/"))
                    self.assertEqual(
                        [answer.body for answer in visitor.answers()], [b"", b""], (status, pieces, length)
                    )
                    if status == 204:
                        self.assertNotIn(b"content-length", visitor.received)
                    self.assertNotIn(b"transfer-encoding", visitor.received)

    def test_not_modified_says_its_length(self) -> None:
        """304 says what Content-Length a 200 would have, if that is known."""
        self.assertEqual(self.one(begins(4, b"", status=304)).values(b"content-length"), [b"4"])


class FieldTests(AnswerTestCase):
    def test_order(self) -> None:
        """An answer has its own fields first, then request id, framing and date, each once."""
        fields = [(b"b", b"1"), (b"a", b"2"), (b"b", b"3")]
        answer = self.one(
            lambda request: request.begin(OutgoingHead(201, b"Made", fields, 0), b"", True), b"X-Request-Id: id-1"
        )
        added = [(b"x-request-id", b"id-1"), (b"content-length", b"0"), (b"date", DATE)]
        self.assertEqual((answer.status, answer.fields), (201, fields + added))

    def test_date(self) -> None:
        """An answer that has a Date keeps it, and gets no second one."""
        answer = self.one(
            lambda request: request.begin(OutgoingHead(200, b"", [(b"date", b"x")], 0, dated=True), b"", True)
        )
        self.assertEqual(answer.values(b"date"), [b"x"])

    def test_request_id(self) -> None:
        """A caller's good request id is taken over; else one of 32 hex digits is made, a new one for each request."""
        self.assertEqual(self.one(answer_whole, b"X-Request-Id: abc-1").values(b"x-request-id"), [b"abc-1"])
        made = {self.one(answer_whole, b"X-Request-Id: no good!").values(b"x-request-id")[0] for _ in range(20)}
        self.assertEqual(len(made), 20)
        for value in made:
            self.assertRegex(value, rb"\A[0-9a-f]{32}\Z")

    def test_persistence(self) -> None:
        """HTTP/1.1 is told when the connection closes, HTTP/1.0 when it stays."""
        for version, asked, told in [
            (b"1.1", b"x", []),
            (b"1.1", b"keep-alive", []),
            (b"1.1", b"close", [b"close"]),
            (b"1.0", b"x", [b"close"]),
            (b"1.0", b"keep-alive", [b"keep-alive"]),
        ]:
            answer = self.one(answer_whole, b"Connection: " + asked, version=b"HTTP/" + version)
            self.assertEqual(answer.values(b"connection"), told, (version, asked))

    def test_reason(self) -> None:
        """The reason phrase is passed on as it is, even if it is empty."""
        for reason in (b"", b"Sample Archived", b"\xe9"):
            head = OutgoingHead(299, reason, [], 0, dated=True)
            server = MemoryServer(partial(GatewayRequest.begin, head=head, data=b"", done=True))
            self.assertTrue(server.visit(request(b"/")).received.startswith(b"HTTP/1.1 299 %b\r\n" % reason))

    def test_interim(self) -> None:
        """Interim answers go to HTTP/1.1 clients, before the answer only, and not to HTTP/1.0."""

        def handle(request: GatewayRequest) -> None:
            request.interim(OutgoingHead(103, b"Early Hints", [(b"link", b"</a>")]))
            answer_whole(request)
            request.interim(OutgoingHead(103, b"Late", []))

        visitor = MemoryServer(handle).visit(request(b"/"))
        self.assertEqual([answer.status for answer in visitor.answers()], [103, 200])
        self.assertTrue(visitor.received.startswith(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200"))
        self.assertEqual(MemoryServer(handle).visit(request(b"/", version=b"HTTP/1.0")).statuses(), [200])


class ErrorTests(AnswerTestCase):
    def test_refused(self) -> None:
        """An error is answered as problem+json with the request's id; the connection serves on."""
        server = MemoryServer(lambda request: request.refuse(GatewayError(NO_INSTANCE, "none", retry_after=7)))
        visitor = server.visit(request(b"/", b"X-Request-Id: id-1"), request(b"/", method=b"HEAD"))
        answer, head = visitor.answers(b"GET", b"HEAD")
        self.assertEqual(answer.values(b"content-type"), [b"application/problem+json"])
        self.assertEqual(answer.values(b"retry-after"), [b"7"])
        self.assertEqual(answer.values(b"proxy-status"), [b"gw; error=destination_unavailable"])
        document = json.loads(answer.body)
        self.assertEqual((document["status"], document["request_id"]), (503, "id-1"))
        self.assertEqual((head.status, head.body), (503, b""))
        self.assertTrue(visitor.connected)

    def test_refused_by_the_parser(self) -> None:
        """Bytes that are no request are answered in the same form, and the connection closes."""
        visitor = MemoryServer(answer_whole).visit(b"GET / HTTP/1.1\r\n\r\n")
        (answer,) = visitor.answers()
        self.assertEqual((answer.status, answer.values(b"connection")), (400, [b"close"]))
        document = json.loads(answer.body)
        self.assertEqual([document["request_id"].encode()], answer.values(b"x-request-id"))
        self.assertEqual((document["type"], answer.values(b"date")), ("urn:tracseq:problem:bad-request", [DATE]))
        self.assertTrue(visitor.closed)

    def test_refused_head_by_the_parser(self) -> None:
        """HEAD is refused without a body, too, for whatever reason, with the length that GET's would have."""
        for rest in (b" /%00 HTTP/1.1\r\nHost: a\r\n\r\n", b" / HTTP/1.1\r\n\r\n", b" / HTTP/3.0\r\n\r\n", b" /\0"):
            (of_get,) = MemoryServer(answer_whole).visit(b"GET" + rest).answers()
            for pieces in ([b"HEAD" + rest], [b"\r\nHEAD" + rest], [b"\r\n", b"HE", b"AD" + rest]):
                visitor = MemoryServer(answer_whole).visit(*pieces)
                (of_head,) = visitor.answers(b"HEAD")
                self.assertEqual((of_head.status, of_head.body), (of_get.status, b""), pieces)
                self.assertEqual(of_head.values(b"content-length"), of_get.values(b"content-length"))
                self.assertTrue(visitor.received.endswith(b"\r\n\r\n") and visitor.closed, pieces)

    def test_exception(self) -> None:
        """A resource that raises is logged once and answered with 500; the connection serves on."""

        def fail(request: GatewayRequest) -> None:
            raise ValueError("a resource that fails")

        visitor = MemoryServer(fail).visit(request(b"/"), request(b"/"))
        self.assertEqual(visitor.statuses(), [500, 500])
        self.assertEqual(visitor.answers()[0].values(b"content-type"), [b"application/problem+json"])
        self.assertNotIn(b"resource that fails", visitor.received)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_exception_within_an_answer(self) -> None:
        """A resource that raises after it has begun is logged, and its answer is cut, not ended."""

        def fail(request: GatewayRequest) -> None:
            request.begin(OutgoingHead(200, b"OK", [], 10, dated=True), b"half", False)
            raise ValueError("a resource that fails")

        visitor = MemoryServer(fail).visit(request(b"/"))
        (answer,) = visitor.answers()
        self.assertEqual((answer.body, answer.complete, visitor.closed), (b"half", False, True))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_wrong_type(self) -> None:
        """A resource that returns text is a mistake, logged and answered with 500 like any other; nothing hangs."""
        server = MemoryServer(lambda request: "text")
        visitor = server.visit(request(b"/"))
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual(visitor.statuses(), [500])
        self.assertEqual(server.site.active, 0)


class CutTests(SynchronousTestCase):
    """Answers that cannot be completed."""

    def cut(self, length: int | None, version: bytes) -> Visitor:
        """Begin an answer, and cut it off."""
        root = Waiting()
        visitor = MemoryServer(root).visit(request(b"/", b"Connection: keep-alive", version=version))
        (begun,) = root.requests
        begun.begin(OutgoingHead(200, b"OK", [], length, dated=True), b"half", False)
        begun.abort()
        begun.send(b"more", True)
        begun.abort()
        return visitor

    def test_framed(self) -> None:
        """An answer that is framed ends short of its frame: the client sees that it is not whole."""
        for length in (10, None):
            visitor = self.cut(length, b"HTTP/1.1")
            (answer,) = visitor.answers()
            self.assertEqual((answer.body, answer.complete), (b"half", False))
            self.assertFalse(visitor.connected)

    def test_unframed(self) -> None:
        """An answer whose end is the end of the connection is cut by a reset: an orderly end would complete it."""
        self.assertTrue(self.cut(None, b"HTTP/1.0").aborted)

    def test_refused_after_it_began(self) -> None:
        """An error that comes after the head of an answer cuts it off."""
        root = Waiting()
        server = MemoryServer(root)
        visitor = server.visit(request(b"/"))
        (begun,) = root.requests
        begun.begin(OutgoingHead(200, b"OK", [], 10, dated=True), b"half", False)
        begun.refuse(GatewayError(CLOSED_EARLY))
        (answer,) = visitor.answers()
        self.assertEqual((answer.status, answer.complete, visitor.connected), (200, False, False))
        self.assertEqual(server.site.active, 0)

    def test_answered_once(self) -> None:
        """Once a request is answered, nothing more can be said to it."""
        root = Waiting()
        visitor = MemoryServer(root).visit(request(b"/"))
        (done,) = root.requests
        answer_whole(done)
        received = visitor.received
        done.refuse(GatewayError(CLOSED_EARLY))
        answer_whole(done)
        done.send(b"more", True)
        done.abort()
        done.interim(OutgoingHead(103, b"", []))
        self.assertEqual((visitor.received, visitor.connected), (received, True))

    def test_client_gone(self) -> None:
        """Who answers a request is told once that its client has left, and nothing he does then raises or counts."""
        root, attendant = Waiting(), Attendant()
        server = MemoryServer(root)
        for act in (
            answer_whole,
            lambda request: request.refuse(GatewayError(CLOSED_EARLY)),
            lambda request: request.interim(OutgoingHead(103, b"", [])),
            lambda request: request.abort(),
            lambda request: request.resume_body(),
        ):
            visitor = server.visit(request(b"/"))
            gone = root.requests.pop()
            gone.attend(attendant)
            self.assertEqual(server.site.active, 1)
            visitor.leave()
            self.assertEqual((attendant.heard, gone.finished, server.site.active), (["gone"], True, 0))
            act(gone)
            self.assertEqual((attendant.heard, visitor.received, server.site.active), (["gone"], b"", 0))
            attendant.heard.clear()
        self.assertEqual(server.site.channels, set())
