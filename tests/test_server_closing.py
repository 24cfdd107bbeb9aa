"""Ends of connections: draining, slow readers, and answers that must arrive although the connection closes."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import Attendant, MemoryServer, Waiting, answer_whole, request
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.server.farewell import LINGER_SECONDS


class SlowReaderTests(SynchronousTestCase):
    """An answer may be larger than what the transport takes at once; the connection closes all the same."""

    def test_closes_after_a_large_answer(self) -> None:
        """The last answer of a connection is delivered whole to a slow reader, and then the connection closes."""
        for version, fields in ((b"HTTP/1.1", [b"Connection: close"]), (b"HTTP/1.0", [])):
            root = Waiting()
            visitor = MemoryServer(root).visit(request(b"/", *fields, version=version), window=1000)
            answer_whole(root.requests[0], b"x" * 300_000)
            while visitor.transport.unsent():
                visitor.take(70_000)
            self.assertEqual(len(visitor.answers()[0].body), 300_000)
            self.assertFalse(visitor.connected)

    def test_refusal_after_a_large_answer(self) -> None:
        """A refusal behind a large answer is delivered, too."""
        root = Waiting()
        visitor = MemoryServer(root).visit(request(b"/") + b"BAD\r\n\r\n", window=1000)
        answer_whole(root.requests[0], b"x" * 300_000)
        visitor.take()
        self.assertEqual((visitor.statuses(), visitor.half_closed), ([200, 400], True))

    def test_cut_to_a_slow_reader(self) -> None:
        """An answer that is cut while the reader is slow ends short, and the connection closes."""
        root = Waiting()
        visitor = MemoryServer(root).visit(request(b"/"), window=1000)
        root.requests[0].begin(OutgoingHead(200, b"OK", [], None, dated=True), b"x" * 300_000, False)
        root.requests[0].abort()
        visitor.take()
        (answer,) = visitor.answers()
        self.assertEqual((answer.complete, visitor.connected), (False, False))

    def test_client_leaves_a_full_transport(self) -> None:
        """A client that leaves while its side is full ends its request like any other."""
        root, attendant = Waiting(), Attendant()
        server = MemoryServer(root)
        visitor = server.visit(request(b"/"), window=0)
        root.requests[0].attend(attendant)
        root.requests[0].begin(OutgoingHead(200, b"OK", [], None, dated=True), b"x" * 300_000, False)
        visitor.leave()
        self.assertEqual((attendant.heard, server.site.active), (["pause", "gone"], 0))
        server.pass_time(120.0)


class MoreIsComingTests(SynchronousTestCase):
    """We close a connection on which the client still sends: an immediate close would reset it (RFC 9112 9.6)."""

    def test_last_request_of_a_connection(self) -> None:
        """At the last request that a connection may have, its answer arrives although others follow."""
        visitor = MemoryServer(answer_whole, requests_per_connection=2).visit(request(b"/") * 10)
        self.assertEqual(visitor.statuses(), [200, 200])
        self.assertTrue(visitor.half_closed)
        self.assertTrue(visitor.connected, "what the client still sends must be read, or a reset destroys the answers")

    def test_draining(self) -> None:
        """So it does when the server drains under a client that pipelines."""
        root = Waiting()
        server = MemoryServer(root)
        visitor = server.visit(request(b"/") * 10)
        server.site.drain(30.0)
        answer_whole(root.requests[0])
        self.assertEqual((visitor.statuses(), visitor.half_closed), ([200], True))
        self.assertTrue(visitor.connected, "what the client still sends must be read, or a reset destroys the answers")


class LingerTests(SynchronousTestCase):
    """After a refusal the connection is read, and what is read thrown away, so that no reset destroys the answer."""

    def setUp(self) -> None:
        self.root = Waiting()
        self.server = MemoryServer(self.root, write_idle_seconds=50.0)

    def test_lingering(self) -> None:
        """After a refusal what comes is thrown away for a while, never parsed; then the connection is aborted."""
        visitor = self.server.visit(b"BAD\r\n\r\n")
        self.assertTrue(visitor.half_closed)
        for _ in range(15):
            self.server.pass_time(0.1)
            visitor.send(request(b"/smuggled"))
        self.assertTrue(visitor.connected)
        self.server.pass_time(LINGER_SECONDS - 1.5 + 0.3)
        self.assertTrue(visitor.aborted)
        self.assertEqual((visitor.statuses(), self.root.requests), ([400], []))

    def test_client_closes_first(self) -> None:
        """A client that closes after a refusal ends it at once."""
        visitor = self.server.visit(b"BAD\r\n\r\n")
        visitor.leave()
        self.server.pass_time(5.0)
        self.assertEqual(self.server.site.channels, set())

    def test_refusal_that_is_taken_slowly(self) -> None:
        """A refusal that the client has not taken yet is not torn away from it after two seconds."""
        visitor = self.server.visit(window=0)
        visitor.send(b"BAD\r\n\r\n")
        self.server.pass_time(5.0)
        visitor.take()
        self.assertEqual(visitor.statuses(), [400])

    def test_a_client_that_never_takes_its_refusal(self) -> None:
        """But it is not kept for ever."""
        visitor = self.server.visit(window=0)
        visitor.send(b"BAD\r\n\r\n")
        self.server.pass_time(60.0)
        self.assertTrue(visitor.aborted)


class DrainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Waiting()
        self.server = MemoryServer(self.root)

    def drain(self, seconds: float = 30.0) -> Deferred[int]:
        return self.server.site.drain(seconds)

    def test_nothing_open(self) -> None:
        """With no connection a drain is over at once, and nothing was cut."""
        self.assertEqual(self.successResultOf(self.drain()), 0)
        self.assertEqual(len(self.server.reactor.getDelayedCalls()), 1, "only the wheel of deadlines turns on")

    def test_idle(self) -> None:
        """Idle connections close within a moment."""
        visitor = self.server.visit(request(b"/"))
        answer_whole(self.root.requests.pop())
        drained = self.drain()
        self.server.pass_time(0.3)
        self.assertFalse(visitor.connected)
        self.assertEqual(self.successResultOf(drained), 0)

    def test_request_that_had_arrived(self) -> None:
        """A request that reached an idle connection before it was closed is answered, and the last one."""
        visitor = self.server.visit(request(b"/"))
        answer_whole(self.root.requests.pop())
        drained = self.drain()
        visitor.send(request(b"/"))
        answer_whole(self.root.requests.pop())
        self.assertEqual([answer.values(b"connection") for answer in visitor.answers()], [[], [b"close"]])
        self.assertFalse(visitor.connected)
        self.assertEqual(self.successResultOf(drained), 0)

    def test_open_request(self) -> None:
        """An open request is finished, told that the connection closes, and only then is the drain over."""
        visitor = self.server.visit(request(b"/"))
        drained = self.drain()
        self.server.pass_time(20.0)
        self.assertNoResult(drained)
        answer_whole(self.root.requests.pop(), b"late")
        (answer,) = visitor.answers()
        self.assertEqual((answer.body, answer.values(b"connection")), (b"late", [b"close"]))
        self.assertFalse(visitor.connected)
        self.assertEqual(self.successResultOf(drained), 0)
        self.server.pass_time(20.0)

    def test_open_body_and_answer(self) -> None:
        """Uploads and downloads that are under way go on, both ways."""
        up = self.server.visit(request(b"/up", b"Content-Length: 4", method=b"POST") + b"bo")
        down = self.server.visit(request(b"/down"))
        attendant = Attendant()
        self.root.requests[0].attend(attendant)
        self.root.requests[0].take_body()
        self.root.requests[1].begin(OutgoingHead(200, b"OK", [], None, dated=True), b"ha", False)
        drained = self.drain()
        up.send(b"dy")
        self.assertEqual((attendant.body, attendant.heard[-1]), (b"dy", "ended"))
        answer_whole(self.root.requests[0])
        self.root.requests[1].send(b"lf", True)
        self.assertEqual([up.answers()[0].body, down.answers()[0].body], [b"ok", b"half"])
        self.assertFalse(up.connected)
        self.server.pass_time(0.3)
        self.assertFalse(down.connected, "it began before the drain, so its client was given a moment")
        self.assertEqual(self.successResultOf(drained), 0)

    def gentle(self, seconds: float = 30.0) -> Deferred[int]:
        return self.server.site.drain(seconds, gentle=True)

    def test_gentle(self) -> None:
        """In a gentle drain an idle connection stays, and the answer to its next request says that it is the last."""
        visitor, new = self.server.visit(request(b"/")), self.server.visit()
        answer_whole(self.root.requests.pop())
        drained = self.gentle()
        self.server.pass_time(5.0)
        for one in (visitor, new):
            one.send(request(b"/"))
            answer_whole(self.root.requests.pop())
            self.assertEqual((one.answers()[-1].values(b"connection"), one.connected), ([b"close"], False))
        self.assertEqual(self.successResultOf(drained), 0)
        self.assertEqual(len(self.server.reactor.getDelayedCalls()), 1, "only the wheel of deadlines turns on")

    def test_gentle_is_over(self) -> None:
        """What is still idle shortly before the deadline of a gentle drain is closed in an orderly way."""
        visitor = self.server.visit(request(b"/"))
        answer_whole(self.root.requests.pop())
        drained = self.gentle()
        self.server.pass_time(28.9)
        self.assertTrue(visitor.connected)
        self.server.pass_time(1.0)
        self.assertEqual((visitor.connected, visitor.aborted), (False, False))
        self.assertEqual(self.successResultOf(drained), 0)

    def test_gentle_no_more(self) -> None:
        """A gentle drain that is hastened closes what is idle at once, and still waits for what is not."""
        idle, busy = self.server.visit(request(b"/")), self.server.visit(request(b"/"))
        answer_whole(self.root.requests.pop(0))
        drained = self.gentle()
        self.server.site.hasten()
        self.server.pass_time(0.3)
        self.assertEqual((idle.connected, busy.connected), (False, True))
        self.assertNoResult(drained)
        answer_whole(self.root.requests.pop())
        self.assertEqual((busy.statuses(), busy.connected), ([200], False))
        self.assertEqual(self.successResultOf(drained), 0)

    def test_answer_that_had_begun(self) -> None:
        """The client of an answer that began before a drain was not told to go: its next request is served, too."""
        for gentle in (True, False):
            server = MemoryServer(self.root)
            visitor = server.visit(request(b"/"))
            self.root.requests[0].begin(OutgoingHead(200, b"OK", [], None, dated=True), b"ha", False)
            drained = server.site.drain(30.0, gentle)
            self.root.requests.pop().send(b"lf", True)
            visitor.send(request(b"/"))
            answer_whole(self.root.requests.pop())
            self.assertEqual([answer.values(b"connection") for answer in visitor.answers()], [[], [b"close"]])
            self.assertEqual((visitor.connected, self.successResultOf(drained)), (False, 0))

    def test_half_a_head(self) -> None:
        """A request whose head is on its way is served, as the last."""
        visitor = self.server.visit(request(b"/")[:9])
        drained = self.drain()
        self.assertNoResult(drained)
        visitor.send(request(b"/")[9:])
        answer_whole(self.root.requests.pop())
        self.assertEqual((visitor.statuses(), visitor.closed), ([200], True))

    def test_new_connection(self) -> None:
        """A connection that was let in a moment ago has its request served if it comes soon, else it is closed."""
        quick, slow = self.server.visit(), self.server.visit()
        drained = self.drain()
        quick.send(request(b"/"))
        answer_whole(self.root.requests.pop())
        self.assertEqual((quick.statuses(), quick.connected), ([200], False))
        self.server.pass_time(1.0)
        self.assertFalse(slow.connected)
        self.assertEqual(self.successResultOf(drained), 0)

    def test_answers_are_flushed(self) -> None:
        """A drain is not over while bytes of an answer are on their way to a slow reader."""
        visitor = self.server.visit(request(b"/"), window=0)
        answer_whole(self.root.requests.pop(), b"x" * 50_000)
        drained = self.drain()
        self.server.pass_time(5.0)
        self.assertNoResult(drained)
        visitor.take()
        self.assertEqual(len(visitor.answers()[0].body), 50_000)
        self.assertEqual(self.successResultOf(drained), 0)

    def test_deadline(self) -> None:
        """What is still open when the time is over is cut, and counted; idle ones do not count."""
        cut = [self.server.visit(request(b"/")) for _ in range(3)]
        begun = self.server.visit(request(b"/"))
        self.root.requests[3].begin(OutgoingHead(200, b"OK", [], None, dated=True), b"half", False)
        unread = self.server.visit(request(b"/"), window=0)
        answer_whole(self.root.requests[4], b"x" * 50_000)
        drained = self.drain(30.0)
        self.server.pass_time(29.5)
        self.assertNoResult(drained)
        self.server.pass_time(1.0)
        self.assertEqual(self.successResultOf(drained), 4)
        self.assertEqual([visitor.aborted for visitor in (*cut, begun, unread)], [True] * 5)
        self.assertEqual((self.server.site.active, self.server.site.channels), (0, set()))

    def test_who_answers_is_told(self) -> None:
        """Who works on a request that is cut hears that its client is gone."""
        attendant = Attendant()
        visitor = self.server.visit(request(b"/"))
        self.root.requests[0].attend(attendant)
        drained = self.drain(1.0)
        self.server.pass_time(1.5)
        self.assertEqual((self.successResultOf(drained), visitor.connected, attendant.heard), (1, False, ["gone"]))

    def test_client_leaves(self) -> None:
        """A client that leaves ends the wait for its request."""
        visitor = self.server.visit(request(b"/"))
        drained = self.drain()
        visitor.leave()
        self.assertEqual(self.successResultOf(drained), 0)
        self.server.pass_time(40.0)

    def test_nothing_is_left(self) -> None:
        """After a drain no timer of it is left."""
        visitor = self.server.visit(request(b"/"))
        self.drain()
        visitor.leave()
        self.assertEqual(len(self.server.reactor.getDelayedCalls()), 1, "only the wheel of deadlines turns on")
