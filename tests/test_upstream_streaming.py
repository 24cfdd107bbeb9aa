"""Bodies flow past: whoever is full holds the other side back, and every byte arrives as it was."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryClient, MemoryGateway, ServiceConnection
from tracseq_gateway.config.keys import Size

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
FULL = 65536
"""What a transport holds before it asks its producer to pause."""
PIECE = 32768
MOST = FULL + 2 * PIECE
"""What may wait in one transport: what it holds, and the piece that fills it."""


def post(length: int) -> bytes:
    return b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


CHUNKED_POST = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def body_of(size: int) -> bytes:
    """A body in which no two places look alike."""
    return b"".join(b"%07d\n" % index for index in range(size // 8))


class StreamingTestCase(SynchronousTestCase):
    def make(self, data: bytes, max_body: int = 0) -> tuple[MemoryClient, ServiceConnection]:
        """Send the beginning of a request; return both ends."""
        self.gateway = MemoryGateway(answer=None, max_body=Size(max_body))
        client = self.gateway.client()
        client.send(data)
        return client, self.gateway.service.connections[0]

    def assertGivenUp(self, connection: ServiceConnection) -> None:
        """The connection is cut, serves nobody any more, and no request is counted."""
        self.assertTrue(connection.transport.aborted)
        self.assertIsNone(connection.transport.producer)
        self.gateway.service.run()
        (instance,) = self.gateway.worker.services["all"].instances
        self.assertEqual(instance.in_flight, 0)
        self.assertEqual(repr(instance.pool), "<Pool 127.0.0.1:9001: 0 busy, 0 idle, 0 opening, 0 waiting>")
        seen = len(connection.requests)
        self.gateway.service.answer = OK
        self.assertEqual([answer.status for answer in self.gateway.exchange(GET).answers()], [200])
        self.assertEqual(len(connection.requests), seen)


class UploadTests(StreamingTestCase):
    def test_a_slow_service_holds_the_client_back(self) -> None:
        """While the service does not read, the client is not read; not a byte is lost over it."""
        body = body_of(1 << 20)
        client, connection = self.make(post(len(body)))
        connection.transport.stalled = True
        at = rounds = 0
        while at < len(body):
            while client.transport.reading and at < len(body):
                client.send(body[at : at + PIECE])
                at += PIECE
            self.assertLessEqual(connection.transport.unsent(), MOST)
            connection.transport.drain()
            connection.transport.stalled = True
            rounds += 1
        self.assertGreater(rounds, 8)
        self.assertEqual(connection.requests[0].body, body)
        connection.answer(OK)
        self.assertEqual([answer.status for answer in client.answers()], [200])
        self.assertTrue(client.transport.reading)

    def test_nothing_is_read_ahead_of_a_connection(self) -> None:
        """While the request waits for a connection, little of its body is read; then all of it arrives."""
        body = body_of(1 << 18)
        gateway = MemoryGateway(answer=OK)
        gateway.service.hold = True
        client = gateway.client()
        client.send(post(len(body)) + body[:PIECE])
        at = PIECE
        while client.transport.reading:
            client.send(body[at : at + PIECE])
            at += PIECE
            self.assertLess(at, MOST)
        gateway.service.admit()
        while at < len(body):
            self.assertTrue(client.transport.reading)
            client.send(body[at : at + PIECE])
            at += PIECE
        gateway.service.run()
        self.assertEqual([one.body for one in gateway.service.requests], [body])
        self.assertEqual([answer.status for answer in client.answers()], [200])

    def test_a_stalled_upload_and_the_next_request(self) -> None:
        """An upload whose last bytes still wait to be sent leaves nothing behind for the next one."""
        for _ in range(2):
            client, connection = self.make(post(3 * PIECE))
            connection.transport.stalled = True
            client.send(bytes(3 * PIECE))
            connection.transport.drain()
            connection.answer(OK)
            client.send(post(4 * PIECE))
            connection.transport.stalled = True
            client.send(bytes(3 * PIECE))
            self.assertFalse(client.transport.reading)
            connection.transport.drain()
            self.assertTrue(client.transport.reading)
            client.send(bytes(PIECE))
            connection.answer(OK)
            self.assertEqual([answer.status for answer in client.answers()], [200, 200])

    def test_a_client_is_listened_to_again_when_its_body_is_whole(self) -> None:
        """Though the last piece filled the service's side: else nobody would notice the client leave."""
        client, connection = self.make(post(3 * PIECE))
        connection.transport.stalled = True
        client.send(bytes(3 * PIECE))
        connection.transport.drain()
        self.assertEqual(len(connection.requests), 1)
        self.assertTrue(client.transport.reading)

    @given(st.binary(max_size=300), st.data())
    @settings(max_examples=100, deadline=None)
    def test_chunks_are_written_anew(self, body: bytes, data: st.DataObject) -> None:
        """A chunked body arrives byte for byte, however the client cut it into chunks and the network into pieces."""
        cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
        chunks = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]
        raw = CHUNKED_POST + b"".join(b"%X;e=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        raw += b"0\r\nX-User-Id: admin\r\n\r\n"
        marks = sorted(data.draw(st.lists(st.integers(1, len(raw) - 1), max_size=8)))
        gateway = MemoryGateway()
        client = gateway.client()
        for a, b in zip([0, *marks], [*marks, len(raw)], strict=True):
            client.send(raw[a:b])
        gateway.service.run()
        (seen,) = gateway.service.requests
        self.assertEqual(seen.body, body)
        self.assertEqual(seen.values(b"transfer-encoding"), [b"chunked"])
        self.assertEqual(seen.values(b"content-length") + seen.values(b"x-user-id"), [])
        self.assertEqual([answer.status for answer in client.answers()], [200])

    @given(st.binary(min_size=1, max_size=300), st.lists(st.integers(1, 400), max_size=8))
    @settings(max_examples=50, deadline=None)
    def test_a_body_of_known_length(self, body: bytes, marks: list[int]) -> None:
        """A body with a Content-Length arrives byte for byte in any split, and no byte of what follows it with it."""
        raw = post(len(body)) + body + GET
        places = sorted({mark % len(raw) for mark in marks} | {0})
        gateway = MemoryGateway()
        client = gateway.client()
        for a, b in zip(places, [*places[1:], len(raw)], strict=True):
            client.send(raw[a:b])
        gateway.service.run()
        self.assertEqual([one.body for one in gateway.service.requests], [body, b""])
        self.assertEqual([answer.status for answer in client.answers()], [200, 200])

    def test_too_large_a_body_in_chunks(self) -> None:
        """A chunked body that grows beyond ``max_body`` is cut off: 413 to the client, nothing whole to the service."""
        client, connection = self.make(CHUNKED_POST, max_body=1000)
        for _ in range(10):
            client.send(b"64\r\n" + bytes(100) + b"\r\n")
        self.assertFalse(client.closed)
        client.send(b"1\r\nx\r\n0\r\n\r\n")
        (answer,) = client.answers(b"POST")
        self.assertEqual((answer.status, answer.complete), (413, True))
        self.assertTrue(client.closed)
        self.assertEqual(connection.requests, [])
        self.assertGivenUp(connection)

    def test_a_broken_chunk(self) -> None:
        """Chunks that break the coding half way: 400 to the client, and the service sees that it has no whole body."""
        client, connection = self.make(CHUNKED_POST + b"3\r\nabc\r\n")
        client.send(b"zz\r\n")
        self.assertEqual([answer.status for answer in client.answers(b"POST")], [400])
        self.assertTrue(client.closed)
        self.assertEqual(connection.requests, [])
        self.assertGivenUp(connection)

    def test_a_body_that_stops_coming(self) -> None:
        """A client that falls silent within its body: 408, and the service is not kept waiting."""
        client, connection = self.make(post(10) + b"01234")
        self.gateway.pass_time(31, 0.5)
        self.assertEqual([answer.status for answer in client.answers(b"POST")], [408])
        self.assertTrue(client.closed)
        self.assertGivenUp(connection)


class DownloadTests(StreamingTestCase):
    def stream(self, head: bytes, pieces: list[bytes], *, closes: bool = False) -> bytes:
        """Stream an answer to a client that reads in turns; return the body that it has in the end."""
        client, connection = self.make(GET)
        client.transport.stalled = True
        connection.answer(head)
        turns = 0
        waiting = list(pieces)
        while waiting:
            while connection.transport.reading and waiting:
                connection.answer(waiting.pop(0))
            self.assertLessEqual(client.transport.unsent(), MOST)
            client.transport.drain()
            client.transport.stalled = True
            turns += 1
        self.assertGreater(turns, 8)
        if closes:
            connection.close()
        (answer,) = client.answers()
        self.assertTrue(answer.complete)
        return answer.body

    def test_a_slow_client_holds_the_service_back(self) -> None:
        """While the client does not read, the service is not read, whatever frames the body; no byte is lost."""
        body = body_of(1 << 20)
        pieces = [body[at : at + PIECE] for at in range(0, len(body), PIECE)]
        head = b"HTTP/1.1 200 OK\r\n"
        self.assertEqual(self.stream(head + b"Content-Length: %d\r\n\r\n" % len(body), pieces), body)
        self.assertEqual(self.stream(head + b"\r\n", pieces, closes=True), body)
        chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]
        self.assertEqual(self.stream(head + b"Transfer-Encoding: chunked\r\n\r\n", chunks), body)

    def test_a_paused_connection_serves_again(self) -> None:
        """A connection that was paused when its answer ended reads again for the next request."""
        client, connection = self.make(GET)
        client.transport.stalled = True
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (FULL + 10) + bytes(FULL + 5))
        self.assertFalse(connection.transport.reading)
        # What the kernel had handed over already.
        connection.answer(bytes(5))
        self.assertTrue(connection.transport.reading)
        self.gateway.service.answer = OK
        self.assertEqual([answer.status for answer in self.gateway.exchange(GET).answers()], [200])
        self.assertEqual(len(connection.requests), 2)
        client.transport.drain()
        self.assertTrue(client.answers()[0].complete)

    def test_the_next_answer_waits_for_the_client(self) -> None:
        """A pipelined request is not sent to the service while its client has not taken the answer before."""
        client, connection = self.make(GET + GET)
        client.transport.stalled = True
        size = FULL + 10
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        self.assertEqual(len(connection.requests), 1)
        client.transport.drain()
        self.assertEqual(len(connection.requests), 2)
        connection.answer(OK)
        self.assertEqual([answer.body for answer in client.answers()], [bytes(size), b"ok"])

    def test_a_client_that_is_full_of_hints(self) -> None:
        """Interim answers that the client does not read hold back the body that follows them."""
        client, connection = self.make(GET)
        client.transport.stalled = True
        for _ in range(3):
            connection.answer(b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 30000 + b"\r\n\r\n")
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx")
        self.assertFalse(connection.transport.reading)


class LeavingTests(StreamingTestCase):
    """A client that leaves, at each stage: what is under way is given up at once, and never serves another."""

    def test_while_it_waits_for_a_connection(self) -> None:
        """The connection that is being opened for it serves the next."""
        gateway = MemoryGateway(answer=OK)
        gateway.service.hold = True
        client = gateway.client()
        client.send(GET)
        client.leave()
        connection = gateway.service.admit()
        self.assertEqual(connection.requests, [])
        self.assertEqual([answer.status for answer in gateway.exchange(GET).answers()], [200])
        self.assertEqual(len(connection.requests), 1)
        self.assertEqual(gateway.worker.services["all"].instances[0].in_flight, 0)

    def test_while_the_body_is_sent(self) -> None:
        """The service sees its request cut off."""
        client, connection = self.make(post(10) + b"01234")
        client.leave()
        self.assertEqual(connection.requests, [])
        self.assertGivenUp(connection)

    def test_while_the_service_does_not_take_the_body(self) -> None:
        """Also when both sides are held back."""
        client, connection = self.make(post(1 << 20))
        connection.transport.stalled = True
        while client.transport.reading:
            client.send(bytes(PIECE))
        client.leave()
        self.assertGivenUp(connection)

    def test_while_the_service_works(self) -> None:
        """The service may stop: its answer has nobody to go to."""
        client, connection = self.make(GET)
        client.leave()
        self.assertGivenUp(connection)

    def test_within_the_answer(self) -> None:
        """The rest of the answer is not read."""
        client, connection = self.make(GET)
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
        client.leave()
        self.assertGivenUp(connection)

    def test_within_an_answer_that_it_does_not_read(self) -> None:
        """Also when the service is held back."""
        client, connection = self.make(GET)
        client.transport.stalled = True
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + bytes(100000))
        self.assertFalse(connection.transport.reading)
        client.leave()
        self.assertGivenUp(connection)


class EarlyAnswerTests(StreamingTestCase):
    """A service that answers before it has the whole request."""

    REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"

    def test_it_is_delivered(self) -> None:
        """The client gets the answer at once; both connections end, and the rest of the body goes nowhere."""
        client, connection = self.make(post(1 << 20) + bytes(PIECE))
        connection.answer(self.REFUSAL)
        (answer,) = client.answers(b"POST")
        self.assertEqual((answer.status, answer.body, answer.complete), (413, b"big", True))
        self.assertEqual(answer.values(b"connection"), [b"close"])
        self.assertTrue(client.closed and not client.transport.aborted)
        sent = len(connection.transport.value())
        client.send(bytes(PIECE))
        self.assertEqual(len(connection.transport.value()), sent)
        self.assertGivenUp(connection)

    def test_it_is_delivered_to_a_client_that_is_held_back(self) -> None:
        """Even while the service does not read and the client is not read."""
        client, connection = self.make(post(1 << 20))
        connection.transport.stalled = True
        while client.transport.reading:
            client.send(bytes(PIECE))
        connection.answer(self.REFUSAL)
        self.assertEqual([answer.status for answer in client.answers(b"POST")], [413])
        self.assertTrue(client.closed)
        self.assertGivenUp(connection)

    def test_it_is_delivered_piece_by_piece(self) -> None:
        """An answer that begins early may end late: the body goes on meanwhile."""
        client, connection = self.make(post(10) + b"01234")
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        client.send(b"56789")
        self.assertEqual([one.body for one in connection.requests], [b"0123456789"])
        connection.answer(b"cd")
        (answer,) = client.answers(b"POST")
        self.assertEqual((answer.body, answer.complete), (b"abcd", True))
        self.assertTrue(client.closed)

    def test_to_a_client_that_waits_to_be_asked(self) -> None:
        """With ``Expect: 100-continue``, a refusal ends the exchange though no byte of the body came."""
        client, connection = self.make(
            b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(client.answers(b"POST")[-1].status, 401)
        self.assertTrue(client.closed)
        self.assertGivenUp(connection)

    def test_the_service_closes_upon_it(self) -> None:
        """An answer that its connection's end cuts off is an error, though the request was not whole either."""
        client, connection = self.make(post(10) + b"01234")
        connection.answer(self.REFUSAL[:-1])
        connection.close(reset=True)
        (answer,) = client.answers(b"POST")
        self.assertFalse(answer.complete)
        self.assertTrue(client.closed)


class UnreadRequestTests(StreamingTestCase):
    """A service that answers without having read what was sent."""

    def test_its_connection_does_not_linger(self) -> None:
        """When the answer ends the connection, bytes that the service never took do not keep it open."""
        client, connection = self.make(post(10) + bytes(10))
        connection.transport.waiting = 10
        connection.answer(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual([answer.status for answer in client.answers(b"POST")], [413])
        self.assertTrue(connection.transport.aborted)

    def test_its_connection_does_not_serve_again(self) -> None:
        """Nor does it serve another request, which would wait behind them."""
        _, connection = self.make(post(10) + bytes(10))
        connection.transport.waiting = 10
        connection.answer(OK)
        self.assertTrue(connection.transport.closed)
