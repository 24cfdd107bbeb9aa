"""What resources of twisted.web may do with a request, and that nothing of a request is left behind."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.pages import notFound
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.kit import Answer, MemoryGateway
from tests.kit_client import Attendant, MemoryServer, answer_whole, request
from tracseq_gateway.errors import NOT_FOUND, GatewayError
from tracseq_gateway.http.head_probe import HeadProbe
from tracseq_gateway.http.request_head import RequestFields, RequestHead
from tracseq_gateway.server.channel import HTTPChannel
from tracseq_gateway.server.request import GatewayRequest


class Page(Resource):
    """A resource with a GET and a POST, and a child."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def getChild(self, path: bytes, request: Any) -> Any:
        return self if path in (b"", b"child") else notFound()

    def render_GET(self, request: Any) -> bytes:
        self.seen.append(request)
        request.setHeader("X-Text", "é")
        request.setHeader(b"X-Bytes", b"1")
        request.responseHeaders.addRawHeader(b"X-Bytes", b"2")
        return b"got %b" % b"/".join(request.prepath)

    def render_POST(self, request: Any) -> Any:
        self.seen.append(request)
        return NOT_DONE_YET


class ResourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.page = Page()
        self.server = MemoryServer(self.page)

    def get(self, *pieces: bytes, method: bytes = b"GET") -> Answer:
        (answer,) = self.server.visit(*pieces).answers(method)
        return answer

    def test_tree(self) -> None:
        """The resource for a path is found segment by segment, decoded once; what is not there is 404."""
        self.assertEqual(self.get(request(b"/")).body, b"got ")
        self.assertEqual(self.get(request(b"/child")).body, b"got child")
        self.assertEqual(self.get(request(b"/child/%63hild")).body, b"got child/child")
        self.assertEqual(self.get(request(b"/none")).status, 404)

    def test_fields(self) -> None:
        """Fields are set as text or bytes, and may repeat; framing fields that a resource sets are not believed."""
        answer = self.get(request(b"/"))
        self.assertEqual(answer.values(b"x-text"), ["é".encode()])
        self.assertEqual(answer.values(b"x-bytes"), [b"1", b"2"])

        def frame(request: Any) -> bytes:
            for name in ("Content-Length", "Transfer-Encoding", "Connection"):
                request.setHeader(name, "99")
            return b"body"

        answer = MemoryServer(frame).visit(request(b"/")).answers()[0]
        self.assertEqual(
            (answer.body, answer.values(b"content-length"), answer.values(b"connection")), (b"body", [b"4"], [])
        )

    def test_what_it_reads(self) -> None:
        """Method, path, query, fields and the client's address are there."""
        self.get(request(b"/child?a=1&b=&a=%32", b"X-One: 1", b"x-one: 2"), method=b"GET")
        seen = self.page.seen[0]
        self.assertEqual((seen.method, seen.path, seen.uri), (b"GET", b"/child", b"/child?a=1&b=&a=%32"))
        self.assertEqual(seen.args, {b"a": [b"1", b"2"], b"b": [b""]})
        self.assertEqual(
            (seen.getHeader("X-One"), seen.getHeader(b"x-one"), seen.getHeader("x-two")), ("2", b"2", None)
        )
        self.assertEqual((seen.getClientIP(), seen.isSecure(), seen.content.read()), ("192.0.2.7", False, b""))

    def test_methods(self) -> None:
        """HEAD is answered from GET; a method that a resource does not have is 405 and names those that it has."""
        head = self.get(request(b"/", method=b"HEAD"), method=b"HEAD")
        self.assertEqual((head.status, head.values(b"content-length"), head.body), (200, [b"4"], b""))
        answer = self.get(request(b"/", method=b"DELETE"))
        self.assertEqual((answer.status, answer.values(b"allow")), (405, [b"GET, HEAD, POST"]))

    def test_in_pieces(self) -> None:
        """An answer that is written in pieces is streamed, and ended by finish."""
        visitor = self.server.visit(request(b"/", method=b"POST"))
        seen = self.page.seen[0]
        seen.setResponseCode(201, b"Made")
        seen.write(b"ha")
        seen.write(b"lf")
        self.assertFalse(visitor.answers()[0].complete)
        seen.finish()
        (answer,) = visitor.answers()
        self.assertEqual((answer.status, answer.body, answer.framing), (201, b"half", "chunked"))
        self.assertFalse(visitor.closed)

    def test_finish_alone(self) -> None:
        """finish without a write is an empty answer."""
        visitor = self.server.visit(request(b"/", method=b"POST"))
        self.page.seen[0].finish()
        self.assertEqual((visitor.answers()[0].body, visitor.answers()[0].framing), (b"", "length"))

    def test_notify_finish(self) -> None:
        """notifyFinish fires when the answer is complete, and fails when the client leaves before that."""
        self.server.visit(request(b"/", method=b"POST"))
        finished: Deferred[None] = self.page.seen[0].notifyFinish()
        self.assertNoResult(finished)
        self.page.seen[0].finish()
        self.successResultOf(finished)
        visitor = self.server.visit(request(b"/", method=b"POST"))
        waiting: Deferred[None] = self.page.seen[1].notifyFinish()
        visitor.leave()
        self.failureResultOf(waiting, ConnectionLost)
        self.page.seen[1].write(b"too late")
        self.page.seen[1].finish()

    def test_pages_of_twisted(self) -> None:
        """Ready-made pages of twisted.web render."""
        answer = MemoryServer(notFound()).visit(request(b"/")).answers()[0]
        self.assertEqual(answer.status, 404)
        self.assertIn(b"<html>", answer.body)


class MemoryTests(SynchronousTestCase):
    """Requests leave no garbage that only the cycle collector could find: a busy worker would pay for it."""

    def assertLeavesNothing(self, use: Callable[[], object]) -> None:
        """Using the server this way leaves no cycle, and none of these objects."""
        use()  # once before, for whatever is made once
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        before = self.count()
        use()
        found = gc.collect()
        gc.enable()
        self.assertEqual(self.count() - before, 0)
        self.assertEqual(found, 0, "garbage in cycles")

    def count(self) -> int:
        kinds = (GatewayRequest, HTTPChannel, RequestHead, RequestFields, HeadProbe, Attendant)
        return sum(type(thing) in kinds for thing in gc.get_objects())

    def test_kept_connection(self) -> None:
        """A request is gone when it is answered, though its connection stays."""
        server = MemoryServer(answer_whole)
        visitor = server.visit()
        data = request(b"/", b"A: b")
        self.assertLeavesNothing(lambda: visitor.send(data, data, data))

    def test_whole_connection(self) -> None:
        """A connection is gone when it is closed, whoever closed it."""
        server = MemoryServer(answer_whole)

        def use() -> None:
            server.visit(request(b"/")).leave()
            server.visit(request(b"/", b"Connection: close"))
            server.visit(request(b"/")[:12], request(b"/")[12:]).leave()
            # What waits in the wheel of deadlines is let go when its slot comes by.
            server.pass_time(61.0, 1.0)

        self.assertLeavesNothing(use)

    def test_body_and_answerer(self) -> None:
        """Who took a body, and answered, is gone with the request."""

        def take(request: GatewayRequest) -> None:
            attendant = Attendant()
            request.attend(attendant)
            request.take_body()
            answer_whole(request)

        visitor = MemoryServer(take, requests_per_connection=0).visit()
        data = request(b"/", method=b"POST", body=b"body")
        self.assertLeavesNothing(lambda: visitor.send(data, data))

    def test_client_gone(self) -> None:
        """A client that leaves in the middle leaves nothing."""
        server = MemoryServer(lambda request: request.attend(Attendant()))

        def use() -> None:
            server.visit(request(b"/")).leave()
            server.visit(request(b"/", b"Content-Length: 9", method=b"POST") + b"x").leave()

        self.assertLeavesNothing(use)

    def test_errors(self) -> None:
        """Refused requests leave nothing."""
        server = MemoryServer(lambda request: request.refuse(GatewayError(NOT_FOUND)))

        def use() -> None:
            server.visit(request(b"/"), request(b"/%")).leave()
            server.visit(b"BAD\r\n\r\n").leave()
            server.visit(b"GET / HTTP/1.1\r\n bad").leave()
            server.visit(request(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"XYZ").leave()

        self.assertLeavesNothing(use)

    def test_proxied(self) -> None:
        """The whole way to a service and back leaves nothing."""
        gateway = MemoryGateway()
        client = gateway.client()

        def use() -> None:
            client.send(request(b"/", b"A: b") + request(b"/", method=b"POST", body=b"body"))
            gateway.service.run()

        self.assertLeavesNothing(use)
        self.assertEqual(len(client.answers()), 4)

    def test_resource(self) -> None:
        """The face of twisted.web leaves nothing either."""

        def page(request: Any) -> bytes:
            request.setHeader("X-A", request.getHeader("Host"))
            return b"body"

        visitor = MemoryServer(page).visit()
        data = request(b"/?a=b")
        self.assertLeavesNothing(lambda: visitor.send(data))
