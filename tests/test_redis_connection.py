"""One connection on a fake clock: which reply belongs to which call, and what ends it all."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.redis_kit import CALL_SECONDS, PaperTransport
from tracseq_gateway.redis.connection import LONGEST_REPLY, RedisConnection
from tracseq_gateway.redis.errors import RedisError, RedisUnavailable

REPLIES = b"+OK\r\n:7\r\n$-1\r\n$3\r\na\r\n\r\n*3\r\n$1\r\nx\r\n:-2\r\n-ERR in it\r\n*0\r\n-WRONGTYPE no\r\n$0\r\n\r\n"
NUMBER = 8


class Owner:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.ends: list[RedisUnavailable] = []

    def refused(self, error: RedisError) -> None:
        self.codes.append(error.code)

    def ended(self, why: RedisUnavailable) -> None:
        self.ends.append(why)


class ConnectionTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.owner = Owner()
        self.sent: list[bytes] = []
        self.messages: list[bytes] = []
        self.connection = self.connect()

    def connect(self, **rest: Any) -> RedisConnection:
        connection = RedisConnection(self.clock, **rest)
        self.transport = PaperTransport(self.sent.append)
        connection.makeConnection(self.transport)
        connection.serve(self.owner, CALL_SECONDS)
        return connection

    def call(self) -> Deferred[Any]:
        return self.connection.call(b"GET", "k")

    def assertEnded(self, kind: str, *calls: Deferred[Any]) -> None:
        """The connection ended once, for this kind of reason; the calls failed with it."""
        self.assertEqual([why.kind for why in self.owner.ends], [kind])
        self.assertTrue(self.transport.aborted)
        for call in calls:
            self.assertEqual(self.failureResultOf(call, RedisUnavailable).value.kind, kind)


class ReplyTests(ConnectionTestCase):
    def test_written(self) -> None:
        """A call is written when it is made, as one array of its words."""
        self.connection.call("SET", b"\xff\r\n", 12, "é")
        self.assertEqual(self.sent, [b"*4\r\n$3\r\nSET\r\n$3\r\n\xff\r\n\r\n$2\r\n12\r\n$2\r\n\xc3\xa9\r\n"])

    def test_no_word(self) -> None:
        """What is no word is refused, and no reply is waited for."""
        with self.assertRaises(TypeError):
            self.connection.call(b"GET", None)  # type: ignore[arg-type]
        self.assertEqual(self.connection.waiting, 0)

    @given(st.lists(st.integers(0, len(REPLIES))))
    def test_order(self, cuts: list[int]) -> None:
        """However the replies come in pieces, each call gets its own."""
        self.setUp()
        self.feed_in_pieces(sorted({0, *cuts, len(REPLIES)}))

    def test_bytes(self) -> None:
        """Replies that come byte by byte are put together."""
        self.feed_in_pieces(list(range(len(REPLIES) + 1)))

    def feed_in_pieces(self, edges: list[int]) -> None:
        calls = [self.call() for _ in range(NUMBER)]
        for begin, end in pairwise(edges):
            self.connection.dataReceived(REPLIES[begin:end])
        results = [self.successResultOf(call) for call in calls[:6]]
        error = results[4].pop()
        self.assertEqual(results, [b"OK", 7, None, b"a\r\n", [b"x", -2], []])
        self.assertEqual((type(error), error.code), (RedisError, "ERR"))
        self.assertEqual(self.failureResultOf(calls[6], RedisError).value.message, "WRONGTYPE no")
        self.assertEqual(self.successResultOf(calls[7]), b"")
        self.assertEqual(self.owner.codes, ["WRONGTYPE"])
        self.assertEqual(self.owner.ends, [])

    def test_callback_raises(self) -> None:
        """A callback that raises takes no reply from others."""
        first, second = self.call(), self.call()
        first.addCallback(lambda reply: 1 / 0)
        self.connection.dataReceived(b"+a\r\n+b\r\n")
        self.failureResultOf(first, ZeroDivisionError)
        self.assertEqual(self.successResultOf(second), b"b")

    def test_call_in_callback(self) -> None:
        """A call that is made while replies are handed out waits for its own."""
        inner: list[Deferred[Any]] = []
        outer, next_one = self.call(), self.call()
        outer.addCallback(lambda reply: inner.append(self.call()))
        self.connection.dataReceived(b"+a\r\n+b\r\n")
        self.assertEqual(self.successResultOf(next_one), b"b")
        self.assertNoResult(inner[0])
        self.connection.dataReceived(b"+c\r\n")
        self.assertEqual(self.successResultOf(inner[0]), b"c")

    def test_cancelled(self) -> None:
        """Who cancels a call gives up its reply, and nobody else's."""
        first, second = self.call(), self.call()
        first.cancel()
        self.failureResultOf(first)
        self.connection.dataReceived(b"+a\r\n+b\r\n")
        self.assertEqual(self.successResultOf(second), b"b")


class EndTests(ConnectionTestCase):
    def test_garbage(self) -> None:
        """Bytes that are no RESP end the connection, after the replies before them."""
        for garbage in (b"HTTP/1.1 400 Bad Request\r\n", b"\r\n", b"$-5\r\n", b":1x\r\n", b"\0", b"*4294967297\r\n"):
            self.setUp()
            first, second = self.call(), self.call()
            self.connection.dataReceived(b"+a\r\n" + garbage)
            self.assertEqual(self.successResultOf(first), b"a", garbage)
            self.assertEnded("protocol", second)

    def test_unasked(self) -> None:
        """A reply that nobody asked for ends the connection."""
        call = self.call()
        self.connection.dataReceived(b"+a\r\n+b\r\n")
        self.assertEqual(self.successResultOf(call), b"a")
        self.assertEnded("protocol")

    def test_truncated(self) -> None:
        """A reply that is cut off by the end of the connection is none."""
        call = self.call()
        self.connection.dataReceived(b"$10\r\nabc")
        self.connection.connectionLost()
        self.assertEqual(self.failureResultOf(call, RedisUnavailable).value.kind, "connection")
        self.assertEqual([why.reason for why in self.owner.ends], ["closed by the server"])
        self.successResultOf(self.connection.closed)

    def test_too_long(self) -> None:
        """A reply that never ends is not kept."""
        call = self.call()
        self.connection.dataReceived(b"$%d\r\n" % (LONGEST_REPLY * 2))
        piece = b"x" * (1 << 20)
        for _ in range(LONGEST_REPLY >> 20):
            self.assertNoResult(call)
            self.connection.dataReceived(piece)
        self.assertEnded("protocol", call)

    def test_ended(self) -> None:
        """After the end, nothing is sent and nothing is delivered."""
        call = self.call()
        self.connection.end("enough")
        self.sent.clear()
        self.connection.dataReceived(b"+late\r\n")
        self.assertEnded("connection", call, self.call())
        self.assertEqual(self.sent, [])
        self.connection.connectionLost()
        self.assertEqual(len(self.owner.ends), 1)
        with self.assertRaises(RedisUnavailable):
            self.connection.serve(self.owner, 1.0)

    def test_call_in_errback(self) -> None:
        """A call that is made because another failed fails, too, and at once."""
        inner: list[Deferred[Any]] = []
        self.call().addErrback(lambda failure: inner.append(self.call()))
        self.connection.connectionLost()
        self.failureResultOf(inner[0], RedisUnavailable)


class TimeoutTests(ConnectionTestCase):
    def test_timeout(self) -> None:
        """When one call is not answered in time, all fail and the connection ends: a late reply meets nobody."""
        first = self.call()
        self.clock.advance(0.03)
        second = self.call()
        self.clock.advance(0.019)
        self.assertNoResult(first)
        self.clock.advance(0.001)
        self.assertEnded("timeout", first, second)
        self.connection.dataReceived(b"+late\r\n+later\r\n")

    def test_each_its_own(self) -> None:
        """The time of a call begins when it is made, not when an earlier one began."""
        early = self.call()
        self.clock.advance(0.04)
        late = self.call()
        self.connection.dataReceived(b"+early\r\n")
        self.assertEqual(self.successResultOf(early), b"early")
        self.clock.advance(0.049)
        self.assertNoResult(late)
        self.clock.advance(0.0011)
        self.assertEnded("timeout", late)

    def test_one_timer(self) -> None:
        """However many calls wait, or were answered, there is one timer at most, and none when all is quiet."""
        for _ in range(100):
            self.call()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.connection.dataReceived(b"+a\r\n" * 100)
        for _ in range(100):
            self.call()
            self.connection.dataReceived(b"+a\r\n")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.owner.ends, [])

    def test_busy_ourselves(self) -> None:
        """A reply that lies unread because this process was busy is no time-out: it is read first."""
        call = self.call()
        # A reactor that was held up calls its timers first, then reads: between the two turns of ours.
        self.clock.rightNow += 0.2
        self.connection._look()
        self.connection.dataReceived(b"+a\r\n")
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(call), b"a")
        self.assertEqual(self.owner.ends, [])

    def test_before_serving(self) -> None:
        """Until it is said how long calls may take, they may take long: a greeting has a deadline of its own."""
        connection = RedisConnection(self.clock)
        connection.makeConnection(PaperTransport(self.sent.append))
        call = connection.call("PING")
        self.clock.advance(60.0)
        self.assertNoResult(call)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class MessageTests(ConnectionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.connection = self.connect(on_message=self.messages.append)

    def message(self, payload: bytes) -> bytes:
        return b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%s\r\n" % (len(payload), payload)

    def test_messages(self) -> None:
        """Messages are told from replies, whether calls wait or not."""
        self.connection.dataReceived(self.message(b"1"))
        call = self.call()
        self.connection.dataReceived(self.message(b"2") + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n" + self.message(b"3"))
        self.assertEqual(self.successResultOf(call), [b"pong", b""])
        self.assertEqual(self.messages, [b"1", b"2", b"3"])

    def test_raises(self) -> None:
        """Who cannot take a message loses this one only, and it is logged."""
        self.connection = self.connect(on_message=lambda payload: self.messages.append(b"%d" % (6 // int(payload))))
        self.connection.dataReceived(self.message(b"0") + self.message(b"2"))
        self.assertEqual(self.messages, [b"3"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.owner.ends, [])

    def test_message_of_no_known_form(self) -> None:
        """What calls itself a message and has no text, or one that is none, puts the order in doubt: it is the end."""
        for push in (b"*1\r\n$7\r\nmessage\r\n", b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:7\r\n"):
            self.setUp()
            self.connection.dataReceived(push)
            self.assertEnded("protocol")
        self.assertEqual(self.messages, [])

    def test_without(self) -> None:
        """Where nobody subscribed, a message is a reply that nobody asked for."""
        self.connection = self.connect()
        self.connection.dataReceived(self.message(b"1"))
        self.assertEnded("protocol")
