"""The stream of events: what watchers get, when they read slowly, when they may not, and when the worker stops."""

from __future__ import annotations

import re

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.identity_lab import Lab
from tests.kit import MemoryClient, MemoryGateway
from tests.kit_client import MemoryServer, Visitor, request
from tracseq_gateway.admin.dashboard import StagePage
from tracseq_gateway.admin.events import HEARTBEAT_SECONDS, MOST_WATCHERS, Streams
from tracseq_gateway.config.model import Service
from tracseq_gateway.config.policies import Jwt
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.errors import FORBIDDEN, GatewayError
from tracseq_gateway.interfaces import Request
from tracseq_gateway.overview.feed import OverviewFeed

WATCH = request(b"/dashboard/events", b"Accept: text/event-stream")
SERVICES = {"samples": Service("samples", "/samples", instances=(Instance("http://127.0.0.1:9001"),))}


@frozen
class Stream:
    """What a client has received of a stream."""

    head: bytes
    events: list[str]
    """The documents of the overviews."""
    comments: int
    ended: bool
    raw: bytes

    @classmethod
    def of(cls, received: bytes) -> Stream:
        head, _, framed = received.partition(b"\r\n\r\n")
        body, ended = b"", False
        while framed:
            size, _, framed = framed.partition(b"\r\n")
            length = int(size, 16)
            ended = length == 0
            body, framed = body + framed[:length], framed[length + 2 :]
        events = re.findall(r"^id: \d+\nevent: overview\ndata: (.*)\n$", body.decode(), re.MULTILINE)
        return cls(head, events, body.count(b": heartbeat\n\n"), ended, body)


class StreamTestCase(SynchronousTestCase):
    """A stage on a fake clock, and a feed that the test fills."""

    verdict: GatewayError | Deferred[GatewayError | None] | None = None

    def setUp(self) -> None:
        self.feed = OverviewFeed()
        self.watched: list[bool] = []
        self.feed.watched = self.watched.append
        self.serve(1.0)

    def serve(self, interval: float) -> None:
        self.server = MemoryServer(lambda request: StagePage(self.streams).render(request))
        self.streams = Streams(self.feed, self.server.reactor, lambda: 1_780_000_000.25, interval, self.judge)

    def judge(self, request: Request) -> GatewayError | Deferred[GatewayError | None] | None:
        return self.verdict

    def watch(self, window: float = float("inf")) -> Visitor:
        return self.server.visit(WATCH, window=window)

    def stream(self, visitor: Visitor) -> Stream:
        return Stream.of(visitor.received)

    def publish(self, text: str) -> None:
        """Have a second pass, and an overview come."""
        self.server.pass_time(1.0)
        self.feed.publish(text.encode())


class EventTests(StreamTestCase):
    def test_events(self) -> None:
        """A watcher learns when to come again, and gets each overview as an event with a number."""
        visitor = self.watch()
        self.publish("{}")
        self.publish('{"a":1}')
        stream = self.stream(visitor)
        self.assertIn(b"content-type: text/event-stream; charset=utf-8", stream.head)
        self.assertIn(b"cache-control: no-store", stream.head)
        self.assertTrue(stream.raw.startswith(b"retry: 2000\n\nid: 1780000000250\nevent: overview\ndata: {}\n\n"))
        self.assertEqual((["{}", '{"a":1}'], False), (stream.events, stream.ended))

    def test_first(self) -> None:
        """Who comes while others watch gets the newest overview at once."""
        self.watch()
        self.publish("{}")
        self.assertEqual(["{}"], self.stream(self.watch()).events)

    def test_nobody(self) -> None:
        """Overviews are asked for only while somebody watches; who leaves is forgotten at once."""
        first, second = self.watch(), self.watch()
        self.assertEqual(([True], 2), (self.watched, len(self.streams)))
        first.leave()
        self.assertEqual(([True], 1), (self.watched, len(self.streams)))
        second.leave()
        self.assertEqual(([True, False], 0), (self.watched, len(self.streams)))
        self.feed.publish(b"{}")
        self.assertEqual(b"", self.feed.latest)

    def test_interval(self) -> None:
        """With a longer interval, only the overviews that are due go out, though some come a little early."""
        self.serve(3.0)
        visitor = self.watch()
        for number in range(8):
            self.server.pass_time(0.95, step=0.05)
            self.feed.publish(b"%d" % number)
        self.assertEqual(["0", "3", "6"], self.stream(visitor).events)

    def test_heartbeat(self) -> None:
        """When there is no news, a comment goes out from time to time."""
        visitor = self.watch()
        self.server.pass_time(3 * HEARTBEAT_SECONDS + 1)
        self.assertEqual(3, self.stream(visitor).comments)

    def test_bound(self) -> None:
        """When enough watch, who comes is told to come again later; a place that is left can be taken."""
        visitors = [self.watch() for _ in range(MOST_WATCHERS)]
        (refused,) = self.watch().answers()
        self.assertEqual((503, [b"5"]), (refused.status, refused.values(b"retry-after")))
        visitors[0].leave()
        self.publish("{}")
        self.assertEqual(["{}"], self.stream(self.watch()).events)

    def test_methods(self) -> None:
        """A stream can only be read; HEAD gets its head and counts for nobody."""
        (head,) = self.server.visit(request(b"/dashboard/events", method=b"HEAD")).answers(b"HEAD")
        self.assertEqual((200, [b"text/event-stream; charset=utf-8"]), (head.status, head.values(b"content-type")))
        (refused,) = self.server.visit(request(b"/dashboard/events", method=b"POST")).answers(b"POST")
        self.assertEqual((405, 0), (refused.status, len(self.streams)))


class SlowReaderTests(StreamTestCase):
    def test_skips(self) -> None:
        """A reader that is slow misses overviews: what waits for him is the newest one, whole."""
        visitor = self.watch(window=100)
        large = "x" * 200_000
        self.publish(f'"{large}"')
        for number in range(5):
            self.publish(str(number))
        self.server.pass_time(HEARTBEAT_SECONDS)
        self.assertLess(visitor.transport.unsent(), 250_000)
        visitor.take()
        stream = self.stream(visitor)
        self.assertEqual([f'"{large}"', "4"], stream.events)
        self.publish("5")
        self.assertEqual("5", self.stream(visitor).events[-1])

    def test_alone(self) -> None:
        """A slow reader costs the others nothing."""
        self.watch(window=100)
        other = self.watch()
        for number in range(5):
            self.publish(f'"{"x" * 70_000}{number}"')
            self.assertEqual(number + 1, len(self.stream(other).events))


class JudgedTests(StreamTestCase):
    def test_ended(self) -> None:
        """Who may watch no more is cut off in an orderly way, within seconds."""
        visitor, other = self.watch(), self.watch()
        self.server.pass_time(HEARTBEAT_SECONDS + 1)
        self.assertFalse(self.stream(visitor).ended)
        self.verdict = GatewayError(FORBIDDEN)
        self.server.pass_time(HEARTBEAT_SECONDS)
        self.assertTrue(self.stream(visitor).ended and self.stream(other).ended)
        self.assertEqual([True, False], self.watched)

    def test_asked(self) -> None:
        """While it is not known whether he still may, a watcher watches on and nobody is asked twice."""
        asked: Deferred[GatewayError | None] = Deferred()
        self.verdict = asked
        visitor = self.watch()
        self.server.pass_time(3 * HEARTBEAT_SECONDS)
        self.verdict = None
        asked.callback(None)
        self.publish("{}")
        self.assertEqual((["{}"], False), (self.stream(visitor).events, self.stream(visitor).ended))

    def test_refused_later(self) -> None:
        """An answer that comes later ends the stream, too."""
        asked: Deferred[GatewayError | None] = Deferred()
        self.verdict = asked
        visitor = self.watch()
        self.server.pass_time(HEARTBEAT_SECONDS + 1)
        asked.callback(GatewayError(FORBIDDEN))
        self.assertTrue(self.stream(visitor).ended)

    def test_gone(self) -> None:
        """Who leaves is asked about no more."""
        cancelled: list[object] = []
        self.verdict = Deferred(cancelled.append)
        visitor = self.watch()
        self.server.pass_time(HEARTBEAT_SECONDS + 1)
        visitor.leave()
        self.assertEqual(1, len(cancelled))

    def test_broken(self) -> None:
        """If it cannot be told who may watch, that is logged and the stream is cut."""
        asked: Deferred[GatewayError | None] = Deferred()
        self.verdict = asked
        visitor = self.watch()
        self.server.pass_time(HEARTBEAT_SECONDS + 1)
        asked.errback(ValueError("broken"))
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertEqual((False, True), (self.stream(visitor).ended, visitor.closed))


class StoppingTests(SynchronousTestCase):
    def test_drain(self) -> None:
        """A worker that stops ends its streams at once, gently or not, so that they do not hold it up."""
        for gentle in (False, True):
            gateway = MemoryGateway(services=SERVICES)
            client = gateway.exchange(WATCH)
            drained = gateway.worker.drain(30.0, gentle)
            self.assertTrue(Stream.of(client.received).ended)
            client.send(WATCH)
            if gentle:
                answer = client.received.rpartition(b"HTTP/1.1 ")[2]
                self.assertEqual((b"503", True), (answer[:3], b"connection: close" in answer))
            gateway.pass_time(2.0)
            client.settle()
            self.assertEqual(0, self.successResultOf(drained))


class AccessTests(SynchronousTestCase):
    """With authentication on."""

    def watch(self, lab: Lab, *lines: bytes) -> MemoryClient:
        return lab.exchange(request(b"/dashboard/events", *lines))

    def status(self, lab: Lab, *lines: bytes) -> int:
        return int(self.watch(lab, *lines).received[9:12])

    def test_roles(self) -> None:
        """The stream needs a token of the role that the configuration names; the shell does not."""
        lab = Lab()
        self.assertEqual(200, lab.ask(b"/dashboard").status)
        self.assertEqual(401, self.status(lab))
        self.assertEqual(401, self.status(lab, b"Authorization: Bearer nonsense"))
        self.assertEqual(403, self.status(lab, lab.token(role="principal_investigator")))
        self.assertEqual(200, self.status(lab, lab.token(role="lab_administrator")))

    def test_no_token_in_the_query(self) -> None:
        """A token in the URL counts for nothing."""
        lab = Lab()
        token = lab.token(role="lab_administrator").partition(b"Bearer ")[2]
        self.assertEqual(401, int(lab.exchange(request(b"/dashboard/events?token=" + token)).received[9:12]))

    def test_revoked(self) -> None:
        """A stream ends at once when its session is ended, and soon when its token expires."""
        lab = Lab()
        lines = (lab.token(role="lab_administrator", session="s-9"),)
        client = self.watch(lab, *lines)
        short = self.watch(lab, lab.token(role="lab_administrator", session="s-2", exp=int(lab.now()) + 15))
        lab.pass_time(HEARTBEAT_SECONDS + 1)
        self.assertFalse(Stream.of(client.received).ended or Stream.of(short.received).ended)
        lab.pass_time(15 + Jwt().leeway)
        self.assertEqual((False, True), (Stream.of(client.received).ended, Stream.of(short.received).ended))
        lab.callers.revocations.revoke_session("s-9")
        self.assertTrue(Stream.of(client.received).ended)
        self.assertEqual(401, self.status(lab, *lines))
