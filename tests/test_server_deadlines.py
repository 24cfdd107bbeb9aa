"""Every state of a connection has a deadline: each is met on the fake clock, and none is met that should not be."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import (
    Attendant,
    MemoryServer,
    Visitor,
    Waiting,
    answer_whole,
    request,
)
from tracseq_gateway.http.outgoing import OutgoingHead

BEFORE, AFTER = 0.3, 0.3
"""How near to a deadline the tests look: ticks of 0.1 s, and steps of the clock as long."""


class DeadlineTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Waiting()
        self.server = MemoryServer(
            self.root,
            head_seconds=10.0,
            body_idle_seconds=30.0,
            body_rate=256,
            idle_seconds=60.0,
            write_idle_seconds=50.0,
        )

    def assertClosesAfter(self, visitor: Visitor, seconds: float) -> None:
        """The connection is open until just before this time, and closed right after it."""
        self.server.pass_time(seconds - BEFORE)
        self.assertFalse(visitor.closed, "closed too early")
        self.server.pass_time(BEFORE + AFTER)
        self.assertTrue(visitor.closed, "not closed in time")

    def trickle(self, visitor: Visitor, data: bytes, every: float = 1.0) -> None:
        """Send a byte from time to time, as long as the gateway listens."""
        for at in range(len(data)):
            self.server.pass_time(every)
            visitor.send(data[at : at + 1])


class HeadTests(DeadlineTestCase):
    def test_silence(self) -> None:
        """A new connection that says nothing is closed without a word when its time for a head is over."""
        visitor = self.server.visit()
        self.assertClosesAfter(visitor, 10.0)
        self.assertEqual(visitor.received, b"")
        self.assertFalse(visitor.connected)

    def test_half_a_head(self) -> None:
        """A head that does not get whole is answered with 408, counted from the connection."""
        for start in (
            b"G",
            b"GET / HTTP/1.1",
            b"GET / HTTP/1.1\r\nHost: a\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 9999,
        ):
            self.setUp()
            visitor = self.server.visit()
            self.server.pass_time(4.0)
            visitor.send(start)
            self.assertClosesAfter(visitor, 6.0)
            self.assertEqual(visitor.statuses(), [408])

    def test_absolute(self) -> None:
        """A byte a second does not win any time."""
        visitor = self.server.visit()
        self.trickle(visitor, b"GET /abcd")
        self.assertFalse(visitor.closed)
        self.trickle(visitor, b"efg")
        self.assertEqual((visitor.statuses(), visitor.closed), ([408], True))

    def test_second_request(self) -> None:
        """On a kept connection the time for a head begins with its first byte, and is as absolute."""
        visitor = self.server.visit(request(b"/"))
        answer_whole(self.root.requests.pop())
        self.server.pass_time(45.0)
        visitor.send(b"G")
        self.server.pass_time(5.0)
        visitor.send(b"E")
        self.assertClosesAfter(visitor, 5.0)
        self.assertEqual(visitor.statuses(), [200, 408])

    def test_whole_in_time(self) -> None:
        """A head that gets whole in time is served, and its deadline is gone."""
        visitor = self.server.visit()
        self.trickle(visitor, b"GET / HTTP", every=0.5)
        visitor.send(b"/1.1\r\nHost: a\r\n\r\n")
        self.server.pass_time(100.0)
        self.assertFalse(visitor.closed)
        answer_whole(self.root.requests.pop())
        self.assertEqual(visitor.statuses(), [200])

    def test_empty_line(self) -> None:
        """An empty line before a request is none of its bytes, and wins no time either."""
        for start in (b"\r\n", b"\r"):
            visitor = self.server.visit(start)
            self.assertClosesAfter(visitor, 10.0)


class IdleTests(DeadlineTestCase):
    def test_idle(self) -> None:
        """A kept connection that stays idle is closed without a word."""
        visitor = self.server.visit(request(b"/"))
        answer_whole(self.root.requests.pop())
        self.assertClosesAfter(visitor, 60.0)
        self.assertEqual(visitor.statuses(), [200])
        self.assertFalse(visitor.connected)

    def test_starts_with_each_answer(self) -> None:
        """Each answer starts the idle time anew."""
        visitor = self.server.visit()
        for _ in range(4):
            visitor.send(request(b"/"))
            self.server.pass_time(40.0)
            answer_whole(self.root.requests.pop())
            self.server.pass_time(40.0)
        self.assertFalse(visitor.closed)
        self.assertClosesAfter(visitor, 20.0)

    def test_waiting_for_a_service(self) -> None:
        """While a request waits for its service, the client's connection has no deadline: the service has one."""
        visitor = self.server.visit(request(b"/"), request(b"/ahead")[:10])
        self.server.pass_time(1000.0)
        self.assertFalse(visitor.closed)
        answer_whole(self.root.requests.pop())
        self.assertEqual(visitor.statuses(), [200])
        self.assertClosesAfter(visitor, 10.0)
        self.assertEqual(visitor.statuses(), [200, 408])


class BodyTests(DeadlineTestCase):
    def body(self, sent: bytes = b"", length: int = 1_000_000, attended: bool = True) -> tuple[Visitor, Attendant]:
        """A request with a body, and who takes it."""
        visitor = self.server.visit(request(b"/", b"Content-Length: %d" % length, method=b"POST") + sent)
        attendant = Attendant()
        if attended:
            self.root.requests[-1].attend(attendant)
            self.root.requests[-1].take_body()
        return visitor, attendant

    def test_silence(self) -> None:
        """A body that falls silent is answered with 408, and who takes it is told."""
        visitor, attendant = self.body(b"x" * 100_000)
        self.assertClosesAfter(visitor, 30.0)
        self.assertEqual((visitor.statuses(), attendant.heard), ([408], ["gone"]))
        self.assertEqual(self.server.site.active, 0)

    def test_never_begins(self) -> None:
        """A body that never begins is the same."""
        visitor, _ = self.body()
        self.assertClosesAfter(visitor, 30.0)
        self.assertEqual(visitor.statuses(), [408])

    def test_pieces_win_time(self) -> None:
        """A body that comes fast enough, if with long pauses, is not held up."""
        visitor, _ = self.body()
        for _ in range(10):
            self.server.pass_time(29.0)
            visitor.send(b"x" * 50_000)
        self.assertFalse(visitor.closed)
        self.assertClosesAfter(visitor, 30.0)

    def test_least_rate(self) -> None:
        """A body below the least rate is 408, though it never falls silent for long."""
        visitor, attendant = self.body()
        for _ in range(70):
            self.server.pass_time(1.0)
            visitor.send(b"x" * 250)
        self.assertEqual((visitor.statuses(), attendant.heard[-1]), ([408], "gone"))

    def test_just_above_the_least_rate(self) -> None:
        """A body a little above the least rate may take as long as it needs."""
        visitor, _ = self.body()
        for _ in range(300):
            self.server.pass_time(1.0)
            visitor.send(b"x" * 280)
        self.assertFalse(visitor.closed)

    def test_rate_in_windows(self) -> None:
        """A fast beginning does not pay for a slow rest."""
        visitor, _ = self.body(b"x" * 60_000)
        for _ in range(90):
            self.server.pass_time(1.0)
            visitor.send(b"x" * 10)
        self.assertEqual(visitor.statuses(), [408])

    def test_no_least_rate(self) -> None:
        """A rate of 0 is no limit: a byte from time to time is enough."""
        self.server = MemoryServer(self.root, body_rate=0, body_idle_seconds=30.0)
        visitor, _ = self.body()
        for _ in range(20):
            self.server.pass_time(20.0)
            visitor.send(b"x")
        self.assertFalse(visitor.closed)

    def test_paused(self) -> None:
        """A body that the gateway itself holds back has no deadline, and afterwards a whole one."""
        visitor, _ = self.body(b"x" * 1000)
        self.root.requests[-1].pause_body()
        self.server.pass_time(1000.0)
        self.assertFalse(visitor.closed)
        self.root.requests[-1].resume_body()
        self.assertClosesAfter(visitor, 30.0)

    def test_paused_rate(self) -> None:
        """Time in which the gateway did not read does not count against the least rate."""
        visitor, _ = self.body()
        for _ in range(5):
            visitor.send(b"x" * 100)
            self.root.requests[-1].pause_body()
            self.server.pass_time(100.0)
            self.root.requests[-1].resume_body()
        self.assertFalse(visitor.closed)

    def test_nobody_takes_it(self) -> None:
        """A body that waits for a service has no deadline once reading is paused for it."""
        visitor, _ = self.body(b"x", attended=False)
        visitor.send(b"x")
        self.server.pass_time(1000.0)
        self.assertFalse(visitor.closed)

    def test_expected(self) -> None:
        """A client that waits for its 100 has no deadline; from the 100 on it has one."""
        visitor = self.server.visit(request(b"/", b"Expect: 100-continue", b"Content-Length: 5", method=b"POST"))
        self.server.pass_time(1000.0)
        self.assertFalse(visitor.closed)
        self.root.requests[-1].attend(Attendant())
        self.root.requests[-1].take_body()
        self.assertClosesAfter(visitor, 30.0)
        self.assertEqual([answer.status for answer in visitor.answers()], [100, 408])


class WriteTests(DeadlineTestCase):
    def test_no_progress(self) -> None:
        """A client that takes nothing of its answer is cut off."""
        visitor = self.server.visit(request(b"/"), window=0)
        answer_whole(self.root.requests.pop(), b"x" * 500_000)
        self.assertClosesAfter(visitor, 50.0)
        self.assertTrue(visitor.aborted)

    def test_some_progress(self) -> None:
        """A client that takes a little of its answer within each period goes on, however slowly."""
        visitor = self.server.visit(request(b"/"), window=1000)
        answer_whole(self.root.requests.pop(), b"x" * 500_000)
        for _ in range(10):
            self.server.pass_time(40.0)
            visitor.take(100)
        self.assertFalse(visitor.closed)
        visitor.take()
        self.assertEqual(len(visitor.answers()[0].body), 500_000)

    def test_who_answers_is_paused(self) -> None:
        """Who answers is told to pause when the client's side is full, and to go on when it has room again."""
        visitor = self.server.visit(request(b"/"), window=0)
        attendant = Attendant()
        answering = self.root.requests.pop()
        answering.attend(attendant)
        answering.begin(OutgoingHead(200, b"OK", [], None, dated=True), b"x" * 1000, False)
        self.assertEqual(attendant.heard, [])
        answering.send(b"x" * 100_000, False)
        self.assertEqual(attendant.heard, ["pause"])
        visitor.take(50_000)
        self.assertEqual(attendant.heard, ["pause"])
        visitor.take()
        self.assertEqual(attendant.heard, ["pause", "resume"])
        self.server.pass_time(200.0)
        self.assertFalse(visitor.closed)

    def test_little_left(self) -> None:
        """A client that never takes the last of its answer is cut off, too, however little that is."""
        for fields in ([b"Connection: close"], [b"X: keep"]):
            self.setUp()
            visitor = self.server.visit(request(b"/", *fields), window=100)
            answer_whole(self.root.requests.pop(), b"x" * 20_000)
            self.server.pass_time(60.0 + 50.0 + 1.0)
            self.assertTrue(visitor.aborted, fields)

    def test_slow_reader_and_idle_time(self) -> None:
        """A connection is not idle while its answer is on its way: the next request is served when that is taken."""
        visitor = self.server.visit(request(b"/"), window=0)
        answer_whole(self.root.requests.pop(), b"x" * 200_000)
        visitor.send(request(b"/next"))
        for _ in range(4):
            self.server.pass_time(30.0)
            visitor.take(1000)
        visitor.take()
        answer_whole(self.root.requests.pop())
        self.assertEqual([answer.status for answer in visitor.answers()], [200, 200])
