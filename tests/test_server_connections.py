"""One connection, many requests: what keeps it open, in which order it is served, and what it may hold back."""

from __future__ import annotations

import sys
from ipaddress import ip_network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import Handler, MemoryServer, Visitor, Waiting, answer_whole, request, slices
from tracseq_gateway.errors import NOT_FOUND, GatewayError
from tracseq_gateway.server.channel import AHEAD
from tracseq_gateway.server.request import GatewayRequest


def echo_target(request: GatewayRequest) -> None:
    """Answer with the target."""
    answer_whole(request, request.uri)


def bodies(visitor: Visitor) -> list[bytes]:
    return [answer.body for answer in visitor.answers()]


class PersistenceTests(SynchronousTestCase):
    def test_kept(self) -> None:
        """HTTP/1.1 serves one request after the other, HTTP/1.0 as well if it asks for that."""
        for version, fields in ((b"HTTP/1.1", []), (b"HTTP/1.0", [b"Connection: Keep-Alive"])):
            visitor = MemoryServer(echo_target).visit()
            for number in range(5):
                visitor.send(request(b"/%d" % number, *fields, version=version))
            self.assertEqual(bodies(visitor), [b"/0", b"/1", b"/2", b"/3", b"/4"])
            self.assertFalse(visitor.closed)

    def test_closed(self) -> None:
        """A request that wants no other is the last; what follows it is not looked at."""
        for version, fields in (
            (b"HTTP/1.1", [b"Connection: close"]),
            (b"HTTP/1.0", []),
            (b"HTTP/1.0", [b"Connection: x"]),
        ):
            root = Waiting()
            visitor = MemoryServer(root).visit(request(b"/1", *fields, version=version) + request(b"/2") + b"\0garbage")
            answer_whole(root.requests[0])
            self.assertEqual((visitor.statuses(), len(root.requests), visitor.closed), ([200], 1, True))

    def test_upgrade_that_is_not_granted(self) -> None:
        """A request to upgrade is answered as plain HTTP/1.1, and is the last: what follows may be another protocol."""
        root = Waiting()
        data = request(b"/", b"Connection: Upgrade", b"Upgrade: websocket") + request(b"/smuggled")
        visitor = MemoryServer(root).visit(data, request(b"/smuggled"))
        answer_whole(root.requests[0])
        visitor.send(request(b"/smuggled"))
        (answer,) = visitor.answers()
        self.assertEqual((answer.status, answer.values(b"connection")), (200, [b"close"]))
        self.assertEqual((len(root.requests), visitor.closed), (1, True))

    def test_requests_per_connection(self) -> None:
        """After its number of requests a connection is closed, with a word to the client; 0 means no end."""
        visitor = MemoryServer(echo_target, requests_per_connection=3).visit()
        for number in range(5):
            visitor.send(request(b"/%d" % number))
        self.assertEqual(bodies(visitor), [b"/0", b"/1", b"/2"])
        self.assertEqual([answer.values(b"connection") for answer in visitor.answers()], [[], [], [b"close"]])
        self.assertTrue(visitor.closed)
        endless = MemoryServer(echo_target, requests_per_connection=0).visit(*[request(b"/")] * 2000)
        self.assertEqual((len(endless.answers()), endless.closed), (2000, False))

    def test_max_connections(self) -> None:
        """Beyond the most connections, new ones are closed at once; a place that gets free is given again."""
        server = MemoryServer(echo_target, max_connections=2)
        first, second = server.visit(), server.visit()
        third = server.visit()
        self.assertFalse(third.connected)
        self.assertEqual(len(server.site.channels), 2)
        first.leave()
        fourth = server.visit(request(b"/4"))
        second.send(request(b"/2"))
        self.assertEqual((bodies(second), bodies(fourth)), ([b"/2"], [b"/4"]))

    def test_max_connections_per_address(self) -> None:
        """One address cannot take the places of all; a proxy that is trusted stands for many."""
        server = MemoryServer(echo_target, max_connections_per_address=2)
        visitors = [server.visit() for _ in range(3)]
        self.assertEqual([visitor.connected for visitor in visitors], [True, True, False])
        self.assertTrue(server.visit(peer="192.0.2.8").connected)
        visitors[0].leave()
        self.assertTrue(server.visit().connected)
        trusting = MemoryServer(echo_target, max_connections_per_address=2)
        trusting.site.trusted = [ip_network("192.0.2.0/24")]
        self.assertTrue(all(visitor.connected for visitor in [trusting.visit() for _ in range(9)]))

    def test_no_most_connections(self) -> None:
        """0 means that there may be any number."""
        server = MemoryServer(echo_target, max_connections=0)
        self.assertTrue(all(visitor.connected for visitor in [server.visit() for _ in range(50)]))

    def test_empty_line_before_a_request(self) -> None:
        """One empty line before a request is skipped, whole or in pieces; a second one is refused."""
        for pieces in ([b"\r\n" + request(b"/")], [b"\r", b"\n" + request(b"/")], [b"\r\n", request(b"/")]):
            visitor = MemoryServer(echo_target).visit(*pieces, *pieces)
            self.assertEqual(visitor.statuses(), [200, 200])
        for pieces in ([b"\r\n\r\n"], [b"\r\n", b"\r\n"], [b"\r\n\r"], [b"\r\r"], [b"\rX"], [b"\n"], [b"\r\n\n"]):
            visitor = MemoryServer(echo_target).visit(*pieces)
            self.assertEqual((visitor.statuses(), visitor.closed), ([400], True), pieces)


class PipelineTests(SynchronousTestCase):
    def test_in_order_one_at_a_time(self) -> None:
        """Fifty requests in one read are served one at a time, and answered in their order."""
        root = Waiting()
        server = MemoryServer(root)
        visitor = server.visit(b"".join(request(b"/%d" % number) for number in range(50)))
        for number in range(50):
            self.assertEqual((len(root.requests), server.site.active), (1, 1))
            pending = root.requests.pop()
            self.assertEqual(pending.uri, b"/%d" % number)
            answer_whole(pending, pending.uri)
        self.assertEqual(bodies(visitor), [b"/%d" % number for number in range(50)])
        self.assertEqual((root.requests, server.site.active), ([], 0))

    def test_with_bodies(self) -> None:
        """Bodies between pipelined requests are told from the requests, in both framings."""
        chunked = request(b"/c", b"Transfer-Encoding: chunked", method=b"POST") + b"5\r\nGET /\r\n0\r\nX: y\r\n\r\n"
        data = (request(b"/a", body=b"GET / HTTP/1.1\r\n\r\n", method=b"POST") + chunked + request(b"/b")) * 3

        def take(request: GatewayRequest) -> None:
            body, whole = request.take_body()
            assert whole
            answer_whole(request, request.uri + b" " + body)

        visitor = MemoryServer(take, requests_per_connection=0).visit(data)
        self.assertEqual(bodies(visitor), [b"/a GET / HTTP/1.1\r\n\r\n", b"/c GET /", b"/b "] * 3)

    def test_bad_one_behind_good_ones(self) -> None:
        """A bad request behind good ones is refused in its turn, and ends the connection."""
        root = Waiting()
        visitor = MemoryServer(root).visit(request(b"/1") + request(b"/2") + b"BAD\r\n\r\n" + request(b"/3"))
        self.assertEqual(visitor.received, b"")
        answer_whole(root.requests.pop())
        answer_whole(root.requests.pop())
        self.assertEqual((visitor.statuses(), visitor.closed, root.requests), ([200, 200, 400], True, []))

    def test_no_recursion(self) -> None:
        """Two thousand requests that are answered at once do not nest, and each is answered."""
        depths: set[int] = set()

        def refuse(request: GatewayRequest) -> None:
            frame: Any = sys._getframe()
            depth = 0
            while frame is not None:
                frame, depth = frame.f_back, depth + 1
            depths.add(depth)
            request.refuse(GatewayError(NOT_FOUND))

        visitor = MemoryServer(refuse, requests_per_connection=0).visit(request(b"/") * 2000)
        self.assertEqual(visitor.statuses(), [404] * 2000)
        self.assertLess(max(depths) - min(depths), 10)

    def test_answered_later_and_at_once(self) -> None:
        """A request that had to wait does not nest those behind it that are answered at once."""
        root = Waiting()
        held: list[GatewayRequest] = []
        server = MemoryServer(
            lambda request: held.append(request) if request.uri == b"/wait" else answer_whole(request)
        )
        visitor = server.visit(request(b"/wait") + request(b"/") * 900)
        self.assertEqual((visitor.received, root.requests), (b"", []))
        answer_whole(held[0])
        self.assertEqual(len(visitor.answers()), 901)

    @given(st.lists(st.integers(0, 5000), max_size=20))
    @settings(max_examples=60, deadline=None)
    def test_any_split(self, cuts: list[int]) -> None:
        """However a pipeline of requests with and without bodies is split, the answers are the same."""
        pieces = [
            request(b"/1?" + b"x" * 300),
            request(b"/2", body=b"b" * 500, method=b"POST"),
            b"\r\n"
            + request(b"/3", b"Transfer-Encoding: chunked", method=b"PUT")
            + b"3;x=y\r\nabc\r\n000\r\nT: 1\r\n\r\n",
            request(b"/4", b"X: " + b"y" * 900, method=b"DELETE"),
            request(b"/5", b"Connection: close"),
            b"ignored",
        ]

        class Take(Handler):
            def __init__(self) -> None:
                super().__init__(self.take)

            def take(self, request: GatewayRequest) -> None:
                taker = Taker(request)
                request.attend(taker)
                body, whole = request.take_body()
                taker.body_received(body)
                if whole:
                    taker.body_ended()

        visitor = MemoryServer(Take()).visit(*slices(b"".join(pieces), cuts))
        self.assertEqual(bodies(visitor), [b"/1 ", b"/2 " + b"b" * 500, b"/3 abc", b"/4 ", b"/5 "])
        self.assertTrue(visitor.closed)


class Taker:
    """Takes a body to its end and answers with path and body."""

    def __init__(self, request: GatewayRequest) -> None:
        self.request = request
        self.body = b""

    def body_received(self, data: bytes) -> None:
        self.body += data

    def body_ended(self) -> None:
        answer_whole(self.request, self.request.path + b" " + self.body)

    def leave(self) -> None:
        """Never called."""

    def client_gone(self) -> None:
        raise AssertionError("the client is there")

    def pause(self) -> None:
        raise AssertionError("the client reads")

    def resume(self) -> None:
        raise AssertionError("the client reads")


class BoundTests(SynchronousTestCase):
    """A client that sends ahead gets no memory for it."""

    def test_reading_pauses(self) -> None:
        """What may wait behind a request that is being answered is bounded: then nothing more is read."""
        root = Waiting()
        visitor = MemoryServer(root).visit(request(b"/"))
        sent = 0
        while visitor.transport.reading:
            visitor.send(b"x" * 1000)
            sent += 1000
        self.assertGreater(sent, AHEAD - 1000)
        self.assertLessEqual(sent, AHEAD + 1000)

    def test_what_waits_does_not_grow(self) -> None:
        """A client that always sends what it can has no more waiting after a hundred answers than after one."""
        root = Waiting()
        visitor = MemoryServer(root, requests_per_connection=0).visit(request(b"/"))
        short = request(b"/")
        flood = request(b"/" + b"a" * (64 - len(short))) * 1024
        most = 0
        for _ in range(100):
            visitor.send(flood, flood, flood)
            most = max(most, len(visitor.channel._waiting))
            answer_whole(root.requests.pop())
        self.assertLessEqual(most, AHEAD + len(flood))

    def test_behind_a_body(self) -> None:
        """What comes in one read with the end of a body waits like everything else, and no further read is taken."""
        visitor = MemoryServer(Waiting()).visit(request(b"/", b"Content-Length: 3000", method=b"POST"))
        visitor.send(b"x" * (3000 + AHEAD + 1))
        self.assertEqual(len(visitor.channel._waiting), AHEAD + 1)
        self.assertFalse(visitor.transport.reading)

    def test_answers_at_once_do_not_open_it(self) -> None:
        """Reading goes on by what waits behind the last of several requests that are taken up, not behind the first."""
        held: list[GatewayRequest] = []

        def handle(request: GatewayRequest) -> None:
            if request.uri == b"/now":
                answer_whole(request)
            else:
                held.append(request)

        visitor = MemoryServer(handle).visit(request(b"/"))
        visitor.send(request(b"/now") + request(b"/later") + request(b"/x") * 3000)
        self.assertFalse(visitor.transport.reading)
        answer_whole(held.pop(0))
        self.assertEqual([request.uri for request in held], [b"/later"])
        self.assertGreater(len(visitor.channel._waiting), AHEAD)
        self.assertFalse(visitor.transport.reading)

    def test_a_client_that_never_reads(self) -> None:
        """While the client takes no answers, no further request is looked at, and reading pauses."""
        served: list[bytes] = []

        def big(request: GatewayRequest) -> None:
            served.append(request.uri)
            answer_whole(request, b"x" * 20_000)

        server = MemoryServer(big, requests_per_connection=0)
        visitor = server.visit(window=0)
        sent = 0
        while visitor.transport.reading and sent < 10_000_000:
            visitor.send(request(b"/") * 100)
            sent += len(request(b"/")) * 100
        self.assertLess(len(served), 10)
        self.assertLess(visitor.transport.unsent(), 150_000)
        self.assertLess(sent, AHEAD + 65536)
        before = len(served)
        visitor.take(1000)
        self.assertEqual(len(served), before)
        visitor.take(200_000)
        self.assertGreater(len(served), before)

    def test_reads_on_when_it_has_room(self) -> None:
        """A client that was not read because it sent ahead is read again when its answers are taken."""
        root = Waiting()
        visitor = MemoryServer(root, requests_per_connection=0).visit(request(b"/"))
        one = request(b"/", b"X: " + b"y" * 6000)
        while visitor.transport.reading:
            visitor.send(one)
        count = 0
        while root.requests:
            answer_whole(root.requests.pop())
            count += 1
        self.assertTrue(visitor.transport.reading)
        self.assertEqual(len(visitor.answers()), count)
        self.assertGreater(count, 10)
