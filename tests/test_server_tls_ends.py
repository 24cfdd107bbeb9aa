"""How connections by TLS end, and what becomes of a client that reads slowly: as in clear, and close_notify tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import Attendant, MemoryServer, Waiting, answer_whole, request
from tests.tls_kit import Authority, TlsClient, TlsVisitor, client_context, tls_server
from tracseq_gateway.config.tls import Tls
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.server.farewell import LINGER_SECONDS

UNKNOWN_LENGTH = OutgoingHead(200, b"OK", [], None, dated=True)


class EndTestCase(SynchronousTestCase):
    """A server with one certificate."""

    def setUp(self) -> None:
        authority = Authority(Path(self.mktemp()))
        self.settings = Tls((authority.issue("gw.test"),))
        self.context = client_context(authority)
        self.root = Waiting()

    def server(self, root: Any = None, **limits: Any) -> MemoryServer:
        return tls_server(root or self.root, self.settings, **limits)

    def visit(self, server: MemoryServer, *pieces: bytes, window: float = float("inf")) -> TlsVisitor:
        """Connect, send, and from then on take only so many bytes."""
        visitor = TlsVisitor(server, TlsClient(self.context))
        visitor.transport.window = window
        visitor.send(*pieces)
        return visitor


class OrderlyTests(EndTestCase):
    """Every end that was meant is said, so that nobody can cut an answer off and pass that for its end."""

    def test_last_answer(self) -> None:
        """Behind the last answer of a connection comes close_notify, then the end; the client need not say its own."""
        for version, fields in ((b"HTTP/1.1", [b"Connection: close"]), (b"HTTP/1.0", [])):
            visitor = self.visit(self.server(answer_whole), request(b"/", *fields, version=version))
            self.assertEqual(visitor.answers()[0].body, b"ok")
            self.assertEqual((visitor.client.ended, visitor.connected, visitor.aborted), (True, False, False))

    def test_idle(self) -> None:
        """So it does when a connection has been idle for long enough, and when the server drains."""
        for end in ("idle", "drain"):
            server = self.server(answer_whole, idle_seconds=20.0)
            visitor = self.visit(server, request(b"/"))
            self.assertEqual((visitor.statuses(), visitor.client.ended), ([200], False))
            if end == "drain":
                drained: Deferred[int] = server.site.drain(30.0)
            server.pass_time(20.2)
            self.assertEqual((visitor.received[-2:], visitor.client.ended, visitor.connected), (b"ok", True, False))
            if end == "drain":
                self.assertEqual(self.successResultOf(drained), 0)

    def test_drain_within_handshake(self) -> None:
        """A drain does not wait for who has only begun to shake hands."""
        server = self.server()
        visitor = TlsVisitor(server, TlsClient(self.context))
        drained = server.site.drain(30.0)
        server.pass_time(0.7)
        self.assertFalse(visitor.connected)
        self.assertEqual(self.successResultOf(drained), 0)

    def test_refusal(self) -> None:
        """A refusal arrives with close_notify behind it, and what the client still sends is read and thrown away."""
        server = self.server()
        visitor = self.visit(server, b"BAD\r\n\r\n")
        self.assertEqual((visitor.statuses(), visitor.client.ended), ([400], True))
        self.assertEqual((visitor.half_closed, visitor.connected), (True, True))
        visitor.send(request(b"/") * 3, bytes(200_000))
        self.assertEqual((visitor.statuses(), self.root.requests), ([400], []))
        server.pass_time(LINGER_SECONDS + 0.1)
        self.assertFalse(visitor.connected)

    def test_client_says_it(self) -> None:
        """A client that says close_notify is gone: it hears ours, and its request is over."""
        server, attendant = self.server(), Attendant()
        visitor = self.visit(server, request(b"/"))
        self.root.requests[0].attend(attendant)
        visitor.send_encrypted(visitor.client.say_goodbye())
        self.assertEqual((attendant.heard, visitor.connected, server.site.active), (["gone"], False, 0))
        self.assertTrue(visitor.client.ended)

    def test_request_before_goodbye(self) -> None:
        """What a client says before its close_notify is heard, even if both come at once."""
        server = self.server()
        visitor = self.visit(server)
        sent = visitor.client.write(request(b"/"))
        visitor.send_encrypted(sent + visitor.client.say_goodbye())
        self.assertEqual((len(self.root.requests), server.site.active), (1, 0))


class CutTests(EndTestCase):
    """An end that was not meant is not said: the client can tell that something is missing."""

    def test_answer_that_fails(self) -> None:
        """An answer that only the end of the connection would end is cut without close_notify."""
        visitor = self.visit(self.server(), request(b"/", version=b"HTTP/1.0"))
        self.root.requests[0].begin(UNKNOWN_LENGTH, b"half of", False)
        self.assertTrue(visitor.received.endswith(b"half of"))
        self.root.requests[0].abort()
        self.assertEqual((visitor.client.ended, visitor.aborted), (False, True))

    def test_broken_record(self) -> None:
        """Bytes that somebody else has put in break the connection off, and nothing of them is taken for a request."""
        server, attendant = self.server(), Attendant()
        visitor = self.visit(server, request(b"/"))
        self.root.requests[0].attend(attendant)
        record = bytearray(visitor.client.write(request(b"/")))
        record[-1] ^= 1
        visitor.send_encrypted(bytes(record))
        self.assertEqual((attendant.heard, visitor.connected, server.site.active), (["gone"], False, 0))
        self.assertEqual(visitor.client.alert, "bad record mac")

    def test_clear_in_between(self) -> None:
        """So does HTTP in clear on a connection that began by TLS."""
        server = self.server()
        visitor = self.visit(server, request(b"/"))
        visitor.send_encrypted(request(b"/"))
        self.assertEqual((visitor.connected, len(self.root.requests), server.site.active), (False, 1, 0))


class SlowReaderTests(EndTestCase):
    """Nobody holds more for a client than its transport does."""

    def test_pause_and_resume(self) -> None:
        """Who answers is paused while the client does not take what is sent, and resumed when it has."""
        attendant = Attendant()
        visitor = self.visit(self.server(), request(b"/"), window=1000)
        self.root.requests[0].attend(attendant)
        self.root.requests[0].begin(UNKNOWN_LENGTH, bytes(300_000), False)
        self.assertEqual(attendant.heard, ["pause"])
        self.assertGreater(visitor.channel.unsent(), 299_000)
        visitor.take()
        self.assertEqual((attendant.heard, visitor.channel.unsent()), (["pause", "resume"], 0))

    def test_large_last_answer(self) -> None:
        """The last answer of a connection is delivered whole to a slow reader, with close_notify behind it."""
        visitor = self.visit(self.server(), request(b"/", b"Connection: close"), window=1000)
        answer_whole(self.root.requests[0], b"x" * 300_000)
        while visitor.connected:
            visitor.take(70_000)
        self.assertEqual((len(visitor.answers()[0].body), visitor.client.ended), (300_000, True))

    def test_refusal_after_large_answer(self) -> None:
        """A refusal behind a large answer is delivered, too."""
        visitor = self.visit(self.server(), request(b"/") + b"BAD\r\n\r\n", window=1000)
        answer_whole(self.root.requests[0], b"x" * 300_000)
        visitor.take()
        self.assertEqual((visitor.statuses(), visitor.half_closed, visitor.client.ended), ([200, 400], True, True))

    def test_takes_nothing(self) -> None:
        """A client that takes nothing of its answer for too long is cut."""
        server = self.server(write_idle_seconds=20.0)
        visitor = self.visit(server, request(b"/"), window=1000)
        answer_whole(self.root.requests[0], b"x" * 300_000)
        server.pass_time(20.3)
        self.assertEqual((visitor.connected, visitor.aborted), (False, True))

    def test_goodbye_and_takes_nothing(self) -> None:
        """A client that says close_notify and takes nothing of what waits for it is let go at once."""
        server, attendant = self.server(), Attendant()
        visitor = self.visit(server, request(b"/"), window=1000)
        self.root.requests[0].attend(attendant)
        self.root.requests[0].begin(UNKNOWN_LENGTH, bytes(300_000), False)
        visitor.send_encrypted(visitor.client.say_goodbye())
        self.assertEqual((attendant.heard[-1], visitor.connected, server.site.active), ("gone", False, 0))

    def test_paused_body(self) -> None:
        """A body that nobody takes is not read, and arrives whole once somebody does; what came before it is kept."""
        attendant = Attendant()
        visitor = self.visit(self.server(), request(b"/", method=b"POST", body=bytes(100_000)))
        received = self.root.requests[0]
        received.attend(attendant)
        attendant.body, _ = received.take_body()
        self.assertEqual(len(attendant.body), 100_000)
        answer_whole(received)
        self.assertEqual(visitor.statuses(), [200])

    def test_sent_ahead(self) -> None:
        """What is sent ahead waits, with reading paused once it is much, and is answered in its order."""
        visitor = self.visit(self.server(), *[request(b"/%d" % number, b"X: " + b"x" * 7000) for number in range(30)])
        self.assertFalse(visitor.transport.reading)
        answered = 0
        while answered < len(self.root.requests):
            answer_whole(self.root.requests[answered], self.root.requests[answered].head.path)
            answered += 1
        self.assertTrue(visitor.transport.reading)
        bodies = [answer.body for answer in visitor.answers()]
        self.assertEqual(bodies, [b"/%d" % number for number in range(answered)])
