"""The pool of connections to one instance: who gets which, who waits, who is turned away, and that none is lost."""

from __future__ import annotations

from twisted.internet.error import (
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
)
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryService
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.upstream import Connections, Timeouts
from tracseq_gateway.errors import GatewayError
from tracseq_gateway.http.answer_head import AnswerHead
from tracseq_gateway.http.forwarding import known_answer_lines
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.upstream.connection import UpstreamConnection
from tracseq_gateway.upstream.pool import Pool

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Visitor:
    """Wants a connection, and sends a request on it at once when it has one."""

    method = b"GET"
    timeouts = Timeouts()

    def __init__(self) -> None:
        self.connection: UpstreamConnection | None = None
        self.was_used = False
        self.error: GatewayError | None = None
        self.answered = False

    @property
    def waits(self) -> bool:
        return self.connection is None and self.error is None and not self.answered

    def connected(self, connection: UpstreamConnection) -> None:
        assert self.waits, "told twice"
        self.connection = connection
        self.was_used = connection.used
        connection.send(self, REQUEST, True)

    def not_connected(self, error: GatewayError) -> None:
        assert self.waits, "told twice"
        self.error = error

    def switched(self, head: AnswerHead) -> Visitor:
        raise AssertionError("no protocol is switched here")

    def interim(self, head: AnswerHead) -> None:
        """None comes here."""

    def answer(self, head: AnswerHead, data: bytes, done: bool) -> None:
        assert done
        self.answered = True
        self.connection = None

    def answer_data(self, data: bytes, done: bool) -> None:
        raise AssertionError("the answer was whole")

    def broken(self, error: GatewayError) -> None:
        self.error = error
        self.connection = None

    def resume_sending(self) -> None:
        """The request is whole already."""

    def pause_sending(self) -> None:
        """The request is whole already."""


class PoolTestCase(SynchronousTestCase):
    """A pool over a service whose attempts to connect hang until the test decides."""

    def setUp(self) -> None:
        self.make()

    def make(self, most: int = 2, queue: int = 10) -> None:
        self.clock = Clock()
        self.service = MemoryService()
        self.service.hold = True
        limits = Connections(max=most, queue=queue, queue_seconds=Seconds(5.0), idle_seconds=Seconds(4.0))
        self.attempts: list[tuple[float, str]] = []
        self.pool = Pool(
            "a",
            80,
            limits,
            Timeouts(),
            Deadlines(self.clock),
            self.service.connect,
            known_answer_lines(),
            lambda seconds, error: self.attempts.append((round(seconds, 3), error)),
        )

    def visit(self, *, fresh: bool = False) -> Visitor:
        visitor = Visitor()
        connection = self.pool.take(visitor, fresh=fresh)
        if connection is not None:
            visitor.connected(connection)
        return visitor

    def serve(self, count: int = 1) -> list[Visitor]:
        """Serve so many visitors at once, each on a connection of its own."""
        visitors = [self.visit() for _ in range(count)]
        while self.service.held:
            self.service.admit()
        self.service.run()
        return visitors

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            self.service.run()

    def assertPool(self, busy: int = 0, idle: int = 0, opening: int = 0, waiting: int = 0) -> None:
        self.assertEqual(
            repr(self.pool), f"<Pool a:80: {busy} busy, {idle} idle, {opening} opening, {waiting} waiting>"
        )


class TakeAndGiveTests(PoolTestCase):
    def test_opens_one_for_each_at_most_max(self) -> None:
        """Each request that finds no idle connection causes one to be opened, until there are ``max``."""
        for _ in range(4):
            self.visit()
        self.assertPool(opening=2, waiting=4)
        self.service.admit()
        self.service.admit()
        self.assertPool(busy=2, waiting=2)

    def test_attempts_are_told(self) -> None:
        """How long each attempt to connect took is told, and why it failed; a connection that is kept is none."""
        self.visit()
        self.clock.advance(0.25)
        self.service.admit()
        self.service.run()
        self.visit()
        self.service.run()
        self.assertEqual(self.attempts, [(0.25, "")])
        self.visit(fresh=True)
        self.service.turn_away(ConnectionRefusedError())
        self.assertEqual(self.attempts[1:], [(0.0, "connect-refused")])

    def test_first_come_first_served(self) -> None:
        """A connection that is given back goes to who has waited longest, not to the idle ones."""
        self.service.answer = None
        visitors = [self.visit() for _ in range(5)]
        self.service.admit()
        self.service.admit()
        for index in range(5):
            self.assertEqual(
                [visitor.connection is not None for visitor in visitors], [index <= at < index + 2 for at in range(5)]
            )
            connection = visitors[index].connection
            next(one for one in self.service.connections if one.protocol is connection).answer(OK)
        self.assertPool(idle=2)
        self.assertTrue(all(visitor.answered for visitor in visitors))

    def test_the_last_given_back_goes_out_first(self) -> None:
        """The others grow old and expire."""
        self.make(most=3)
        self.service.answer = None
        for _ in range(3):
            self.visit()
        for _ in range(3):
            self.service.admit()
        for index in (1, 2, 0):
            self.service.connections[index].answer(OK)
        taken = [self.visit().connection for _ in range(3)]
        self.assertEqual(taken, [self.service.connections[index].protocol for index in (0, 2, 1)])

    def test_a_connection_that_nobody_waits_for_any_more_is_kept(self) -> None:
        """Who leaves while a connection is opened for him leaves it to the next."""
        visitor = self.visit()
        self.pool.leave(visitor)
        self.assertPool(opening=1)
        self.service.admit()
        self.assertPool(idle=1)
        self.assertTrue(visitor.waits)
        self.assertIsNotNone(self.visit().connection)

    def test_leaving_lets_the_next_move_up(self) -> None:
        """Who has left the queue is not served."""
        self.make(most=1)
        first, second, third = (self.visit() for _ in range(3))
        self.pool.leave(first)
        self.service.admit()
        self.assertTrue(first.waits)
        self.assertIsNotNone(second.connection)
        self.service.run()
        self.assertTrue(third.answered)
        self.assertPool(idle=1)

    def test_leaving_twice_or_late_does_nothing(self) -> None:
        """Who has a connection, or has left, does not wait."""
        visitor = self.visit()
        self.service.admit()
        self.pool.leave(visitor)
        self.pool.leave(visitor)
        self.assertPool(busy=1)

    def test_a_fresh_connection_is_asked_for(self) -> None:
        """Who asks for a new connection gets none that has served, though one is idle."""
        self.serve()
        visitor = self.visit(fresh=True)
        self.assertPool(idle=1, opening=1, waiting=1)
        self.service.admit()
        self.assertIsNotNone(visitor.connection)
        self.assertFalse(visitor.was_used)
        self.assertPool(busy=1, idle=1)

    def test_a_used_connection_given_back_is_not_fresh(self) -> None:
        """Who asks for a new connection is passed over when one that has served comes back."""
        self.service.answer = None
        self.visit()
        self.service.admit()
        visitor = self.visit(fresh=True)
        self.service.connections[0].answer(OK)
        self.assertTrue(visitor.waits)
        self.assertPool(idle=1, opening=1, waiting=1)
        self.service.admit()
        self.assertIsNotNone(visitor.connection)


class ClosingTests(PoolTestCase):
    def test_unused_connections_expire(self) -> None:
        """A connection that stays idle for ``idle_seconds`` is closed and forgotten."""
        self.serve(2)
        self.pass_time(2)
        self.serve(1)
        self.assertPool(idle=2)
        self.pass_time(2.3)
        self.assertPool(idle=1)
        self.pass_time(2)
        self.assertPool()
        self.assertTrue(all(connection.lost for connection in self.service.connections))

    def test_an_idle_connection_that_the_service_closes(self) -> None:
        """It is forgotten at once, and handed to nobody."""
        self.serve()
        self.service.connections[0].close()
        self.assertPool()
        self.visit()
        self.assertPool(opening=1, waiting=1)

    def test_bytes_on_an_idle_connection(self) -> None:
        """A service that speaks unasked loses its connection."""
        self.serve()
        self.service.connections[0].answer(OK)
        self.assertPool()
        self.assertTrue(self.service.connections[0].transport.aborted)

    def test_surplus_behind_an_answer(self) -> None:
        """A service that says more than its answer, whatever frames it, loses its connection."""
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        for answer in (OK, chunked, b"HTTP/1.1 204 No Content\r\n\r\n"):
            self.make()
            self.service.answer = answer + OK
            (visitor,) = self.serve()
            self.assertTrue(visitor.answered)
            self.assertPool()
            self.assertTrue(self.service.connections[0].lost)

    def test_a_closing_answer_makes_room(self) -> None:
        """When a connection is closed after its answer, one is opened for who waits."""
        self.make(most=1)
        self.service.answer = CLOSING
        first, second = self.visit(), self.visit()
        self.service.admit()
        self.service.run()
        self.assertTrue(first.answered)
        self.assertPool(opening=1, waiting=1)
        self.service.admit()
        self.service.run()
        self.assertTrue(second.answered)
        self.assertPool()

    def test_a_lost_connection_makes_room(self) -> None:
        """When a connection breaks, one is opened for who waits."""
        self.make(most=1)
        self.service.answer = None
        first, second = self.visit(), self.visit()
        self.service.admit().close(reset=True)
        self.assertIsNotNone(first.error)
        self.assertTrue(second.waits)
        self.assertPool(opening=1, waiting=1)

    def test_a_given_up_exchange_makes_room(self) -> None:
        """A connection whose client left is closed, never given back, and one is opened for who waits."""
        self.make(most=1)
        first, second = self.visit(), self.visit()
        connection = self.service.admit()
        assert first.connection is not None
        first.connection.abort()
        self.assertTrue(connection.transport.aborted)
        self.assertTrue(second.waits)
        self.assertPool(opening=1, waiting=1)

    def test_close(self) -> None:
        """Closing the pool closes the idle connections."""
        self.serve(2)
        self.pool.close()
        self.service.run()
        self.assertPool()
        self.assertTrue(all(connection.lost for connection in self.service.connections))

    def test_busy_connections_of_a_closed_pool_close_when_they_are_done(self) -> None:
        """A connection that was busy when the pool closed is closed after its answer."""
        visitor = self.visit()
        self.service.admit()
        self.pool.close()
        self.service.run()
        self.assertTrue(visitor.answered)
        self.assertPool()
        self.assertTrue(self.service.connections[0].lost)


class QueueTests(PoolTestCase):
    def test_queue_full(self) -> None:
        """Beyond ``queue`` waiting requests the next is turned away at once: 503, to be tried again."""
        self.make(most=1, queue=2)
        self.service.answer = None
        self.visit()
        self.service.admit()
        waiting = [self.visit(), self.visit()]
        error = self.visit().error
        assert error is not None
        self.assertEqual((error.kind.slug, error.kind.status, error.retry_after), ("queue-full", 503, 1))
        self.assertTrue(all(visitor.waits for visitor in waiting))
        self.pool.leave(waiting[0])
        self.assertTrue(self.visit().waits)

    def test_without_a_queue_a_free_place_is_still_used(self) -> None:
        """``queue = 0`` refuses who would have to wait for others, not who only needs a connection to be opened."""
        self.make(most=2, queue=0)
        first, second, third = (self.visit() for _ in range(3))
        self.assertEqual([visitor.waits for visitor in (first, second, third)], [True, True, False])
        while self.service.held:
            self.service.admit()
        self.service.run()
        self.assertTrue(first.answered and second.answered)

    def test_queue_timeout(self) -> None:
        """A request waits for ``queue_seconds``, counted from its own arrival; then it is turned away with 503."""
        self.make(most=1)
        self.service.answer = None
        self.visit()
        self.service.admit()
        first = self.visit()
        self.pass_time(3)
        second = self.visit()
        self.pass_time(2.2)
        error = first.error
        assert error is not None
        self.assertEqual((error.kind.slug, error.kind.status, error.retry_after), ("queue-timeout", 503, 1))
        self.assertTrue(second.waits)
        self.pass_time(3)
        self.assertFalse(second.waits)
        self.assertPool(busy=1)

    def test_the_time_of_later_comers_is_their_own(self) -> None:
        """A queue that emptied and filled again keeps the right time."""
        self.make(most=1)
        self.service.answer = None
        self.visit()
        self.service.admit()
        self.pool.leave(self.visit())
        self.pass_time(4)
        visitor = self.visit()
        self.pass_time(4.8)
        self.assertTrue(visitor.waits)
        self.pass_time(0.4)
        self.assertFalse(visitor.waits)


class ConnectFailureTests(PoolTestCase):
    def failure(self, reason: Exception) -> tuple[str, int, str | None]:
        visitor = self.visit()
        self.service.turn_away(reason)
        self.assertPool()
        assert visitor.error is not None
        self.assertEqual(visitor.error.kind.retry, "unsent")
        kind = visitor.error.kind
        return kind.slug, kind.status, kind.proxy_status

    def test_kinds(self) -> None:
        """A connection that cannot be opened is 502, one that takes too long 504; Proxy-Status says which."""
        self.assertEqual(self.failure(ConnectionRefusedError()), ("connect-refused", 502, "connection_refused"))
        self.assertEqual(self.failure(TimeoutError()), ("connect-timeout", 504, "connection_timeout"))
        self.assertEqual(self.failure(DNSLookupError()), ("name-error", 502, "dns_error"))
        self.assertEqual(self.failure(NoRouteError()), ("connect-failed", 502, "destination_ip_unroutable"))
        self.assertEqual(self.failure(ConnectError()), ("connect-failed", 502, "destination_ip_unroutable"))

    def test_a_timeout_of_the_kernel(self) -> None:
        """When the kernel gives up on its SYNs, that is a time-out as well."""
        self.assertEqual(self.failure(TCPTimedOutError()), ("connect-timeout", 504, "connection_timeout"))

    def test_an_attempt_is_bounded(self) -> None:
        """The time that a connection may take is handed to who opens it; no limit is None."""
        limits: list[float | None] = []

        def connect(host: str, port: int, factory: ClientFactory, timeout: float | None) -> None:
            limits.append(timeout)

        for seconds in (3.0, 0.0):
            timeouts = Timeouts(connect=Seconds(seconds))
            Pool("a", 80, Connections(), timeouts, Deadlines(self.clock), connect, known_answer_lines()).take(Visitor())
        self.assertEqual(limits, [3.0, None])

    def test_one_failure_is_told_to_one(self) -> None:
        """One attempt that fails fails one request; those that other attempts are for go on."""
        first, second = self.visit(), self.visit()
        self.service.turn_away(ConnectionRefusedError())
        self.assertIsNotNone(first.error)
        self.assertTrue(second.waits)
        self.service.admit()
        self.assertIsNotNone(second.connection)

    def test_a_failure_strands_nobody(self) -> None:
        """When an attempt fails while others wait for a free place, the next attempt begins at once."""
        self.make(most=1)
        first, second = self.visit(), self.visit()
        self.service.turn_away(ConnectionRefusedError())
        self.assertIsNotNone(first.error)
        self.assertPool(opening=1, waiting=1)
        self.service.admit()
        self.assertIsNotNone(second.connection)

    def test_a_failure_that_nobody_waits_for(self) -> None:
        """An attempt that fails after its client left is nobody's error."""
        self.pool.leave(self.visit())
        self.service.turn_away(ConnectionRefusedError())
        self.assertPool()
