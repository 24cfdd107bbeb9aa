"""One HTTP/2 connection: turns, windows, slow clients, deadlines, and its orderly end."""

from __future__ import annotations

from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import Attendant, MemoryServer, Waiting, answer_whole
from tests.kit_http2 import Http2Visitor, frame, frames_of
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.server.h2_channel import LAST_CALL_SECONDS
from tracseq_gateway.server.h2_frames import PREFACE
from tracseq_gateway.server.h2_outbox import FRAME
from tracseq_gateway.server.h2_stream import ENOUGH
from tracseq_gateway.server.request import GatewayRequest

ANY_STREAM = 2**31 - 1
DATA, PING = 0, 6


def echo(request: GatewayRequest) -> None:
    """Answer with the target."""
    answer_whole(request, request.uri)


def begin(request: GatewayRequest, data: bytes = b"", done: bool = False) -> None:
    """Begin an answer of unknown length."""
    request.begin(OutgoingHead(200, b"OK", [], None, dated=True, of_service=True), data, done)


def frames_without_pong(data: bytes) -> bytes:
    """The same frames but for PING."""
    return b"".join(frame(*one) for one in frames_of(data) if one[0] != PING)


class SendingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Waiting()
        self.server = MemoryServer(self.root, write_idle_seconds=60.0)

    def closed_windows(self) -> Http2Visitor:
        """A client that takes no bytes of bodies until it says so."""
        return Http2Visitor(self.server, takes=False, settings={SettingCodes.INITIAL_WINDOW_SIZE: 0})

    def test_window(self) -> None:
        """No more is sent than the client has room for; who answers is paused meanwhile, and then goes on."""
        visitor = self.closed_windows()
        number = visitor.ask()
        attendant = Attendant()
        request = self.root.requests[0]
        request.attend(attendant)
        begin(request)
        request.send(b"x" * ENOUGH, False)
        self.assertEqual((visitor.answer(number).body, attendant.heard), (b"", []))
        request.send(b"x", False)
        self.assertEqual(attendant.heard, ["pause"])
        visitor.client.h2.increment_flow_control_window(1000, number)
        self.assertEqual(len(visitor.answer(number).body), 1000)
        visitor.client.h2.increment_flow_control_window(100_000, number)
        visitor.client.h2.increment_flow_control_window(100_000)
        self.assertEqual(len(visitor.answer(number).body), ENOUGH + 1)
        self.assertEqual(attendant.heard, ["pause", "resume"])
        request.send(b"", True)
        self.assertTrue(visitor.answer(number).ended)

    def test_crumbs(self) -> None:
        """An answer that comes in crumbs is put together while it waits, and nothing of it is lost."""
        visitor = self.closed_windows()
        number = visitor.ask()
        begin(self.root.requests[0])
        crumbs = [bytes([place % 256]) * (place % 3 + 1) for place in range(20_000)]
        for crumb in crumbs:
            self.root.requests[0].send(crumb, False)
        self.root.requests[0].send(b"", True)
        before = len(visitor.received)
        visitor.client.h2.increment_flow_control_window(100_000)
        visitor.client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100_000})
        self.assertEqual(visitor.answer(number).body, b"".join(crumbs))
        self.assertLess(sum(kind == DATA for kind, *_ in frames_of(visitor.received[before:])), 8)

    def test_settings_open_windows(self) -> None:
        """A larger initial window opens those of the streams that are open."""
        visitor = self.closed_windows()
        number = visitor.ask()
        answer_whole(self.root.requests[0], b"body")
        self.assertEqual(visitor.answer(number).body, b"")
        visitor.client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100})
        self.assertEqual((visitor.answer(number).body, visitor.answer(number).ended), (b"body", True))

    def test_window_that_stays_closed(self) -> None:
        """A stream whose client takes nothing for so long is cut; one that takes something may go on."""
        visitor = self.closed_windows()
        numbers = visitor.ask(), visitor.ask()
        attendant = Attendant()
        self.root.requests[0].attend(attendant)
        for request in self.root.requests:
            begin(request, b"x" * 100)
        for _ in range(5):
            self.server.pass_time(20)
            visitor.client.h2.increment_flow_control_window(1, numbers[1])
            visitor.exchange()
        self.assertEqual([visitor.answer(number).reset for number in numbers], [ErrorCodes.CANCEL, None])
        self.assertEqual((attendant.heard, self.server.site.active), (["gone"], 1))

    def test_turns(self) -> None:
        """Long answers take turns, a frame each, so that a short one is not held up by them."""
        visitor = self.closed_windows()
        numbers = [visitor.ask() for _ in range(3)]
        for request, size in zip(self.root.requests, (100_000, 100_000, 10), strict=True):
            answer_whole(request, b"x" * size)
        before = len(visitor.received)
        visitor.client.h2.increment_flow_control_window(1_000_000)
        visitor.client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1_000_000})
        visitor.exchange()
        data = [
            (stream, len(payload)) for kind, _, stream, payload in frames_of(visitor.received[before:]) if kind == DATA
        ]
        first, second, third = numbers
        self.assertEqual(data[:4], [(first, FRAME), (second, FRAME), (third, 10), (first, FRAME)])
        self.assertEqual(sum(size for _, size in data), 200_010)

    def test_one_write(self) -> None:
        """What many streams are answered in one turn leaves with one write."""
        visitor = Http2Visitor(self.server)
        numbers = [visitor.ask() for _ in range(20)]
        writes: list[bytes] = []
        visitor.transport.write = writes.append  # type: ignore[method-assign, assignment]
        for request in self.root.requests:
            answer_whole(request)
        self.server.reactor.advance(0)
        self.assertEqual(len(writes), 1)
        visitor.client.receive(writes[0])
        self.assertEqual([visitor.client.answers[number].body for number in numbers], [b"ok"] * 20)

    def test_slow_reader(self) -> None:
        """While a client does not read its bytes, nothing that it sends is taken up; then all is."""
        visitor = Http2Visitor(self.server, window=1000)
        visitor.client.h2.increment_flow_control_window(1_000_000)
        visitor.client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1_000_000})
        number = visitor.ask()
        answer_whole(self.root.requests[0], b"x" * 300_000)
        self.server.reactor.advance(0)
        self.assertFalse(visitor.transport.reading)
        self.assertLess(visitor.transport.unsent(), 3 * 65536)
        visitor.take()
        self.assertEqual((len(visitor.answer(number).body), visitor.transport.reading), (300_000, True))

    def test_reader_that_never_reads(self) -> None:
        """A client that takes no byte for so long is cut."""
        visitor = Http2Visitor(self.server, window=1000)
        visitor.client.h2.increment_flow_control_window(1_000_000)
        visitor.client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1_000_000})
        visitor.ask()
        answer_whole(self.root.requests[0], b"x" * 300_000)
        self.server.pass_time(59)
        self.assertFalse(visitor.aborted)
        self.server.pass_time(2)
        self.assertTrue(visitor.aborted)
        self.assertEqual(self.server.site.active, 0)


class ReadingTests(SynchronousTestCase):
    def test_turns(self) -> None:
        """No more than some frames are taken up in one turn of the reactor."""
        root = Waiting()
        server = MemoryServer(root)
        visitor = Http2Visitor(server)
        for _ in range(90):
            visitor.client.request()
            visitor.client.h2.ping(b"12345678")
        data = visitor.client.sent()
        visitor.transport.protocol.dataReceived(data)
        self.assertEqual((len(root.requests), visitor.transport.reading), (50, False))
        server.reactor.advance(0)
        self.assertEqual((len(root.requests), visitor.transport.reading), (90, True))

    def test_lost_between_turns(self) -> None:
        """A connection that is lost before its next turn has none."""
        root = Waiting()
        server = MemoryServer(root)
        visitor = Http2Visitor(server)
        for _ in range(90):
            visitor.client.request()
            visitor.client.h2.ping(b"12345678")
        visitor.transport.protocol.dataReceived(visitor.client.sent())
        visitor.leave()
        server.reactor.advance(1)
        self.assertEqual((len(root.requests), server.site.active), (50, 0))


class DeadlineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Waiting()
        self.server = MemoryServer(self.root, head_seconds=10.0, idle_seconds=60.0, body_idle_seconds=30.0)

    def test_no_settings(self) -> None:
        """A client that does not begin in time is cut off."""
        for opening in ([], [PREFACE[:10]], [PREFACE], [PREFACE + frame(4)[:5]]):
            visitor = Http2Visitor(self.server, begins=False)
            visitor.send(*opening)
            self.server.pass_time(9)
            self.assertFalse(visitor.closed)
            self.server.pass_time(2)
            self.assertTrue(visitor.closed)

    def test_head(self) -> None:
        """A head must be whole in time, however it is cut into frames or pieces; what else is open does not matter."""
        for pieces in ([frame(1, 0x1, 3, b"\x82")], [frame(1, 0x5, 3, b"\x82\x86\x84")[:10]]):
            visitor = Http2Visitor(self.server)
            visitor.ask()
            visitor.send(*pieces)
            self.server.pass_time(9.5)
            self.assertEqual(visitor.client.goaways, [])
            self.server.pass_time(1)
            visitor.exchange()
            self.assertEqual([code for _, code in visitor.client.goaways], [ErrorCodes.ENHANCE_YOUR_CALM])
            self.assertTrue(visitor.closed)

    def test_body(self) -> None:
        """A body that does not come is 408 on its stream alone."""
        visitor = Http2Visitor(self.server)
        number = visitor.ask(method=b"POST", ended=False)
        visitor.give(number, b"some")
        self.root.requests[0].attend(Attendant())
        self.root.requests[0].take_body()
        self.server.pass_time(31)
        answer = visitor.answer(number)
        self.assertEqual((answer.status, answer.ended), (408, True))
        self.assertFalse(visitor.closed)

    def test_slow_body(self) -> None:
        """A body that comes slower than the least rate is 408; one that nobody takes may wait."""
        visitor = Http2Visitor(self.server)
        slow, waits = (visitor.ask(method=b"POST", ended=False) for _ in range(2))
        self.root.requests[0].attend(Attendant())
        self.root.requests[0].take_body()
        visitor.give(waits, b"x")
        for _ in range(40):
            self.server.pass_time(1)
            if not visitor.answer(slow).ended:
                visitor.give(slow, b"x")
        self.assertEqual((visitor.answer(slow).status, visitor.answer(waits).status), (408, 0))

    def test_idle(self) -> None:
        """A connection without requests is closed in an orderly way; one with a request is not."""
        visitor = Http2Visitor(self.server)
        number = visitor.ask()
        self.server.pass_time(200)
        self.assertEqual(visitor.client.goaways, [])
        answer_whole(self.root.requests[0])
        self.assertEqual(visitor.answer(number).status, 200)
        self.server.pass_time(59)
        self.assertFalse(visitor.closed)
        self.server.pass_time(2)
        visitor.exchange()
        self.assertEqual(visitor.client.goaways, [(number, ErrorCodes.NO_ERROR)])
        self.assertFalse(visitor.connected)


class EndTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Waiting()
        self.server = MemoryServer(self.root)

    def test_drain(self) -> None:
        """At a stop, requests on their way are served, those that come later refused, and then it closes."""
        visitor = Http2Visitor(self.server)
        first = visitor.ask()
        drained: list[int] = []
        # What the client sends crosses what the gateway says.
        second = visitor.client.request()
        crossing = visitor.client.sent()
        self.server.site.drain(30).addCallback(drained.append)
        visitor.send(crossing)
        visitor.exchange()
        self.assertEqual(visitor.client.goaways, [(ANY_STREAM, ErrorCodes.NO_ERROR), (second, ErrorCodes.NO_ERROR)])
        late = visitor.ask()
        self.assertEqual(visitor.answer(late).reset, ErrorCodes.REFUSED_STREAM)
        for request in self.root.requests:
            answer_whole(request)
        self.assertEqual([visitor.answer(number).status for number in (first, second)], [200, 200])
        self.assertTrue(visitor.closed)
        visitor.leave()
        self.assertEqual(drained, [0])

    def test_drain_of_a_silent_client(self) -> None:
        """A client that does not say that it heard of the end may ask for a while, but not long."""
        visitor = Http2Visitor(self.server)
        visitor.ask()
        self.server.site.drain(30)
        for seconds in (LAST_CALL_SECONDS - 0.2, 0.4):
            self.server.pass_time(seconds)
            visitor.client.request()
            visitor.send(frames_without_pong(visitor.client.sent()))
        self.assertEqual(len(self.root.requests), 2)

    def test_drain_of_an_idle_client(self) -> None:
        """An idle connection is closed in a moment, in which a request on its way is still answered."""
        idle, asks, new = (Http2Visitor(self.server) for _ in range(3))
        for visitor in (idle, asks):
            number = visitor.ask()
            answer_whole(self.root.requests[-1])
            self.assertEqual(visitor.answer(number).status, 200)
        self.server.site.drain(30)
        number = asks.ask()
        self.server.pass_time(0.2)
        self.assertEqual([visitor.connected for visitor in (idle, asks, new)], [False, True, True])
        answer_whole(self.root.requests[-1])
        self.assertEqual((asks.answer(number).status, asks.closed), (200, True))
        self.server.pass_time(0.4)
        self.assertFalse(new.connected)

    def test_gentle_drain(self) -> None:
        """While others serve on, an idle connection stays open until its next request, which is answered."""
        visitor = Http2Visitor(self.server)
        self.server.site.drain(30, gentle=True)
        self.server.pass_time(5)
        visitor.exchange()
        self.assertEqual((visitor.client.goaways, visitor.closed), ([], False))
        number = visitor.ask()
        answer_whole(self.root.requests[0])
        self.assertEqual((visitor.answer(number).status, visitor.closed), (200, True))
        self.assertEqual(visitor.client.goaways, [(ANY_STREAM, ErrorCodes.NO_ERROR), (number, ErrorCodes.NO_ERROR)])

    def test_cut(self) -> None:
        """What is open at the end of a drain is cut, and counted."""
        visitor = Http2Visitor(self.server)
        visitor.ask(), visitor.ask()
        cut: list[int] = []
        self.server.site.drain(5).addCallback(cut.append)
        visitor.exchange()
        self.server.pass_time(6)
        self.assertEqual((cut, visitor.aborted), ([2], True))
        self.assertEqual([request.status for request in self.root.requests], [503, 503])

    def test_requests_per_connection(self) -> None:
        """After its number of requests a connection ends in an orderly way."""
        visitor = Http2Visitor(MemoryServer(echo, requests_per_connection=3))
        numbers = [visitor.ask(path=b"/%d" % number) for number in range(3)]
        self.assertEqual([visitor.answer(number).body for number in numbers], [b"/0", b"/1", b"/2"])
        self.assertEqual(visitor.client.goaways[-1], (numbers[-1], ErrorCodes.NO_ERROR))
        self.assertTrue(visitor.closed)

    def test_client_leaves(self) -> None:
        """A client that says good-bye still gets its answers; then the connection is closed."""
        visitor = Http2Visitor(self.server)
        number = visitor.ask()
        visitor.send(frame(7, 0, 0, bytes(8)))
        answer_whole(self.root.requests[0])
        self.assertEqual((visitor.answer(number).status, visitor.closed), (200, True))

    def test_max_connections(self) -> None:
        """Connections are counted like those of HTTP/1.1."""
        server = MemoryServer(echo, max_connections=1)
        first = Http2Visitor(server)
        self.assertEqual(first.answer(first.ask()).status, 200)
        self.assertTrue(Http2Visitor(server).aborted)
        first.leave()
        self.assertFalse(Http2Visitor(server).aborted)
