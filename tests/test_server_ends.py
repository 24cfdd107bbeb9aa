"""How requests end: told once, in order, with what was received and sent, whatever happened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryClient, MemoryGateway
from tests.kit_client import Attendant, MemoryServer, Visitor, Waiting, answer_whole, request
from tests.test_limits_stores import FakeLink
from tracseq_gateway.config import RateLimiting, Redis, Size
from tracseq_gateway.errors import CLOSED_EARLY, GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import Request
from tracseq_gateway.metrics.recorder import RequestRecorder
from tracseq_gateway.server.request import GatewayRequest

POST = request(b"/", method=b"POST", body=b"0123456789")
HALF = POST[:-5]
CHUNKED = request(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"5\r\n01234\r\n"


class Ends:
    """A recorder that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int, int, str | None]] = []

    def request_ended(self, request: Request) -> None:
        error = request.error.kind.slug if request.error is not None else None
        self.heard.append((request.status, request.received, request.sent, error))


class EndTestCase(SynchronousTestCase):
    """A server whose requests wait for the test; ``ends`` has status, bytes in, bytes out and error of those over."""

    def setUp(self) -> None:
        self.order: list[str] = []
        self.root = Waiting()
        self.server = MemoryServer(self.take, body_idle_seconds=5, head_seconds=5)
        self.recorder = Ends()
        self.patch(self.server.site, "_recorder", self.recorder)

    def take(self, request: GatewayRequest) -> None:
        for name in ("first", "second"):
            request.at_end(lambda ended, name=name: self.order.append(name))  # type: ignore[misc]
        self.root.handle(request)

    def end(self, how: Callable[[Visitor, GatewayRequest], None], data: bytes = request()) -> tuple[int, int, int, Any]:
        """Let a request end; then its client leaves and time passes. Returns what was recorded, once."""
        before = len(self.recorder.heard), len(self.order)
        visitor = self.server.visit(data)
        going = self.root.requests[-1]
        self.assertEqual(len(self.recorder.heard), before[0])
        how(visitor, going)
        self.assertEqual(self.order[before[1] :], ["first", "second"])
        self.server.pass_time(20, 1)
        if visitor.connected:
            visitor.leave()
        self.server.pass_time(5, 1)
        self.assertEqual(self.order[before[1] :], ["first", "second"])
        self.assertEqual((self.server.site.active, self.server.site.channels), (0, set()))
        [heard] = self.recorder.heard[before[0] :]
        return heard


def begin(request: GatewayRequest, length: int | None = None) -> None:
    request.begin(OutgoingHead(200, b"OK", [], length, dated=True), b"half", False)


class AnsweredTests(EndTestCase):
    def test_whole(self) -> None:
        """An answer in one piece: its status, and the bytes of its body."""
        self.assertEqual(self.end(lambda _, request: answer_whole(request, b"12345")), (200, 0, 5, None))

    def test_pieces(self) -> None:
        """An answer in pieces, with or without a length, or until the connection closes: bytes without framing."""

        def answer(length: int | None, _: Visitor, request: GatewayRequest) -> None:
            begin(request, length)
            request.send(b"", False)
            request.send(b"more", False)
            request.send(b"end", True)

        for length in (11, None):
            for version in (b"HTTP/1.1", b"HTTP/1.0"):
                self.assertEqual(self.end(partial(answer, length), request(version=version)), (200, 0, 11, None))

    def test_received(self) -> None:
        """A body is counted as it comes, without the framing of its chunks, whether anybody takes it or not."""
        self.assertEqual(self.end(lambda _, request: answer_whole(request), POST)[1], 10)
        self.assertEqual(self.end(lambda _, request: answer_whole(request), HALF)[1], 5)
        self.assertEqual(self.end(lambda _, request: answer_whole(request), CHUNKED)[1], 5)
        self.assertEqual(self.end(lambda _, request: answer_whole(request), CHUNKED + b"0\r\n\r\n")[1], 5)

    def test_bodiless(self) -> None:
        """An answer to HEAD, and a refusal of it, has sent no body, whatever it would have been."""
        head = request(method=b"HEAD")
        self.assertEqual(self.end(lambda _, request: answer_whole(request, b"12345"), head), (200, 0, 0, None))
        refused = self.end(lambda _, request: request.refuse(GatewayError(CLOSED_EARLY)), head)
        self.assertEqual(refused, (502, 0, 0, "closed-early"))

    def test_refused(self) -> None:
        """A refusal: its error, and the bytes of the problem document."""
        status, _, sent, error = self.end(lambda _, request: request.refuse(GatewayError(CLOSED_EARLY)))
        self.assertEqual((status, error), (502, "closed-early"))
        self.assertGreater(sent, 50)

    def test_cut(self) -> None:
        """An answer that is cut off keeps its status, and what was sent of it; the error says why, if there is one."""

        def refuse(_: Visitor, request: GatewayRequest) -> None:
            begin(request)
            request.refuse(GatewayError(CLOSED_EARLY))

        def abort(_: Visitor, request: GatewayRequest) -> None:
            begin(request)
            request.abort()

        for version in (b"HTTP/1.1", b"HTTP/1.0"):
            self.assertEqual(self.end(refuse, request(version=version)), (200, 0, 4, "closed-early"))
            self.assertEqual(self.end(abort, request(version=version)), (200, 0, 4, None))

    def test_failed(self) -> None:
        """A resource that fails ends its request with 500."""
        self.root.handle = lambda request: 1 // 0
        self.server.visit(request())
        self.assertEqual([end[0] for end in self.recorder.heard], [500])
        self.assertEqual(self.order, ["first", "second"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_late(self) -> None:
        """What is answered once a request is over changes nothing of what is recorded."""
        self.end(lambda visitor, request: visitor.leave())
        for late in (answer_whole, begin, GatewayRequest.abort, GatewayRequest.over):
            late(self.root.requests[-1])
        self.root.requests[-1].refuse(GatewayError(CLOSED_EARLY))
        self.assertEqual((self.recorder.heard, self.order), ([(499, 0, 0, None)], ["first", "second"]))

    def test_one_after_the_other(self) -> None:
        """Requests on one connection end one by one, each once."""
        visitor = self.server.visit(request(b"/1") + request(b"/2") + request(b"/3"))
        for count in range(1, 4):
            self.assertEqual(len(self.recorder.heard), count - 1)
            answer_whole(self.root.requests[-1], b"x" * count)
        visitor.leave()
        self.assertEqual([end[2] for end in self.recorder.heard], [1, 2, 3])


class ClientTests(EndTestCase):
    def test_gone_before(self) -> None:
        """A client that leaves before its answer: 499, with the body that had come."""
        for data, received in ((request(), 0), (HALF, 5), (CHUNKED, 5), (POST, 10)):
            self.assertEqual(self.end(lambda visitor, _: visitor.leave(), data), (499, received, 0, None))

    def test_gone_within(self) -> None:
        """One that leaves within its answer: the status that it saw, and the bytes that it was sent."""

        def leave(visitor: Visitor, request: GatewayRequest) -> None:
            begin(request, 100)
            visitor.leave()

        self.assertEqual(self.end(leave), (200, 0, 4, None))

    def test_body_broken(self) -> None:
        """A body that is malformed, too large or too late: the refusal; who worked on the request hears that it is
        over."""

        def large(visitor: Visitor, request: GatewayRequest) -> None:
            request.max_body = 9
            attend(request)
            visitor.send(b"56789")

        def malformed(visitor: Visitor, request: GatewayRequest) -> None:
            attend(request)
            visitor.send(b"oh no\r\n")

        def late(visitor: Visitor, request: GatewayRequest) -> None:
            attend(request)
            self.server.pass_time(6, 1)

        def attend(request: GatewayRequest) -> None:
            self.attendant = Attendant()
            request.attend(self.attendant)
            request.take_body()

        for how, data, status, received in ((large, HALF, 413, 10), (malformed, CHUNKED, 400, 5), (late, HALF, 408, 5)):
            self.assertEqual(self.end(how, data)[:2], (status, received))
            self.assertEqual(self.attendant.heard, ["gone"])

    def test_cut_by_a_drain(self) -> None:
        """A drain that does not wait longer ends each request once."""
        self.server.visit(request())
        drained = self.server.site.drain(1)
        self.server.pass_time(2, 0.5)
        self.assertEqual((self.successResultOf(drained), len(self.recorder.heard)), (1, 1))
        self.assertEqual(self.order, ["first", "second"])


class FaultTests(EndTestCase):
    def test_recorder_fails(self) -> None:
        """A log that cannot be written keeps no request from its answer."""

        def fail(*arguments: object) -> None:
            raise ZeroDivisionError

        recorder = RequestRecorder([fail], self.server.reactor.seconds)
        self.patch(self.server.site, "_recorder", recorder)
        self.root.handle = answer_whole
        visitor = self.server.visit(request() * 2)
        self.assertEqual(visitor.statuses(), [200, 200])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_callback_fails(self) -> None:
        """What is called at the end and raises keeps nobody from hearing of it, and the connection serves on."""

        def fail(ended: Request) -> None:
            raise ZeroDivisionError

        def handle(request: GatewayRequest) -> None:
            request.at_end(fail)
            answer_whole(request)

        self.root.handle = handle
        visitor = self.server.visit(request())
        visitor.send(request())
        errors = self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual((visitor.statuses(), len(self.recorder.heard), len(errors)), ([200, 200], 2, 2))


class GatewayTests(SynchronousTestCase):
    """The same from end to end."""

    def setUp(self) -> None:
        self.start()

    def start(self, **service: Any) -> None:
        self.gateway = MemoryGateway(**{"prefix": "/samples", **service})
        self.recorder = Ends()
        self.patch(self.gateway.worker.site, "_recorder", self.recorder)

    def heard(self, data: bytes, answer: bytes | None = b"", *, cut: bool = False) -> tuple[int, int, int, Any]:
        self.gateway.service.answer = answer
        client = self.gateway.exchange(data)
        if cut:
            self.gateway.service.connections[-1].close()
        client.leave()
        [heard] = self.recorder.heard
        self.recorder.heard.clear()
        return heard

    def test_services(self) -> None:
        """Answers of services, however they are framed, count the bytes of their bodies as the client got them."""
        ask = request(b"/samples")
        for method, answer, expected in (
            (b"GET", b"200 OK\r\nContent-Length: 5\r\n\r\n12345", (200, 0, 5, None)),
            (
                b"GET",
                b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n2\r\n45\r\n0\r\n\r\n",
                (200, 0, 5, None),
            ),
            (b"HEAD", b"200 OK\r\nContent-Length: 5\r\n\r\n", (200, 0, 0, None)),
            (b"HEAD", b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", (200, 0, 0, None)),
            (b"GET", b"304 Not Modified\r\nContent-Length: 5\r\n\r\n", (304, 0, 0, None)),
            (b"GET", b"204 No Content\r\n\r\n", (204, 0, 0, None)),
            (b"GET", b"103 Early Hints\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\n1", (404, 0, 1, None)),
        ):
            heard = self.heard(ask.replace(b"GET", method), b"HTTP/1.1 " + answer)
            self.assertEqual(heard, expected, answer)

    def test_cut_by_the_service(self) -> None:
        """A service that breaks off: what came of its answer, and why it is not whole."""
        for framing in (b"Content-Length: 50\r\n\r\n12345", b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"):
            heard = self.heard(request(b"/samples"), b"HTTP/1.1 200 OK\r\n" + framing, cut=True)
            self.assertEqual(heard, (200, 0, 5, "incomplete-answer"))

    def test_no_service(self) -> None:
        """A service that cannot be reached, or speaks nonsense, is an error of its own."""
        self.assertEqual(self.heard(request(b"/samples"), b"oh no\r\n\r\n")[::3], (502, "bad-answer"))
        self.gateway.service.failures[9001] = ConnectionRefusedError()
        self.assertEqual(self.heard(request(b"/samples"))[::3], (502, "connect-refused"))

    def test_own(self) -> None:
        """The gateway's own pages and its refusals are heard of like any other answer, with bytes as they were sent."""
        for path, status in ((b"/health", 200), (b"/", 200), (b"/health/nothing", 404), (b"/nowhere", 404)):
            client = self.gateway.exchange(request(path))
            [answer] = client.answers()
            client.leave()
            self.assertEqual([heard[:3] for heard in self.recorder.heard], [(status, 0, len(answer.body))], path)
            self.recorder.heard.clear()
        self.assertEqual(self.heard(request(b"*", method=b"OPTIONS"))[:3], (204, 0, 0))

    def test_upload_broken_off(self) -> None:
        """A client that leaves within its upload, with the service waiting for the rest: 499 and what had come."""
        self.assertEqual(self.heard(HALF.replace(b"POST /", b"POST /samples"), None), (499, 5, 0, None))
        self.assertTrue(self.gateway.service.connections[-1].transport.aborted)

    def test_refused_by_its_length(self) -> None:
        """A body that says that it is too large is refused with nothing of it passed on, and its end is told once."""
        self.start(max_body=Size(3))
        self.assertEqual(self.heard(POST.replace(b"POST /", b"POST /samples"))[::3], (413, "body-too-large"))
        self.assertEqual(self.gateway.service.attempts, [])

    def test_concurrent(self) -> None:
        """Each of many connections has its own end, in whatever order they come."""
        self.gateway.service.answer = None
        clients = [self.gateway.client() for _ in range(4)]
        for client in clients:
            client.send(request(b"/samples"))
        clients[2].leave()
        for connection in self.gateway.service.connections:
            connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        for client in clients:
            MemoryClient.leave(client)
        self.assertEqual(sorted(self.recorder.heard), [(200, 0, 2, None)] * 3 + [(499, 0, 0, None)])


class PlaceTests(SynchronousTestCase):
    """A service that takes one request at once, or one of each client: what ends gives its place to the next."""

    limit = "max_concurrent"
    full = 503

    def setUp(self) -> None:
        settings: dict[str, Any] = {"prefix": "/samples", self.limit: 1}
        tables = {"redis": Redis("unix:///nowhere"), "rate_limit": RateLimiting(enabled=True)}
        self.gateway = MemoryGateway(answer=None, tables=tables, **settings)
        self.service = self.gateway.service
        assert self.gateway.worker.rates is not None
        self.link = FakeLink()
        self.patch(self.gateway.worker.rates.store, "_link", self.link)

    def ask(self, data: bytes = b"", *decision: int) -> MemoryClient:
        """Send a request, which the limiter decides about; without a decision it goes on thinking."""
        client = self.gateway.client()
        client.send(data or request(b"/samples"))
        self.gateway.clock.advance(0)
        if decision:
            self.link.answers[-1].callback(list(decision))
        return client

    def ended(self) -> None:
        """Check that there is a place for one request, and only one."""
        taking, turned_away = self.ask(b"", 0, 0), self.ask()
        self.assertEqual([answer.status for answer in turned_away.answers()], [self.full])
        self.service.connections[-1].answer(OK)
        self.assertEqual([answer.status for answer in taking.answers()], [200])

    def test_answered(self) -> None:
        """Answered requests."""
        for _ in range(3):
            self.ended()

    def test_service_fails(self) -> None:
        """Requests that the service could not be reached for, or that it broke off."""
        self.service.failures[9001] = ConnectionRefusedError()
        self.ask(b"", 0, 0)
        self.service.failures.clear()
        self.ask(b"", 0, 0)
        self.service.connections[-1].close()
        self.ended()

    def test_limited(self) -> None:
        """Requests that are refused later: by their rate, from memory, or because the limiter is away."""
        self.ask(b"", 1, 200 * 600_000)
        self.ask()
        self.gateway.clock.advance(60)
        self.ended()

    def test_client_gone(self) -> None:
        """Clients that leave while the limiter thinks, within their upload, or within their download."""
        self.ask().leave()
        self.link.answers[-1].callback([0, 0])
        upload = HALF.replace(b"POST /", b"POST /samples")
        self.ask(upload).leave()
        self.ask(upload, 0, 0).leave()
        client = self.ask(b"", 0, 0)
        self.service.connections[-1].answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")
        client.leave()
        self.ended()

    def test_fault(self) -> None:
        """Requests that a fault of the gateway ended."""

        def fail(request: object) -> None:
            raise ZeroDivisionError

        chosen = self.gateway.worker.services["all"]
        patched = self.patch(chosen, "choose", fail)
        self.assertEqual([answer.status for answer in self.ask(b"", 0, 0).answers()], [500])
        patched.restore()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.ended()


class ClientPlaceTests(PlaceTests):
    limit = "max_concurrent_per_client"
    full = 429
