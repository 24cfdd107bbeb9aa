"""The chain of links, and the links that bound what the gateway takes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import Answer as Seen
from tests.kit import MemoryGateway
from tests.kit_client import Attendant, Handler, MemoryServer, Visitor, answer_whole, request
from tracseq_gateway.config.model import Gateway
from tracseq_gateway.errors import NO_INSTANCE, GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import Request
from tracseq_gateway.middleware.chain import Answer, Chain, Link, Verdict
from tracseq_gateway.middleware.limits import MOST_HOPS, body_limit, concurrency_limit, last_hop, loop_guard

REFUSED = GatewayError(NO_INSTANCE, "not now")
ANSWERED = Answer(OutgoingHead(203, b"Known", [(b"x-from", b"a link")]), b"known")


class ChainTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.steps: list[str] = []

    def link(self, name: str, verdict: Verdict | Deferred[Verdict] | Exception = None) -> Link:
        """A link that writes down that it was asked, and has this verdict."""

        def check(request: Request) -> Verdict | Deferred[Verdict]:
            self.steps.append(name)
            if isinstance(verdict, Exception):
                raise verdict
            return verdict

        return check

    def last(self, request: Any) -> None:
        self.steps.append("last")
        answer_whole(request)

    def run_chain(self, *links: Link) -> Visitor:
        """Send one request through these links."""
        self.server = MemoryServer(Handler(Chain(links, self.last)))
        return self.server.visit(request(b"/"))


class ChainTests(ChainTestCase):
    def test_at_once(self) -> None:
        """Links are asked in their order and at once, and then the last stage has the request."""
        self.assertEqual(self.run_chain(self.link("a"), self.link("b")).statuses(), [200])
        self.assertEqual(self.steps, ["a", "b", "last"])
        self.steps.clear()
        self.assertEqual(self.run_chain().statuses(), [200])

    def test_verdicts(self) -> None:
        """A link that answers or refuses ends the chain, at once or after it waited."""
        cases: list[tuple[Verdict, int, bytes]] = [(REFUSED, 503, b""), (ANSWERED, 203, b"known")]
        for verdict, status, body in cases:
            for given in (verdict, succeed(verdict)):
                self.setUp()
                visitor = self.run_chain(self.link("a"), self.link("b", given), self.link("c"))
                (answer,) = visitor.answers()
                self.assertEqual((answer.status, self.steps), (status, ["a", "b"]))
                self.assertIn(body, answer.body)
                self.assertFalse(visitor.closed)

    def test_answer(self) -> None:
        """An answer of a link is sent with its reason, its fields and its body."""
        visitor = self.run_chain(self.link("a", ANSWERED))
        self.assertTrue(visitor.received.startswith(b"HTTP/1.1 203 Known\r\nx-from: a link\r\n"))

    def test_waits(self) -> None:
        """While a link waits, nothing behind it is asked; then the chain goes on where it stood."""
        first: Deferred[Verdict] = Deferred()
        second: Deferred[Verdict] = Deferred()
        visitor = self.run_chain(self.link("a"), self.link("b", first), self.link("c", second), self.link("d"))
        self.assertEqual((self.steps, visitor.received), (["a", "b"], b""))
        first.callback(None)
        self.assertEqual((self.steps, visitor.received), (["a", "b", "c"], b""))
        second.callback(None)
        self.assertEqual((self.steps, visitor.statuses()), (["a", "b", "c", "d", "last"], [200]))

    def test_same_link_twice(self) -> None:
        """A link may stand in a chain twice; after each place the chain goes on behind that place."""
        answers: list[Verdict | Deferred[Verdict]] = [None, succeed(None), None]

        def twice(request: Request) -> Verdict | Deferred[Verdict]:
            self.steps.append("twice")
            return answers.pop(0)

        self.assertEqual(self.run_chain(twice, self.link("b"), twice, self.link("c")).statuses(), [200])
        self.assertEqual(self.steps, ["twice", "b", "twice", "c", "last"])

    def test_many_requests_wait(self) -> None:
        """Requests that wait at the same link do not mix."""
        waiting: dict[bytes, Deferred[Verdict]] = {}

        def wait(request: Any) -> Deferred[Verdict]:
            return waiting.setdefault(request.path, Deferred())

        def last(request: Any) -> None:
            answer_whole(request, request.path)

        server = MemoryServer(Handler(Chain([wait], last)))
        visitors = {path: server.visit(request(path)) for path in (b"/1", b"/2", b"/3")}
        for path in (b"/2", b"/3", b"/1"):
            waiting[path].callback(None)
            self.assertEqual(visitors[path].answers()[0].body, path)


class FailureTests(ChainTestCase):
    def test_errors(self) -> None:
        """A link that raises, at once or later, is logged once and answered with 500."""
        for given in (ValueError("in a link"), fail(ValueError("in a link"))):
            self.setUp()
            visitor = self.run_chain(self.link("a", given), self.link("b"))
            self.assertEqual((visitor.statuses(), self.steps), ([500], ["a"]))
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
            self.assertNotIn(b"in a link", visitor.received)
            self.assertEqual(self.server.site.active, 0)

    def test_errors_behind_a_link_that_waited(self) -> None:
        """So is what raises behind a link that waited."""
        waiting: Deferred[Verdict] = Deferred()
        visitor = self.run_chain(self.link("a", waiting), self.link("b", ValueError("in a link")))
        waiting.callback(None)
        self.assertEqual((visitor.statuses(), self.steps), ([500], ["a", "b"]))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_client_gone(self) -> None:
        """When the client leaves while a link waits, its verdict comes to nothing and nothing behind it is asked."""
        for verdict in (None, REFUSED, ANSWERED):
            self.setUp()
            waiting: Deferred[Verdict] = Deferred()
            visitor = self.run_chain(self.link("a", waiting), self.link("b"))
            visitor.leave()
            waiting.callback(verdict)
            self.assertEqual((self.steps, visitor.received, self.server.site.active), (["a"], b"", 0))

    def test_client_gone_ends_the_wait(self) -> None:
        """When its client leaves, what a link waits for is cancelled, and that is no failure."""
        cancelled: list[Deferred[Verdict]] = []
        waiting: Deferred[Verdict] = Deferred(cancelled.append)
        self.run_chain(self.link("a", waiting)).leave()
        self.assertEqual((cancelled, self.server.site.active), ([waiting], 0))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_body_while_a_link_waits(self) -> None:
        """A body that comes while a link waits is kept for who takes it, and no more of it is read than that."""
        waiting: Deferred[Verdict] = Deferred()
        taken: list[tuple[bytes, bool]] = []

        def take(request: Any) -> None:
            request.attend(Attendant())
            taken.append(request.take_body())
            answer_whole(request)

        server = MemoryServer(Handler(Chain([self.link("a", waiting)], take)))
        visitor = server.visit(request(b"/", b"Content-Length: 6", method=b"POST") + b"ab", b"cd")
        self.assertFalse(visitor.transport.reading)
        waiting.callback(None)
        self.assertEqual(taken, [(b"abcd", False)])


class LimitTests(SynchronousTestCase):
    def ask(self, link: Link, *fields: bytes, method: bytes = b"GET", sent: bytes = b"") -> Seen:
        """Send one request through one link."""
        server = MemoryServer(Handler(Chain([link], answer_whole)))  # type: ignore[arg-type]
        (answer,) = server.visit(request(b"/", *fields, method=method) + sent).answers(method)
        return answer

    def test_concurrency(self) -> None:
        """As many requests as the limit says may be active, this one included; beyond it 503 with Retry-After."""
        for active, status in ((1, 200), (5, 200), (6, 503), (100, 503)):
            answer = self.ask(concurrency_limit(5, self.constant(active)))
            self.assertEqual(answer.status, status)
            self.assertEqual(answer.values(b"retry-after"), [b"1"] if status == 503 else [])

    @staticmethod
    def constant(value: int) -> Callable[[], int]:
        return lambda: value

    def test_declared_body(self) -> None:
        """A body of exactly the limit passes; one that says that it is longer is 413 before any of it is read."""
        for length, status in ((10, 200), (11, 413), (10**17, 413)):
            answer = self.ask(body_limit(10), b"Content-Length: %d" % length, method=b"POST")
            self.assertEqual(answer.status, status)
        self.assertEqual(self.ask(body_limit(10)).status, 200)

    def test_chunked_body(self) -> None:
        """A body of unknown length is counted: what came with the head at once, the rest while it comes."""
        chunked = b"Transfer-Encoding: chunked"
        for size, status in ((10, 200), (11, 413)):
            sent = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)
            self.assertEqual(self.ask(body_limit(10), chunked, method=b"POST", sent=sent).status, status)

        def take(request: Request) -> None:
            request.attend(Attendant())
            request.take_body()

        visitor = MemoryServer(Handler(Chain([body_limit(10)], take))).visit(request(b"/", chunked, method=b"POST"))
        visitor.send(b"a\r\n0123456789\r\n")
        self.assertEqual(visitor.received, b"")
        visitor.send(b"1\r\nx\r\n")
        self.assertEqual(visitor.statuses(), [413])

    def test_loop(self) -> None:
        """A request that came by as often as it may is 508; other gateways' hops do not count."""
        link = loop_guard("gw")
        for hops, status in ((0, 200), (MOST_HOPS - 1, 200), (MOST_HOPS, 508), (50, 508)):
            self.assertEqual(self.ask(link, b"Via: " + b", ".join([b"1.1 gw"] * hops)).status, status, hops)
            self.assertEqual(self.ask(link, *[b"Via: 1.1 gw"] * hops).status, status, hops)
        self.assertEqual(self.ask(link, b"Via: " + b", ".join([b"1.1 other"] * 50)).status, 200)

    def test_loop_of_gateways_with_similar_names(self) -> None:
        """A name is the whole name: neither a longer one nor a comment counts."""
        for hop in (b"1.1 gw-2", b"1.1 eu.gw.lab", b"1.1 other (not gw)", b"1.1 agw:80"):
            self.assertEqual(self.ask(loop_guard("gw"), b"Via: " + b", ".join([hop] * 9)).status, 200, hop)

    def test_last_hop(self) -> None:
        """OPTIONS with Max-Forwards 0 is answered here, with Allow; with more, or in other methods, it goes on."""
        link = last_hop([b"GET", b"PUT"])
        answer = self.ask(link, b"Max-Forwards: 0", method=b"OPTIONS")
        self.assertEqual((answer.status, answer.values(b"allow")), (204, [b"GET, PUT"]))
        for fields, method in (([b"Max-Forwards: 1"], b"OPTIONS"), ([], b"OPTIONS"), ([b"Max-Forwards: 0"], b"GET")):
            self.assertEqual(self.ask(link, *fields, method=method).status, 200)


class WholeGatewayTests(SynchronousTestCase):
    """The links as the roof puts them together."""

    def test_concurrency(self) -> None:
        """Of more requests at once than the gateway takes on, the surplus is 503; a place that gets free is used."""
        gateway = MemoryGateway(gateway=Gateway(max_concurrent_requests=2), answer=None)
        clients = [gateway.client() for _ in range(3)]
        for client in clients:
            client.send(request(b"/"))
        self.assertEqual([[answer.status for answer in client.answers()] for client in clients], [[], [], [503]])
        clients[0].leave()
        clients[2].send(request(b"/"))
        self.assertEqual(len(gateway.service.requests), 3)

    def test_loop(self) -> None:
        """A gateway that is its own service answers 508 in the end, and nobody hangs."""
        gateway = MemoryGateway(gateway=Gateway(via="here"))
        client = gateway.exchange(request(b"/", b"Via: " + b", ".join([b"1.1 here"] * MOST_HOPS)))
        (answer,) = client.answers()
        self.assertEqual(answer.status, 508)
        self.assertEqual(answer.values(b"proxy-status"), [b"here; error=proxy_loop_detected"])
        self.assertEqual(gateway.service.requests, [])

    def test_body_limit(self) -> None:
        """Each service's largest body holds; nothing of a larger one reaches it."""
        gateway = MemoryGateway(max_body=10)
        client = gateway.exchange(request(b"/", method=b"POST", body=b"x" * 11))
        self.assertEqual([answer.status for answer in client.answers()], [413])
        self.assertEqual((gateway.service.attempts, gateway.service.requests), ([], []))
        unlimited = MemoryGateway(max_body=0).exchange(request(b"/", method=b"POST", body=b"x" * 100_000))
        self.assertEqual([answer.status for answer in unlimited.answers()], [200])
