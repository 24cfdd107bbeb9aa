"""Attempts: which failures are answered by a further attempt, and that no request acts twice."""

from __future__ import annotations

from typing import get_args

from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryClient, MemoryGateway, ServiceConnection
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.upstream import Balance, Connections, Instance
from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.upstream.retry import IDEMPOTENT

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def request(method: bytes, body: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%b /x HTTP/1.1\r\nHost: a\r\n%b\r\n%b" % (method, length, body)


class AttemptTestCase(SynchronousTestCase):
    """A gateway before several instances, on ports 9001 and following."""

    def make(self, count: int = 1, *, max_connections: int = 256, balance: str = "round_robin") -> None:
        self.gateway = MemoryGateway(
            answer=None,
            balance=balance,
            instances=tuple(Instance(f"http://127.0.0.1:{9001 + index}") for index in range(count)),
            connections=Connections(max=max_connections, idle_seconds=Seconds(60.0)),
        )
        self.service = self.gateway.service
        self.instances = self.gateway.worker.services["all"].instances

    def ask(self, data: bytes = GET) -> MemoryClient:
        client = self.gateway.client()
        client.send(data)
        return client

    def warm(self, count: int = 1) -> list[ServiceConnection]:
        """Leave so many connections in the pool that have served before."""
        for _ in range(count):
            self.ask()
        for connection in self.service.connections:
            connection.answer(OK)
        self.service.requests.clear()
        self.service.attempts.clear()
        return list(self.service.connections)

    def assertAnswer(self, client: MemoryClient, status: int, proxy_status: bytes | None = None) -> None:
        (answer,) = client.answers()
        expected = [] if proxy_status is None else [b"tracseq-gateway; error=" + proxy_status]
        self.assertEqual((answer.status, answer.values(b"proxy-status")), (status, expected))
        self.assertTrue(answer.complete)

    def assertAtRest(self) -> None:
        """No request is under way, and no pool believes that one is."""
        self.service.run()
        for instance in self.instances:
            self.assertEqual(instance.in_flight, 0)
            self.assertRegex(repr(instance.pool), "0 busy, [0-9]+ idle, 0 opening, 0 waiting")
        self.assertEqual(self.gateway.worker.site.active, 0)

    @property
    def ports(self) -> list[int]:
        """The ports that were tried, in order."""
        return [port for _, port in self.service.attempts]


class OtherInstanceTests(AttemptTestCase):
    def test_another_instance_is_tried(self) -> None:
        """A connection that cannot be opened sends the request to another instance, whatever the method."""
        for method in (b"GET", b"POST", b"PATCH", b"DELETE"):
            self.make(2)
            self.service.failures[9001] = ConnectionRefusedError()
            client = self.ask(request(method, b"body"))
            self.assertEqual(self.ports, [9001, 9002])
            self.assertEqual([(one.method, one.body) for one in self.service.requests], [(method, b"body")])
            self.service.connections[0].answer(OK)
            self.assertAnswer(client, 200)
            self.assertAtRest()

    def test_each_at_most_once(self) -> None:
        """When none can be reached, each has been tried once, and the last error is told."""
        self.make(4)
        self.service.failures = {port: ConnectionRefusedError() for port in (9001, 9002, 9003)}
        self.service.failures[9004] = DNSLookupError()
        client = self.ask()
        self.assertEqual(sorted(self.ports), [9001, 9002, 9003, 9004])
        self.assertAnswer(client, 502, b"dns_error" if self.ports[-1] == 9004 else b"connection_refused")
        self.assertAtRest()

    def test_kinds_of_failure(self) -> None:
        """Refused, unknown and unreachable are 502, too slow is 504; each has its own Proxy-Status."""
        for failure, status, proxy_status in (
            (ConnectionRefusedError(), 502, b"connection_refused"),
            (TimeoutError(), 504, b"connection_timeout"),
            (DNSLookupError(), 502, b"dns_error"),
            (ConnectError(), 502, b"destination_ip_unroutable"),
        ):
            self.make()
            self.service.failures[9001] = failure
            client = self.ask()
            self.assertAnswer(client, status, proxy_status)
            self.assertFalse(client.closed)
            self.assertAtRest()

    def test_an_unhealthy_instance_is_not_tried(self) -> None:
        """Not even when the others cannot be reached."""
        self.make(3)
        self.gateway.worker.update_instances([InstanceHealth("all", "http://127.0.0.1:9002", "unhealthy")])
        self.service.failures = {9001: ConnectionRefusedError(), 9003: ConnectionRefusedError()}
        client = self.ask()
        self.assertEqual(sorted(self.ports), [9001, 9003])
        self.assertAnswer(client, 502, b"connection_refused")

    def test_a_body_that_comes_later(self) -> None:
        """The instance that is reached in the end gets the whole body, though it came while others were tried."""
        self.make(2)
        self.service.hold = True
        client = self.ask(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01")
        client.send(b"2345")
        self.service.turn_away(ConnectionRefusedError())
        self.assertEqual(self.ports, [9001, 9002])
        connection = self.service.admit()
        client.send(b"6789")
        self.assertEqual([one.body for one in connection.requests], [b"0123456789"])
        connection.answer(OK)
        self.assertAnswer(client, 200)
        self.assertAtRest()

    def test_one_of_three_refuses(self) -> None:
        """Whatever the policy, the others share what the one that refuses cannot take."""
        for policy in get_args(Balance):
            if policy != "consistent_hash":  # one client is one key, and goes to one instance
                self.one_refuses(policy)

    def one_refuses(self, policy: str) -> None:
        self.make(3, balance=policy)
        self.service.failures[9001] = ConnectionRefusedError()
        self.service.answer = OK
        reached = {9002: 0, 9003: 0}
        for _ in range(60):
            before = len(self.service.attempts)
            client = self.gateway.exchange(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            self.assertAnswer(client, 200)
            for connection in self.service.connections:
                connection.close()
            reached[self.ports[-1]] += 1
            self.assertLessEqual(len(self.service.attempts) - before, 2)
        self.assertGreaterEqual(min(reached.values()), 20, f"{policy}: {reached}")

    def test_an_instance_by_its_ipv6_address(self) -> None:
        """Is connected to without the brackets, and named with them."""
        gateway = MemoryGateway(instances=(Instance("http://[::1]:9001"),), host_header="upstream")
        self.assertAnswer(gateway.exchange(GET), 200)
        self.assertEqual(gateway.service.attempts, [("::1", 9001)])
        self.assertEqual(gateway.service.requests[0].values(b"host"), [b"[::1]:9001"])


class StaleConnectionTests(AttemptTestCase):
    def test_idempotent_requests_are_repeated(self) -> None:
        """A kept connection that turns out closed: the request goes once more, on a new connection."""
        for method in sorted(IDEMPOTENT):
            for reset in (False, True):
                self.make()
                (stale,) = self.warm()
                client = self.ask(request(method))
                stale.close(reset=reset)
                self.assertEqual(len(self.service.connections), 2)
                first, second = self.service.requests
                self.assertEqual((first.method, first.target), (second.method, second.target))
                self.assertEqual(first.fields, second.fields)
                self.service.connections[1].answer(b"HTTP/1.1 204 No Content\r\n\r\n")
                self.assertAnswer(client, 204)
                self.assertAtRest()

    def test_others_are_not(self) -> None:
        """POST and PATCH may have acted: 502, and nothing is sent again."""
        for method in (b"POST", b"PATCH"):
            self.make(2)
            stale, _ = self.warm(2)
            client = self.ask(request(method, b"body"))
            stale.close()
            self.assertAnswer(client, 502, b"connection_terminated")
            self.assertEqual(len(self.service.requests), 1)
            self.assertEqual(len(self.service.connections), 2)
            self.assertAtRest()

    def test_a_whole_body_goes_along(self) -> None:
        """A PUT whose body was whole when it was sent is repeated with its body."""
        self.make()
        (stale,) = self.warm()
        client = self.ask(request(b"PUT", b"body"))
        stale.close()
        self.assertEqual([one.body for one in self.service.requests], [b"body", b"body"])
        self.service.connections[1].answer(OK)
        self.assertAnswer(client, 200)

    def test_a_whole_chunked_body_goes_along(self) -> None:
        """So is a chunked one, in chunks."""
        self.make()
        (stale,) = self.warm()
        client = self.ask(b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        stale.close()
        self.assertEqual([one.body for one in self.service.requests], [b"abc", b"abc"])
        self.service.connections[1].answer(OK)
        self.assertAnswer(client, 200)

    def test_a_streamed_body_goes_along(self) -> None:
        """So does one that was still coming, as far as it had come, and what comes after it."""
        for later in (b"56789", b""):
            self.make()
            (stale,) = self.warm()
            client = self.ask(b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
            if not later:
                client.send(b"56789")
            stale.close()
            client.send(later)
            self.assertEqual([one.body for one in self.service.connections[1].requests], [b"0123456789"])
            self.service.connections[1].answer(OK)
            self.assertAnswer(client, 200)
            self.assertAtRest()

    def test_a_large_body_is_gone(self) -> None:
        """A body larger than what is kept cannot be sent again: 502."""
        self.make()
        (stale,) = self.warm()
        client = self.ask(b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + b"x" * 100)
        client.send(b"x" * 65437)
        stale.close()
        self.assertAnswer(client, 502, b"connection_terminated")
        self.assertEqual(len(self.service.connections), 1)
        self.assertAtRest()

    def test_once(self) -> None:
        """When the new connection is closed as well, that is the answer."""
        self.make()
        (stale,) = self.warm()
        client = self.ask()
        stale.close()
        self.service.connections[1].close()
        self.assertAnswer(client, 502, b"connection_terminated")
        self.assertEqual(len(self.service.connections), 2)
        self.assertAtRest()

    def test_on_a_new_connection_only(self) -> None:
        """Another kept connection may be as stale: it is left alone."""
        self.make()
        connections = self.warm(3)
        client = self.ask()
        (stale,) = [one for one in connections if len(one.requests) == 2]
        stale.close()
        self.assertEqual(len(self.service.connections), 4)
        self.service.connections[3].answer(OK)
        self.assertAnswer(client, 200)

    def test_on_a_new_connection_though_a_kept_one_comes_back(self) -> None:
        """While the new connection is opened, a kept one that is given back is not taken for it."""
        self.make()
        stale, kept = self.warm(2)
        other, client = self.ask(), self.ask()
        self.service.hold = True
        stale.close()
        self.assertEqual(len(self.service.held), 1)
        kept.answer(OK)
        self.assertAnswer(other, 200)
        self.assertEqual(len(kept.requests), 2)
        self.service.admit().answer(OK)
        self.assertAnswer(client, 200)
        self.assertAtRest()

    def test_a_byte_of_an_answer_is_an_answer(self) -> None:
        """A service that began to answer has the request: it is not repeated."""
        for beginning in (b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n", OK[:-1]):
            self.make()
            (stale,) = self.warm()
            client = self.ask()
            stale.answer(beginning)
            stale.close()
            final = client.answers()[-1]
            self.assertTrue(final.status == 502 or not final.complete)
            self.assertEqual(len(self.service.connections), 1)
            self.assertAtRest()

    def test_a_new_connection_is_not_stale(self) -> None:
        """A connection that is closed at its first request has failed it: not repeated."""
        self.make()
        client = self.ask()
        self.service.connections[0].close()
        self.assertAnswer(client, 502, b"connection_terminated")
        self.assertEqual(len(self.service.connections), 1)
        self.assertAtRest()

    def test_a_timeout_is_no_reason(self) -> None:
        """A service that is silent on a kept connection may be at work: 504, not repeated."""
        self.make()
        self.warm()
        client = self.ask()
        self.gateway.pass_time(31, 0.5)
        self.assertAnswer(client, 504, b"http_response_timeout")
        self.assertEqual(len(self.service.connections), 1)
        self.assertAtRest()

    def test_the_new_connection_cannot_be_opened(self) -> None:
        """Then another instance may have the request."""
        self.make(2)
        stale, _ = self.warm(2)
        client = self.ask()
        self.service.failures[9001] = ConnectionRefusedError()
        stale.close()
        self.assertEqual(self.ports, [9001])
        self.service.connections[1].answer(OK)
        self.assertAnswer(client, 200)
        self.assertAtRest()

    def test_the_client_leaves_meanwhile(self) -> None:
        """A client that leaves while the new connection is opened is not waited for."""
        self.make()
        (stale,) = self.warm()
        client = self.ask()
        self.service.hold = True
        stale.close()
        client.leave()
        self.service.admit()
        self.assertEqual(len(self.service.requests), 1)
        self.assertAtRest()


class QueueingTests(AttemptTestCase):
    def test_clients_wait_for_a_connection(self) -> None:
        """Requests beyond the connections of an instance wait and are served in their order."""
        self.make(max_connections=1)
        clients = [self.ask() for _ in range(3)]
        (connection,) = self.service.connections
        for client in clients:
            self.assertEqual(client.received, b"")
            connection.answer(OK)
            self.assertAnswer(client, 200)
        self.assertAtRest()

    def test_who_waits_too_long(self) -> None:
        """Is told 503 with Retry-After; he keeps his connection."""
        self.make(max_connections=1)
        self.ask()
        client = self.ask()
        self.gateway.pass_time(5.2)
        self.assertAnswer(client, 503, b"connection_limit_reached")
        self.assertEqual(client.answers()[0].values(b"retry-after"), [b"1"])
        self.assertFalse(client.closed)

    def test_who_leaves_while_he_waits(self) -> None:
        """Is not served; the next one is."""
        self.make(max_connections=1)
        self.ask()
        second, third = self.ask(), self.ask()
        second.leave()
        (connection,) = self.service.connections
        connection.answer(OK)
        connection.answer(OK)
        self.assertAnswer(third, 200)
        self.assertEqual(second.received, b"")
        self.assertEqual(len(self.service.requests), 2)
        self.assertAtRest()

    def test_a_failed_attempt_strands_nobody(self) -> None:
        """When the only place is freed by an attempt that fails, the next in the queue gets it at once."""
        self.make(max_connections=1)
        self.service.hold = True
        first, second = self.ask(), self.ask()
        self.service.turn_away(ConnectionRefusedError())
        self.assertAnswer(first, 502, b"connection_refused")
        self.assertEqual(len(self.service.held), 1)
        self.service.admit().answer(OK)
        self.assertAnswer(second, 200)
        self.assertAtRest()

    def test_requests_that_come_at_once_are_not_a_queue(self) -> None:
        """With ``queue = 0``, as many requests are served at once as there may be connections."""
        self.gateway = MemoryGateway(answer=OK, connections=Connections(max=2, queue=0))
        client = self.gateway.exchange(GET)
        self.assertAnswer(client, 200)
