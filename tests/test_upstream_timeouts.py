"""Time-outs towards a service: each stage has its own, and each is told by its own error."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryClient, MemoryGateway, ServiceConnection
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.upstream import Connections, Timeouts

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
PARTIAL = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789"


def limits(**seconds: float) -> Timeouts:
    """Time-outs of which only the named ones are set."""
    none = {"connect": 0.0, "response": 0.0, "idle": 0.0, "events": 0.0, "total": 0.0}
    return Timeouts(**{name: Seconds(value) for name, value in {**none, **seconds}.items()})


class TimeoutTestCase(SynchronousTestCase):
    def make(self, timeouts: Timeouts, data: bytes = GET, **settings: Any) -> tuple[MemoryClient, ServiceConnection]:
        self.gateway = MemoryGateway(answer=None, timeouts=timeouts, **settings)
        client = self.gateway.client()
        client.send(data)
        return client, self.gateway.service.connections[0]

    def assertTimedOut(self, client: MemoryClient, connection: ServiceConnection, proxy_status: bytes) -> None:
        """The client has a whole 504 that says which time-out it was, and the connection is cut."""
        *_, answer = client.answers()
        self.assertEqual((answer.status, answer.complete), (504, True))
        self.assertEqual(answer.values(b"proxy-status"), [b"tracseq-gateway; error=" + proxy_status])
        self.assertOver(connection)

    def assertCut(self, client: MemoryClient, connection: ServiceConnection) -> None:
        """The client sees that its answer is not whole."""
        (answer,) = client.answers()
        self.assertEqual((answer.status, answer.complete, client.closed), (200, False, True))
        self.assertOver(connection)

    def assertOver(self, connection: ServiceConnection) -> None:
        self.assertTrue(connection.transport.aborted or connection.lost)
        self.assertEqual(self.gateway.worker.services["all"].instances[0].in_flight, 0)


class ResponseTimeoutTests(TimeoutTestCase):
    def test_silence(self) -> None:
        """A service that does not answer within ``response`` is given up: 504, and the client may go on."""
        client, connection = self.make(limits(response=30))
        self.gateway.pass_time(29.8)
        self.assertEqual(client.received, b"")
        self.gateway.pass_time(0.4)
        self.assertTimedOut(client, connection, b"http_response_timeout")
        self.assertFalse(client.closed)

    def test_it_begins_with_the_end_of_the_request(self) -> None:
        """The time in which the client sends its body does not count."""
        client, connection = self.make(
            limits(response=30), b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n0"
        )
        for byte in (b"1", b"2"):
            self.gateway.pass_time(20)
            client.send(byte)
        self.gateway.pass_time(29.8)
        self.assertEqual(client.received, b"")
        self.gateway.pass_time(0.4)
        self.assertTimedOut(client, connection, b"http_response_timeout")

    def test_a_head_must_end(self) -> None:
        """A head that comes bit by bit does not move the end of the time."""
        client, connection = self.make(limits(response=10))
        for byte in b"HTTP/1.1 200 OK":
            connection.answer(bytes((byte,)))
            self.gateway.pass_time(1)
        self.assertTimedOut(client, connection, b"http_response_timeout")

    def test_interim_answers_gain_no_time(self) -> None:
        """Nor do interim answers."""
        client, connection = self.make(limits(response=10))
        for _ in range(11):
            connection.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            self.gateway.pass_time(1)
        self.assertTimedOut(client, connection, b"http_response_timeout")

    def test_it_is_over_with_the_head(self) -> None:
        """Once the head is there, the answer has its own time."""
        client, connection = self.make(limits(response=10))
        connection.answer(PARTIAL)
        self.gateway.pass_time(60, 0.5)
        connection.answer(bytes(90))
        self.assertTrue(client.answers()[0].complete)

    def test_each_request_has_its_own(self) -> None:
        """A request on a kept connection has the whole time again, and none is left over when it is answered."""
        client, connection = self.make(limits(response=10), connections=Connections(idle_seconds=Seconds(60.0)))
        self.gateway.pass_time(9)
        connection.answer(OK)
        client.send(GET)
        self.gateway.pass_time(9)
        connection.answer(OK)
        self.gateway.pass_time(20)
        client.send(GET)
        connection.answer(OK)
        self.assertEqual([answer.status for answer in client.answers()], [200, 200, 200])

    def test_an_idle_time_is_none_for_the_next_answer(self) -> None:
        """The time after which an unused connection is closed does not run on while it is used."""
        client, connection = self.make(limits(), connections=Connections(idle_seconds=Seconds(4.0)))
        connection.answer(OK)
        self.gateway.pass_time(3)
        client.send(GET)
        self.gateway.pass_time(30)
        connection.answer(OK)
        self.assertEqual([answer.status for answer in client.answers()], [200, 200])

    def test_an_idle_time_is_none_for_the_next_upload(self) -> None:
        """Nor while a body is sent on it, however slowly."""
        client, connection = self.make(limits(), connections=Connections(idle_seconds=Seconds(4.0)))
        connection.answer(OK)
        self.gateway.pass_time(3)
        client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n0")
        for byte in (b"1", b"2"):
            self.gateway.pass_time(10)
            client.send(byte)
        connection.answer(OK)
        self.assertEqual([answer.status for answer in client.answers()], [200, 200])

    def test_no_limit(self) -> None:
        """0 means that the service may take for ever."""
        client, connection = self.make(limits())
        self.gateway.pass_time(3600, 10)
        connection.answer(PARTIAL)
        self.gateway.pass_time(3600, 10)
        connection.answer(bytes(90))
        self.assertTrue(client.answers()[0].complete)


class IdleTimeoutTests(TimeoutTestCase):
    def test_silence_within_the_answer(self) -> None:
        """A service that falls silent within its answer is given up: the client's connection is cut."""
        client, connection = self.make(limits(idle=60))
        connection.answer(PARTIAL)
        self.gateway.pass_time(59.8)
        self.assertFalse(client.closed)
        self.gateway.pass_time(0.4)
        self.assertCut(client, connection)

    def test_every_piece_gains_time(self) -> None:
        """A slow answer may take as long as it likes."""
        client, connection = self.make(limits(idle=60))
        connection.answer(PARTIAL)
        for _ in range(90):
            self.gateway.pass_time(50, 5)
            connection.answer(b"x")
        self.assertTrue(client.answers()[0].complete)

    def test_in_chunks(self) -> None:
        """A chunked answer as well, whether or not a piece brings a byte of the body."""
        client, connection = self.make(limits(idle=60))
        connection.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for byte in b"3;name=value\r\nabc\r\n0\r\n\r\n":
            self.gateway.pass_time(50, 5)
            connection.answer(bytes((byte,)))
        (answer,) = client.answers()
        self.assertEqual((answer.body, answer.complete), (b"abc", True))

    def test_events(self) -> None:
        """A stream of events may be silent for longer, and what is sent to show that it lives counts."""
        client, connection = self.make(limits(response=5, idle=60, events=300))
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream;charset=utf-8\r\n\r\n")
        for _ in range(3):
            self.gateway.pass_time(290, 5)
            connection.answer(b": still here\n\n")
        self.assertFalse(client.closed)
        self.assertEqual(client.answers()[0].body, b": still here\n\n" * 3)
        self.gateway.pass_time(310, 5)
        self.assertCut(client, connection)

    def test_events_end_with_their_reader(self) -> None:
        """Who leaves a stream of events ends the request to the service at once."""
        client, connection = self.make(limits())
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        client.leave()
        self.assertOver(connection)

    def test_a_slow_client_is_not_the_service(self) -> None:
        """While the client holds the service back, the service's time does not run; afterwards it has all of it."""
        client, connection = self.make(limits(idle=10))
        client.transport.stalled = True
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(90000))
        self.gateway.pass_time(50)
        client.transport.drain()
        self.gateway.pass_time(9.8)
        connection.answer(bytes(10000))
        self.assertTrue(client.answers()[0].complete)

    def test_after_a_slow_client_it_runs_again(self) -> None:
        """A service that stays silent when it may speak again is given up."""
        client, connection = self.make(limits(idle=10))
        client.transport.stalled = True
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(90000))
        client.transport.drain()
        self.gateway.pass_time(10.2)
        self.assertCut(client, connection)

    def test_a_service_that_does_not_take_the_request(self) -> None:
        """A service that stops reading the request is given up: 504, and the client is told though it still sends."""
        client, connection = self.make(
            limits(idle=60), b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
        )
        connection.transport.stalled = True
        while client.transport.reading:
            client.send(bytes(32768))
        self.gateway.pass_time(59.8)
        self.assertEqual(client.received, b"")
        self.gateway.pass_time(0.4)
        self.assertTimedOut(client, connection, b"connection_write_timeout")
        self.assertTrue(client.closed)

    def test_a_service_that_takes_the_request_slowly(self) -> None:
        """Each time that it has taken what waited, it has the whole time again."""
        client, connection = self.make(
            limits(idle=60), b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
        )
        for _ in range(5):
            connection.transport.stalled = True
            while client.transport.reading:
                client.send(bytes(32768))
            self.gateway.pass_time(50, 0.5)
            connection.transport.drain()
        self.assertFalse(client.closed)
        # Now it is the client's turn: its own time runs.
        self.gateway.pass_time(31, 0.5)
        self.assertEqual([answer.status for answer in client.answers(b"POST")], [408])


class TotalTimeoutTests(TimeoutTestCase):
    def test_waiting_for_a_connection(self) -> None:
        """The total time runs while a connection is opened."""
        self.gateway = MemoryGateway(answer=None, timeouts=limits(total=3))
        self.gateway.service.hold = True
        client = self.gateway.client()
        client.send(GET)
        self.gateway.pass_time(3.2)
        (answer,) = client.answers()
        self.assertEqual(answer.status, 504)
        self.assertEqual(self.gateway.service.admit().requests, [])

    def test_sending_and_waiting(self) -> None:
        """It runs while the request is sent and while the service works."""
        client, connection = self.make(
            limits(response=10, total=15), b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n0"
        )
        self.gateway.pass_time(8)
        client.send(b"1")
        self.gateway.pass_time(6.8)
        self.assertEqual(client.received, b"")
        self.gateway.pass_time(0.4)
        self.assertTimedOut(client, connection, b"http_response_timeout")

    def test_within_the_body(self) -> None:
        """It cuts an answer that is still coming, however lively."""
        client, connection = self.make(limits(idle=60, total=30))
        connection.answer(PARTIAL)
        for _ in range(31):
            self.gateway.pass_time(1)
            connection.answer(b"x")
        self.assertCut(client, connection)

    def test_while_the_client_still_sends(self) -> None:
        """The client is told though its body is not whole."""
        client, connection = self.make(limits(total=5), b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n0")
        self.gateway.pass_time(5.2)
        self.assertTimedOut(client, connection, b"http_response_timeout")
        self.assertTrue(client.closed)

    def test_it_ends_with_the_exchange(self) -> None:
        """An exchange that is over has no time left to run out: not for the next one on the same connections."""
        client, connection = self.make(limits(total=5), connections=Connections(idle_seconds=Seconds(60.0)))
        connection.answer(OK)
        self.gateway.pass_time(4)
        client.send(GET)
        self.gateway.pass_time(4)
        connection.answer(OK)
        self.assertEqual([answer.status for answer in client.answers()], [200, 200])
        self.gateway.pass_time(10)
        self.assertEqual(len(client.answers()), 2)
        self.assertFalse(connection.transport.closed)
