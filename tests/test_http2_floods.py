"""What serves nobody is bounded on an HTTP/2 connection, and what serves somebody is not."""

from __future__ import annotations

from collections.abc import Iterator

from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryGateway, MemoryTransport
from tests.kit_client import MemoryServer, Waiting, answer_whole
from tests.kit_http2 import Http2Client, Http2Visitor, frame, frames_of
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.server.farewell import LINGER_SECONDS
from tracseq_gateway.server.h2_channel import H2Channel
from tracseq_gateway.server.h2_floods import (
    IDLE_FRAMES_A_SECOND,
    MOST_IDLE_FRAMES,
    MOST_RESETS,
    RESETS_A_SECOND,
    Allowance,
)

DATA, PRIORITY, SETTINGS, PING, WINDOW_UPDATE = 0, 2, 4, 6, 8
UNKNOWN = 0xBE
CALM = ErrorCodes.ENHANCE_YOUR_CALM


class AllowanceTests(SynchronousTestCase):
    def test_use(self) -> None:
        """So many can be used at once, and what time or work gives back, but never more than at the start."""
        allowance = Allowance(3, 2.0, 10.0)
        self.assertEqual([allowance.use(10.0) for _ in range(4)], [True, True, True, False])
        allowance = Allowance(3, 2.0, 10.0)
        self.assertEqual([allowance.use(moment) for moment in (10, 10, 10, 10.5, 11.0, 11.0)], [True] * 5 + [False])
        allowance = Allowance(3, 2.0, 10.0)
        allowance.earn(5)
        self.assertEqual([allowance.use(10.0) for _ in range(4)], [True, True, True, False])


class IdleFrameTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Waiting()
        self.server = MemoryServer(self.root)
        self.visitor = Http2Visitor(self.server)
        self.stream = self.visitor.ask(method=b"POST", ended=False)

    def kinds(self) -> Iterator[bytes]:
        """One frame of each kind that carries nothing."""
        yield frame(PING, 0, 0, bytes(8))
        yield frame(PING, 1, 0, bytes(8))
        yield frame(SETTINGS)
        yield frame(SETTINGS, 0, 0, b"\0\3\0\0\0\x64")
        yield frame(PRIORITY, 0, self.stream, bytes(5))
        yield frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1")
        yield frame(WINDOW_UPDATE, 0, self.stream, b"\0\0\0\1")
        yield frame(DATA, 0, self.stream)
        yield frame(DATA, 0x8, self.stream, bytes(9)[:1])
        yield frame(UNKNOWN, 0, self.stream, b"x")

    def send_all(self, data: bytes) -> None:
        """Send in large pieces, as fast as the gateway reads."""
        for start in range(0, len(data), 16384):
            while not self.visitor.transport.reading and self.visitor.connected and not self.visitor.half_closed:
                self.server.reactor.advance(0)
            self.visitor.send(data[start : start + 16384])
        self.server.reactor.pump([0] * 20)

    def test_floods(self) -> None:
        """A flood of any of them ends the connection, and what is open on it; the gateway says why."""
        for one in self.kinds():
            self.setUp()
            self.send_all(one * (MOST_IDLE_FRAMES - 20))
            self.assertFalse(self.visitor.closed, one)
            self.send_all(one * 100)
            self.visitor.exchange()
            self.assertEqual([code for _, code in self.visitor.client.goaways], [CALM], one)
            self.assertTrue(self.visitor.closed)
            self.assertEqual((self.server.site.active, self.server.site.http2_faults["enhance_your_calm"]), (0, 1))

    def test_closed_streams(self) -> None:
        """So does a flood of frames for streams that have ended."""
        number = self.visitor.ask(method=b"POST", ended=False)
        self.visitor.client.h2.reset_stream(number)
        self.visitor.exchange()
        self.send_all(frame(DATA, 0, number, b"x") * (MOST_IDLE_FRAMES + 50))
        self.visitor.exchange()
        self.assertEqual([code for _, code in self.visitor.client.goaways], [CALM])

    def test_slowly(self) -> None:
        """As many as come back with time may be sent for ever."""
        one = frame(PING, 0, 0, bytes(8))
        for _ in range(20):
            self.send_all(one * int(IDLE_FRAMES_A_SECOND))
            self.server.pass_time(1, 1)
        self.assertFalse(self.visitor.closed)

    def test_busy(self) -> None:
        """A client that takes a long answer may open its window as often as it gets a frame."""
        visitor = Http2Visitor(self.server)
        number = visitor.ask()
        request = self.root.requests[-1]
        request.begin(OutgoingHead(200, b"OK", [], None, dated=True, of_service=True), b"", False)
        for _ in range(600):
            request.send(b"x" * 1000, False)
            visitor.exchange()
            for stream in (None, number):
                visitor.client.h2.increment_flow_control_window(1, stream)
            visitor.exchange()
        self.assertEqual((len(visitor.answer(number).body), visitor.closed), (600_000, False))

    def test_dribble(self) -> None:
        """A client that opens its window by a byte at a time, to have an answer byte by byte, is sent away."""
        visitor = Http2Visitor(self.server, takes=False, settings={SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        visitor.ask()
        request = self.root.requests[-1]
        request.begin(OutgoingHead(200, b"OK", [], None, dated=True, of_service=True), bytes(100_000), False)
        visitor.exchange()
        for _ in range(MOST_IDLE_FRAMES + 50):
            visitor.client.h2.increment_flow_control_window(1)
            visitor.exchange()
        self.assertEqual([code for _, code in visitor.client.goaways], [CALM])

    def test_control_frames_do_not_pile_up(self) -> None:
        """To a client that does not read, no more than some answers to its frames are kept."""
        visitor = Http2Visitor(self.server, window=100)
        visitor.transport.window = 0
        for _ in range(50):
            visitor.send(frame(PING, 0, 0, bytes(8)) * 1000)
            self.server.pass_time(1)
        self.assertLess(visitor.transport.unsent(), 3 * 65536)


class ResetTests(SynchronousTestCase):
    def test_rapid_reset(self) -> None:
        """Of 2,000 requests that are reset at once few reach a service, and the client is sent away."""
        gateway = MemoryGateway(answer=None)
        transport, client = MemoryTransport(), Http2Client()
        channel = H2Channel(gateway.worker.site)
        channel.makeConnection(transport)
        for _ in range(2000):
            client.h2.reset_stream(client.request(), ErrorCodes.CANCEL)
        data = client.sent()
        for start in range(0, len(data), 65536):
            while not transport.reading and not transport.closed:
                gateway.clock.advance(0)
            if not transport.closed:
                channel.dataReceived(data[start : start + 65536])
        gateway.pass_time(1)
        self.assertTrue(transport.closed)
        (_, _, _, last) = frames_of(transport.value())[-1]
        self.assertEqual(int.from_bytes(last[4:8], "big"), CALM)
        self.assertLess(len(gateway.service.connections), 200)
        self.assertEqual(gateway.worker.site.active, 0)

    def test_resets_that_the_client_provokes(self) -> None:
        """It does not matter who is brought to reset a stream: a client that provokes it is sent away as well."""
        for mistake in (
            lambda visitor, number: visitor.send(frame(WINDOW_UPDATE, 0, number, b"\x7f\xff\xff\xff")),
            lambda visitor, number: visitor.send(frame(DATA, 0x1, number, b"x") + frame(DATA, 0, number, b"x")),
            lambda visitor, number: visitor.send(frame(DATA, 0, number, b"too long")),
        ):
            root = Waiting()
            visitor = Http2Visitor(MemoryServer(root))
            for _ in range(3 * MOST_RESETS):
                if visitor.closed:
                    break
                number = visitor.client.request((b"content-length", b"1"), method=b"POST", ended=False)
                visitor.send(visitor.client.sent())
                mistake(visitor, number)
                visitor.client.h2.reset_stream(number)
                visitor.client.sent()  # never told: the gateway has done so, or should
            (_, _, _, last) = frames_of(visitor.received)[-1]
            self.assertEqual(int.from_bytes(last[4:8], "big"), CALM)
            self.assertLessEqual(len(root.requests), MOST_RESETS + 1)

    def test_malformed_requests(self) -> None:
        """Nor may a client send nothing but malformed requests."""
        visitor = Http2Visitor(MemoryServer(Waiting()))
        for _ in range(MOST_RESETS + 1):
            visitor.ask((b"Upper", b"case"))
        self.assertEqual([code for _, code in visitor.client.goaways], [CALM])

    def test_slowly(self) -> None:
        """A client that changes its mind now and then may do so for ever."""
        server = MemoryServer(Waiting(), requests_per_connection=0)
        visitor = Http2Visitor(server)
        for _ in range(50):
            for _ in range(int(RESETS_A_SECOND)):
                visitor.client.h2.reset_stream(visitor.ask(), ErrorCodes.CANCEL)
            visitor.exchange()
            server.pass_time(1)
        self.assertFalse(visitor.closed)

    def test_answers_before_the_end_of_requests(self) -> None:
        """Requests that are answered before they are whole are no fault of theirs, however they then end."""
        server = MemoryServer(answer_whole, requests_per_connection=0)
        visitor = Http2Visitor(server)
        ends = (
            visitor.client.h2.end_stream,
            visitor.client.h2.reset_stream,
            lambda number: server.pass_time(LINGER_SECONDS + 0.1),
        )
        for place in range(3 * MOST_RESETS):
            number = visitor.ask(method=b"POST", ended=False)
            self.assertEqual((visitor.answer(number).status, visitor.answer(number).ended), (200, True))
            ends[place % 3](number)
            visitor.exchange()
        self.assertFalse(visitor.closed)

    def test_answered_and_never_ended(self) -> None:
        """Requests that were answered and go on and on hold a place among the streams until they are left."""
        server = MemoryServer(answer_whole, requests_per_connection=0)
        visitor = Http2Visitor(server)
        numbers = [visitor.ask(method=b"POST", ended=False) for _ in range(100)]
        visitor.client.h2.remote_settings.max_concurrent_streams = 1000
        visitor.client.h2.remote_settings.acknowledge()
        self.assertEqual(visitor.answer(visitor.ask()).reset, ErrorCodes.REFUSED_STREAM)
        server.pass_time(LINGER_SECONDS + 0.1)
        self.assertEqual({visitor.answer(number).reset for number in numbers}, {ErrorCodes.NO_ERROR})
        self.assertEqual(visitor.answer(visitor.ask()).status, 200)
