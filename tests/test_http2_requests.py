"""Requests and answers over HTTP/2: heads, bodies, interim answers, refusals."""

from __future__ import annotations

import tracemalloc
from ipaddress import ip_network
from typing import Any

from h2.errors import ErrorCodes
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import Attendant, MemoryServer, Waiting, answer_whole
from tests.kit_http2 import Fields, Http2Visitor, frame
from tracseq_gateway.errors import BAD_ANSWER, GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.server.farewell import LINGER_SECONDS
from tracseq_gateway.server.h2_unread import MOST_SECONDS
from tracseq_gateway.server.request import GatewayRequest


def echo(request: GatewayRequest) -> None:
    """Answer with method and target."""
    answer_whole(request, request.method + b" " + request.uri)


def head(status: int = 200, length: int | None = None, pairs: Fields | None = None) -> OutgoingHead:
    return OutgoingHead(status, b"", pairs or [], length, dated=True, of_service=True)


class HeadTests(SynchronousTestCase):
    def test_request(self) -> None:
        """A request is what HTTP/1.1 would have made of it: host, path, query, fields, one Cookie."""
        root = Waiting()
        visitor = Http2Visitor(MemoryServer(root))
        visitor.ask((b"cookie", b"a=1"), (b"x-own", b"yes"), (b"cookie", b"b=2"), path=b"/a//b/../c?q=1")
        (request,) = root.requests
        self.assertEqual((request.method, request.path, request.head.query), (b"GET", b"/a/c", b"?q=1"))
        self.assertEqual((request.head.host, request.head.version), (b"gw.test", "2"))
        self.assertEqual((request.head.get(b"cookie"), request.head.get(b"x-own")), (b"a=1; b=2", b"yes"))
        self.assertEqual((request.client, request.peer, request.tls), ("192.0.2.7", "192.0.2.7", None))

    def test_answer(self) -> None:
        """An answer has its fields in lower case, its length, the request's id and the lines that are added to it."""
        root = Waiting()
        visitor = Http2Visitor(MemoryServer(root))
        number = visitor.ask((b"x-request-id", b"the-id"))
        (request,) = root.requests
        request.answer_lines = b"X-Rate: 5\r\nconnection: close\r\n"
        request.begin(
            OutgoingHead(200, b"OK", [(b"Content-Type", b"text/plain"), (b"set-cookie", b"s=1")]), b"ok", True
        )
        answer = visitor.answer(number)
        self.assertEqual((answer.status, answer.body, answer.ended, answer.reset), (200, b"ok", True, None))
        self.assertEqual(
            answer.fields,
            [
                (b"content-type", b"text/plain"),
                (b"set-cookie", b"s=1"),
                (b"x-request-id", b"the-id"),
                (b"date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
                (b"x-rate", b"5"),
                (b"content-length", b"2"),
            ],
        )

    def test_many(self) -> None:
        """Heads that come again, and values that change, are read as they were meant."""
        root = Waiting()
        visitor = Http2Visitor(MemoryServer(root, requests_per_connection=0))
        for round_ in range(300):
            own = [(b"x-odd", b"%d" % (round_ % 2)), (b"x-long", b"v" * (round_ * 7 % 400)), (b"x-same", b"same")]
            number = visitor.ask(*own, path=b"/%d" % (round_ % 3))
            request = root.requests.pop()
            self.assertEqual([request.head.get(name) for name, _ in own], [value for _, value in own])
            self.assertEqual(request.path, b"/%d" % (round_ % 3))
            request.begin(head(pairs=[*own, (b"x-round", b"%d" % round_), (b"etag", b'"%d"' % round_)]), b"", True)
            fields = visitor.answer(number).fields
            expected = [*own, (b"x-round", b"%d" % round_), (b"etag", b'"%d"' % round_)]
            self.assertEqual(
                [field for field in fields if field[0] not in (b"x-request-id", b"content-length")], expected
            )

    def test_small_table(self) -> None:
        """A client may want a smaller table for the heads of answers, or none, at any time."""
        root = Waiting()
        visitor = Http2Visitor(MemoryServer(root))
        for size in (4096, 64, 0, 4096):
            visitor.client.h2.update_settings({1: size})
            for _ in range(3):
                number = visitor.ask()
                root.requests.pop().begin(head(pairs=[(b"x-own", b"same")]), b"", True)
                self.assertEqual(visitor.answer(number).values(b"x-own"), [b"same"])

    def test_bodiless(self) -> None:
        """HEAD, 204 and 304 are answered by a head that ends the stream."""
        for method, status, length, expected in (
            (b"HEAD", 200, 5, [b"5"]),
            (b"GET", 204, None, []),
            (b"GET", 304, 7, [b"7"]),
        ):
            visitor = Http2Visitor(MemoryServer(lambda request: request.begin(head(status, length), b"", True)))  # noqa: B023
            answer = visitor.answer(visitor.ask(method=method))
            self.assertEqual((answer.status, answer.body, answer.ended), (status, b"", True))
            self.assertEqual(answer.values(b"content-length"), expected)

    def test_interim(self) -> None:
        """Interim answers come before the final one."""
        root = Waiting()
        visitor = Http2Visitor(MemoryServer(root))
        number = visitor.ask()
        root.requests[0].interim(OutgoingHead(103, b"Early Hints", [(b"link", b"</style.css>")]))
        self.assertEqual((visitor.answer(number).interim, visitor.answer(number).status), ([103], 0))
        answer_whole(root.requests[0])
        self.assertEqual(visitor.answer(number).status, 200)


class RefusalTests(SynchronousTestCase):
    def refused(self, *fields: tuple[bytes, bytes], **kinds: Any) -> int:
        server = MemoryServer(echo, request_line=200, head=2000, headers=20)
        visitor = Http2Visitor(server)
        answer = visitor.answer(visitor.ask(*fields, **kinds))
        self.assertTrue(answer.ended)
        self.assertEqual(
            (answer.status, answer.values(b"content-type")), (answer.status, [b"application/problem+json"])
        )
        self.assertEqual(visitor.answer(visitor.ask()).status, 200, "the connection must go on")
        self.assertEqual(server.site.active, 0)
        return answer.status

    def test_limits(self) -> None:
        """The limits of heads are those of HTTP/1.1, and so are the answers; the connection goes on."""
        self.assertEqual(self.refused(path=b"/" + b"p" * 300), 414)
        self.assertEqual(self.refused((b"x-own", b"v" * 2000)), 431)
        self.assertEqual(self.refused(*[(b"x-own", b"v")] * 30), 431)
        self.assertEqual(self.refused(method=b"TRACE"), 405)
        self.assertEqual(self.refused(method=b"BREW"), 501)
        self.assertEqual(self.refused((b"expect", b"tea")), 417)
        self.assertEqual(self.refused(authority=b"a,b"), 400)

    def test_connect(self) -> None:
        """CONNECT, which has no path, is not offered."""
        visitor = Http2Visitor(MemoryServer(echo))
        number = visitor.client.request_of([(b":method", b"CONNECT"), (b":authority", b"db:5432")])
        self.assertEqual(visitor.answer(number).status, 501)

    def test_malformed(self) -> None:
        """What breaks a rule of HTTP/2 resets its stream; records know why."""
        visitor = Http2Visitor(MemoryServer(echo))
        answer = visitor.answer(visitor.ask((b"transfer-encoding", b"chunked")))
        self.assertEqual((answer.status, answer.reset), (0, ErrorCodes.PROTOCOL_ERROR))
        self.assertEqual(visitor.answer(visitor.ask()).status, 200)

    def test_nobody_else(self) -> None:
        """What is refused for its fields is not put down to the client whose request a trusted proxy sent before it."""
        server = MemoryServer(echo)
        server.site.trusted = (ip_network("192.0.2.7"),)
        clients: list[str] = []
        self.patch(server.site, "request_ended", lambda request: clients.append(request.client))
        visitor = Http2Visitor(server)
        for wrong in ((b"x-own", b"\0"), (b"expect", b"tea")):
            visitor.ask((b"x-forwarded-for", b"198.51.100.9"))
            visitor.ask(wrong)
        self.assertEqual(clients, ["198.51.100.9", "192.0.2.7"] * 2)

    def test_too_many(self) -> None:
        """What is more than the most streams is refused in a way that lets the client try again."""
        root = Waiting()
        visitor = Http2Visitor(MemoryServer(root))
        visitor.client.h2.remote_settings.acknowledge()
        numbers = []
        for _ in range(100):
            numbers.append(visitor.ask())
        # A client that had not heard of the limit.
        visitor.client.h2.remote_settings.max_concurrent_streams = 1000
        visitor.client.h2.remote_settings.acknowledge()
        late = visitor.ask()
        self.assertEqual((len(root.requests), visitor.answer(late).reset), (100, ErrorCodes.REFUSED_STREAM))
        answer_whole(root.requests[0])
        self.assertEqual(visitor.answer(numbers[0]).status, 200)
        visitor.ask()
        self.assertEqual(len(root.requests), 101)


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Waiting()
        self.server = MemoryServer(self.root)
        self.visitor = Http2Visitor(self.server)

    def post(self, *fields: tuple[bytes, bytes]) -> tuple[int, GatewayRequest]:
        number = self.visitor.ask(*fields, method=b"POST", ended=False)
        return number, self.root.requests[-1]

    def test_passed_on(self) -> None:
        """A body is passed on as it comes, with or without its length."""
        for fields in ([], [(b"content-length", b"6")]):
            number, request = self.post(*fields)
            self.visitor.give(number, b"abc")
            self.assertEqual(request.take_body(), (b"abc", False))
            attendant = Attendant()
            request.attend(attendant)
            self.visitor.give(number, b"def", ended=True)
            self.assertEqual((attendant.heard, attendant.body), (["body", "ended"], b"def"))
            answer_whole(request)
            self.assertEqual(self.visitor.answer(number).status, 200)

    def test_trailers(self) -> None:
        """Trailers end the body and go no further; bad ones spoil it."""
        for trailer, heard in (((b"x-sum", b"1"), "ended"), ((b":path", b"/"), "gone"), ((b"X-Sum", b"1"), "gone")):
            number, request = self.post()
            attendant = Attendant()
            request.attend(attendant)
            request.take_body()
            self.visitor.give(number, b"abc")
            self.visitor.client.h2.send_headers(number, [trailer], end_stream=True)
            self.visitor.exchange()
            self.assertEqual(attendant.heard, ["body", heard])

    def test_wrong_length(self) -> None:
        """A body that is longer or shorter than its Content-Length is never complete to who takes it."""
        for body, ended in ((b"1234567", False), (b"1234567", True), (b"123", True)):
            number, request = self.post((b"content-length", b"5"))
            attendant = Attendant()
            request.attend(attendant)
            request.take_body()
            self.visitor.give(number, body, ended)
            self.assertEqual(attendant.heard[-1], "gone")
            answer = self.visitor.answer(number)
            self.assertEqual((answer.status, answer.ended), (400, True))
            self.assertEqual(answer.reset, None if ended else ErrorCodes.PROTOCOL_ERROR)

    def test_continue(self) -> None:
        """A client that waits for its 100 gets it when somebody takes the body."""
        number, request = self.post((b"expect", b"100-continue"))
        self.assertEqual(self.visitor.answer(number).interim, [])
        request.attend(Attendant())
        request.take_body()
        self.assertEqual(self.visitor.answer(number).interim, [100])
        self.visitor.give(number, b"abc", ended=True)
        answer_whole(request)
        self.assertEqual(self.visitor.answer(number).status, 200)

    def test_early_answer(self) -> None:
        """An answer that comes before the body is whole; what follows is thrown away, but not for ever."""
        number, request = self.post()
        self.visitor.give(number, b"abc")
        request.max_body = 5
        self.visitor.give(number, b"defg")
        answer = self.visitor.answer(number)
        self.assertEqual((answer.status, answer.ended, answer.reset), (413, True, None))
        for _ in range(20):
            self.visitor.give(number, b"x" * 16384)
        self.assertEqual((request.received, self.server.site.active), (7, 0))
        self.server.pass_time(LINGER_SECONDS + 0.1)
        self.assertEqual(self.visitor.answer(number).reset, ErrorCodes.NO_ERROR)
        number, request = self.post()
        answer_whole(request)
        for _ in range(int(MOST_SECONDS)):
            self.visitor.give(number, b"more")
            self.assertEqual(self.visitor.answer(number).reset, None)
            self.server.pass_time(1)
        self.server.pass_time(0.2)
        self.assertEqual(self.visitor.answer(number).reset, ErrorCodes.NO_ERROR)
        for trailers in (False, True):
            number, request = self.post()
            answer_whole(request)
            self.visitor.client.h2.send_headers(number, [(b"x-sum", b"1")], True) if trailers else self.visitor.give(
                number, b"rest", ended=True
            )
            self.server.pass_time(LINGER_SECONDS + 0.1)
            self.assertEqual(self.visitor.answer(number).reset, None)

    def test_window(self) -> None:
        """What nobody takes fills the stream's window and no more; it opens when somebody does."""
        number, request = self.post()
        full = self.visitor.windows(number)
        self.assertEqual(full, 65536)
        while room := self.visitor.windows(number):
            self.visitor.give(number, b"x" * min(room, 16384))
        self.assertEqual(request.received, full)
        attendant = Attendant()
        request.attend(attendant)
        request.take_body()
        self.assertEqual(self.visitor.windows(number), full)
        request.pause_body()
        while room := self.visitor.windows(number):
            self.visitor.give(number, b"x" * min(room, 16384))
        self.assertEqual(request.received, 2 * full)
        request.resume_body()
        self.assertEqual(self.visitor.windows(number), full)

    def test_crumbs(self) -> None:
        """A body that waits takes hardly more memory than it has bytes, however small the pieces it came in."""
        crumbs = b"".join(frame(0, 0, self.post()[0], b"xy") * 2000 for _ in range(3))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        self.visitor.client.sent()
        for start in range(0, len(crumbs), 11 * 100):
            self.visitor.send(crumbs[start : start + 11 * 100])
        after, _ = tracemalloc.get_traced_memory()
        self.assertEqual([request.take_body()[0] for request in self.root.requests], [b"xy" * 2000] * 3)
        self.assertLess(after - before, 65536)

    def test_windows_of_others(self) -> None:
        """Uploads that nobody takes do not hold up those that somebody does."""
        for _ in range(10):
            stuck, _ = self.post()
            while room := self.visitor.windows(stuck):
                self.visitor.give(stuck, b"x" * min(room, 16384))
        number, request = self.post()
        request.attend(Attendant())
        request.take_body()
        for _ in range(100):
            self.visitor.give(number, b"x" * 16384)
        self.assertEqual(request.received, 100 * 16384)

    def test_given_back(self) -> None:
        """What was received on streams that were reset is given back to the connection."""
        for _ in range(50):
            number, request = self.post()
            while room := self.visitor.windows(number):
                self.visitor.give(number, b"x" * min(room, 16384))
            self.visitor.client.h2.reset_stream(number, ErrorCodes.CANCEL)
            self.visitor.exchange()
            self.assertTrue(request.finished)
        number, _ = self.post()
        self.assertEqual(self.visitor.windows(number), 65536)


class AnswerTests(SynchronousTestCase):
    def test_length(self) -> None:
        """An answer that is longer or shorter than it said is reset, never ended; who answers is told."""
        for pieces in ([b"123456"], [b"12", b"3456"]):
            root = Waiting()
            visitor = Http2Visitor(MemoryServer(root))
            number = visitor.ask()
            attendant = Attendant()
            root.requests[0].attend(attendant)
            root.requests[0].begin(head(length=5), b"", False)
            for piece in pieces:
                root.requests[0].send(piece, False)
            answer = visitor.answer(number)
            self.assertEqual(
                (answer.ended, answer.reset, attendant.heard), (False, ErrorCodes.INTERNAL_ERROR, ["gone"])
            )
        root = Waiting()
        visitor = Http2Visitor(MemoryServer(root))
        number = visitor.ask()
        root.requests[0].begin(head(length=5), b"12", False)
        root.requests[0].send(b"3", True)
        self.assertEqual(visitor.answer(number).reset, ErrorCodes.INTERNAL_ERROR)

    def test_aborted(self) -> None:
        """An answer that cannot be completed is reset, and other streams go on."""
        root = Waiting()
        server = MemoryServer(root)
        visitor = Http2Visitor(server)
        first, second = visitor.ask(), visitor.ask()
        root.requests[0].begin(head(), b"some", False)
        root.requests[0].refuse(GatewayError(BAD_ANSWER))
        answer_whole(root.requests[1])
        cut, whole = visitor.answer(first), visitor.answer(second)
        self.assertEqual((cut.reset, whole.status, whole.ended), (ErrorCodes.INTERNAL_ERROR, 200, True))
        self.assertEqual(server.site.active, 0)

    def test_client_resets(self) -> None:
        """A client that resets its stream is gone to who answers; its connection goes on."""
        root = Waiting()
        server = MemoryServer(root)
        visitor = Http2Visitor(server)
        number = visitor.ask()
        attendant = Attendant()
        root.requests[0].attend(attendant)
        visitor.client.h2.reset_stream(number, ErrorCodes.CANCEL)
        visitor.exchange()
        self.assertEqual((attendant.heard, root.requests[0].status, server.site.active), (["gone"], 499, 0))
        visitor.ask()
        answer_whole(root.requests[1])
        self.assertFalse(visitor.closed)

    def test_connection_lost(self) -> None:
        """A connection that is lost ends all its requests."""
        root = Waiting()
        server = MemoryServer(root)
        visitor = Http2Visitor(server)
        for _ in range(3):
            visitor.ask()
        visitor.leave()
        self.assertEqual([request.status for request in root.requests], [499] * 3)
        self.assertEqual((server.site.active, len(server.site.channels)), (0, 0))
