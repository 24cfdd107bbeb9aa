"""Answers over HTTP/2 that come before their request was sent whole, as refusals of uploads do."""

from __future__ import annotations

from h2.errors import ErrorCodes
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import MemoryServer, Waiting, answer_whole
from tests.kit_http2 import Http2Visitor, frame
from tracseq_gateway.server.farewell import LINGER_SECONDS
from tracseq_gateway.server.h2_floods import MOST_IDLE_FRAMES, MOST_RESETS
from tracseq_gateway.server.h2_lingering import LINGER_BYTES

DATA, WINDOW_UPDATE = 0, 8
PIECE = bytes(16384)


class EarlyAnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = MemoryServer(answer_whole, requests_per_connection=0)
        self.visitor = Http2Visitor(self.server)

    def refused(self) -> int:
        """An upload that is answered at once."""
        number = self.visitor.ask(method=b"POST", ended=False)
        answer = self.visitor.answer(number)
        self.assertEqual((answer.status, answer.ended, answer.reset), (200, True, None))
        self.assertEqual(self.server.site.active, 0)
        return number

    def test_read_on(self) -> None:
        """The client may send all of its body: windows are opened for it, and nothing is reset."""
        number = self.refused()
        for _ in range(100):
            self.visitor.give(number, PIECE)
        self.visitor.give(number, b"", ended=True)
        self.server.pass_time(2 * LINGER_SECONDS)
        self.assertIsNone(self.visitor.answer(number).reset)
        self.assertEqual(self.visitor.answer(self.visitor.ask()).status, 200)

    def test_far_client(self) -> None:
        """No round trips are lost over it: all that the connection has room for may be sent at once."""
        self.assertEqual(self.visitor.windows(self.refused()), self.visitor.client.h2.outbound_flow_control_window)

    def test_trailers(self) -> None:
        """It may end with trailers, too."""
        number = self.refused()
        self.visitor.client.h2.send_headers(number, [(b"x-sum", b"1")], end_stream=True)
        self.server.pass_time(2 * LINGER_SECONDS)
        self.assertIsNone(self.visitor.answer(number).reset)

    def test_time(self) -> None:
        """After a while it is told to stop, and that nothing was wrong."""
        number = self.refused()
        self.server.pass_time(LINGER_SECONDS - 0.2)
        self.visitor.give(number, PIECE)
        self.assertIsNone(self.visitor.answer(number).reset)
        self.server.pass_time(0.4)
        self.assertEqual(self.visitor.answer(number).reset, ErrorCodes.NO_ERROR)
        self.assertFalse(self.visitor.closed)

    def test_bytes(self) -> None:
        """So it is when it has sent too much."""
        number = self.refused()
        for _ in range(LINGER_BYTES // len(PIECE)):
            self.visitor.give(number, PIECE)
        self.assertIsNone(self.visitor.answer(number).reset)
        self.visitor.give(number, b"x")
        self.assertEqual(self.visitor.answer(number).reset, ErrorCodes.NO_ERROR)

    def test_no_flood(self) -> None:
        """Small pieces of it are no flood, but empty ones are."""
        number = self.refused()
        for _ in range(2 * MOST_IDLE_FRAMES):
            self.visitor.give(number, b"x")
        self.assertFalse(self.visitor.closed)
        for _ in range(MOST_IDLE_FRAMES + 1):
            self.visitor.send(frame(DATA, 0, number))
        self.visitor.exchange()
        self.assertEqual([code for _, code in self.visitor.client.goaways], [ErrorCodes.ENHANCE_YOUR_CALM])

    def test_client_stops(self) -> None:
        """A client that stops of itself, by a reset, does so without harm; one that provokes resets does not."""
        for _ in range(2 * MOST_RESETS):
            self.visitor.client.h2.reset_stream(self.refused(), ErrorCodes.NO_ERROR)
            self.visitor.exchange()
        self.assertFalse(self.visitor.closed)
        for _ in range(MOST_RESETS + 1):
            self.visitor.send(frame(WINDOW_UPDATE, 0, self.refused(), b"\x7f\xff\xff\xff"))
        self.visitor.exchange()
        self.assertEqual([code for _, code in self.visitor.client.goaways], [ErrorCodes.ENHANCE_YOUR_CALM])

    def test_most(self) -> None:
        """Streams on which a body is still read count as open ones."""
        visitor = self.visitor
        for _ in range(100):
            self.refused()
        visitor.client.h2.remote_settings.max_concurrent_streams = 1000
        visitor.client.h2.remote_settings.acknowledge()
        self.assertEqual(visitor.answer(visitor.ask()).reset, ErrorCodes.REFUSED_STREAM)
        self.server.pass_time(LINGER_SECONDS + 0.1)
        self.assertEqual(visitor.answer(visitor.ask()).status, 200)

    def test_end_of_the_connection(self) -> None:
        """A connection that is to end waits for the rest of the body, but no longer than that."""
        for whole in (True, False):
            server = MemoryServer(answer_whole, requests_per_connection=1)
            visitor = Http2Visitor(server)
            number = visitor.ask(method=b"POST", ended=False)
            visitor.give(number, PIECE)
            self.assertEqual((visitor.answer(number).status, visitor.closed), (200, False))
            if whole:
                visitor.give(number, PIECE, ended=True)
            else:
                server.pass_time(LINGER_SECONDS + 0.1)
                visitor.exchange()
            self.assertTrue(visitor.closed)
            self.assertEqual(visitor.answer(number).reset, None if whole else ErrorCodes.NO_ERROR)

    def test_lost(self) -> None:
        """Nothing stays behind of a connection that is lost meanwhile."""
        self.refused()
        self.visitor.leave()
        self.server.pass_time(LINGER_SECONDS + 0.1)
        self.assertEqual(len(self.server.site.channels), 0)

    def test_malformed(self) -> None:
        """A body that breaks a rule is not read on: its stream is reset behind the answer."""
        root = Waiting()
        visitor = Http2Visitor(MemoryServer(root))
        number = visitor.ask((b"content-length", b"1"), method=b"POST", ended=False)
        visitor.give(number, b"too long")
        answer = visitor.answer(number)
        self.assertEqual((answer.status, answer.reset), (400, ErrorCodes.PROTOCOL_ERROR))
