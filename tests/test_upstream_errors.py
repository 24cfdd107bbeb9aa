"""What a client is told when a service fails it, and what both sides are told of the gateway."""

from __future__ import annotations

import json
from collections.abc import Callable

from attrs import frozen
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, Answer, MemoryClient, MemoryGateway
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.model import Gateway
from tracseq_gateway.config.upstream import Connections, Timeouts
from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.upstream import exchange

Spoil = Callable[[MemoryGateway, MemoryClient, bytes], None]
"""Sends a request (the bytes) and sees to it that the service fails."""


@frozen
class Failure:
    """A failure: how it comes about, and what the client sees of it."""

    spoil: Spoil
    status: int
    slug: str
    proxy_status: bytes
    retry_after: bool = False


def cannot_connect(reason: Exception) -> Spoil:
    def spoil(gateway: MemoryGateway, client: MemoryClient, request: bytes) -> None:
        gateway.service.failures[9001] = reason
        client.send(request)

    return spoil


def answers(data: bytes, *, closes: bool = False) -> Spoil:
    def spoil(gateway: MemoryGateway, client: MemoryClient, request: bytes) -> None:
        client.send(request)
        if data:
            gateway.service.connections[-1].answer(data)
        if closes:
            gateway.service.connections[-1].close()

    return spoil


def is_sick(gateway: MemoryGateway, client: MemoryClient, request: bytes) -> None:
    gateway.worker.update_instances([InstanceHealth("all", "http://127.0.0.1:9001", "unhealthy")])
    client.send(request)


def has_no_room(gateway: MemoryGateway, client: MemoryClient, request: bytes) -> None:
    for _ in range(2):
        gateway.client().send(request)
    client.send(request)


def keeps_waiting(gateway: MemoryGateway, client: MemoryClient, request: bytes) -> None:
    gateway.client().send(request)
    client.send(request)
    gateway.pass_time(3.2)


def is_silent(gateway: MemoryGateway, client: MemoryClient, request: bytes) -> None:
    client.send(request)
    gateway.pass_time(10.2)


LARGE_HEAD = b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 70000 + b"\r\n\r\n"
MANY_FIELDS = b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 300 + b"\r\n"

FAILURES = {
    "no healthy instance": Failure(is_sick, 503, "no-instance", b"destination_unavailable", True),
    "queue full": Failure(has_no_room, 503, "queue-full", b"connection_limit_reached", True),
    "queue time-out": Failure(keeps_waiting, 503, "queue-timeout", b"connection_limit_reached", True),
    "refused": Failure(cannot_connect(ConnectionRefusedError()), 502, "connect-refused", b"connection_refused"),
    "connect time-out": Failure(cannot_connect(TimeoutError()), 504, "connect-timeout", b"connection_timeout"),
    "unknown name": Failure(cannot_connect(DNSLookupError()), 502, "name-error", b"dns_error"),
    "unreachable": Failure(cannot_connect(ConnectError()), 502, "connect-failed", b"destination_ip_unroutable"),
    "closed": Failure(answers(b"", closes=True), 502, "closed-early", b"connection_terminated"),
    "broken off": Failure(answers(b"HTTP/1.1 200", closes=True), 502, "incomplete-answer", b"http_response_incomplete"),
    "nonsense": Failure(answers(b"nonsense"), 502, "bad-answer", b"http_protocol_error"),
    "large head": Failure(answers(LARGE_HEAD), 502, "answer-head-too-large", b"http_response_header_section_size"),
    "many fields": Failure(answers(MANY_FIELDS), 502, "answer-head-too-large", b"http_response_header_section_size"),
    "silence": Failure(is_silent, 504, "response-timeout", b"http_response_timeout"),
}


class ProblemTests(SynchronousTestCase):
    def answer_to(self, failure: Failure, request: bytes) -> Answer:
        """Let the request fail; return the answer."""
        gateway = MemoryGateway(
            answer=None,
            timeouts=Timeouts(response=Seconds(10.0)),
            connections=Connections(max=1 if "queue" in failure.slug else 8, queue=1, queue_seconds=Seconds(3.0)),
        )
        client = gateway.client()
        failure.spoil(gateway, client, request)
        self.assertFalse(client.closed)
        return client.answers(request.partition(b" ")[0])[-1]

    def test_each(self) -> None:
        """Every failure has its status, its Proxy-Status (RFC 9209) and a problem document (RFC 9457)."""
        for name, failure in FAILURES.items():
            answer = self.answer_to(failure, b"GET /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-1\r\n\r\n")
            document = json.loads(answer.body)
            self.assertEqual(answer.status, failure.status, name)
            self.assertEqual(answer.values(b"content-type"), [b"application/problem+json"], name)
            self.assertEqual(answer.values(b"proxy-status"), [b"tracseq-gateway; error=" + failure.proxy_status], name)
            self.assertEqual(len(answer.values(b"retry-after")), int(failure.retry_after), name)
            self.assertEqual(answer.values(b"cache-control"), [b"no-store"], name)
            self.assertEqual(answer.values(b"x-request-id"), [b"id-1"], name)
            self.assertEqual(document["type"], f"urn:tracseq:problem:{failure.slug}", name)
            self.assertEqual((document["status"], document["request_id"]), (failure.status, "id-1"), name)
            self.assertTrue(document["title"] and document["detail"], name)
            self.assertNotIn("127.0.0.1", str(document), name)
            self.assertNotIn("9001", str(document), name)

    def test_head(self) -> None:
        """To HEAD the same is said, without the document."""
        for name, failure in FAILURES.items():
            answer = self.answer_to(failure, b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual((answer.status, answer.body), (failure.status, b""), name)
            self.assertEqual(answer.values(b"proxy-status"), [b"tracseq-gateway; error=" + failure.proxy_status], name)

    def test_the_connection_goes_on(self) -> None:
        """A service's failure costs the client no connection: the next request on it is answered."""
        for failure in (FAILURES["refused"], FAILURES["nonsense"], FAILURES["silence"]):
            gateway = MemoryGateway(answer=None, timeouts=Timeouts(response=Seconds(10.0)))
            client = gateway.client()
            request = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
            failure.spoil(gateway, client, request)
            gateway.service.failures.clear()
            gateway.service.answer = OK
            client.send(request)
            gateway.service.run()
            self.assertEqual([answer.status for answer in client.answers()], [failure.status, 200])

    def test_a_pseudonym(self) -> None:
        """Proxy-Status and Via have the name that the configuration gives."""
        gateway = MemoryGateway(gateway=Gateway(via="lab-7"))
        good = gateway.exchange(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").answers()[0]
        self.assertEqual(good.values(b"via"), [b"1.1 lab-7"])
        self.assertEqual(gateway.service.requests[0].values(b"via"), [b"1.1 lab-7"])
        gateway.service.failures[9001] = ConnectionRefusedError()
        gateway.service.connections[0].close()
        bad = gateway.exchange(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").answers()[0]
        self.assertEqual(bad.values(b"proxy-status"), [b"lab-7; error=connection_refused"])


class OwnFaultTests(SynchronousTestCase):
    def test_a_fault_of_ours_leaves_nothing_behind(self) -> None:
        """An exception while a request is passed on is 500, logged once; the instance counts it no longer."""
        gateway = MemoryGateway()
        gateway.exchange(b"GET /warm HTTP/1.1\r\nHost: a\r\n\r\n")

        def fail(*arguments: object) -> bytes:
            raise ValueError("a fault")

        self.patch(exchange, "request_head", fail)
        client = gateway.exchange(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual([answer.status for answer in client.answers()], [500])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        (instance,) = gateway.worker.services["all"].instances
        self.assertEqual((instance.in_flight, gateway.worker.site.active), (0, 0))
        self.assertIn("0 busy, 0 idle", repr(instance.pool))


class RequestIdTests(SynchronousTestCase):
    def ids(self, *fields: bytes) -> tuple[list[bytes], list[bytes]]:
        """What the service and the client are told."""
        gateway = MemoryGateway()
        lines = b"".join(field + b"\r\n" for field in fields)
        client = gateway.exchange(b"GET /x HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
        return gateway.service.requests[0].values(b"x-request-id"), client.answers()[0].values(b"x-request-id")

    def test_the_clients_own(self) -> None:
        """A good id goes to the service and comes back."""
        self.assertEqual(self.ids(b"X-Request-Id: a.b_c-9"), ([b"a.b_c-9"], [b"a.b_c-9"]))

    def test_made_where_there_is_none(self) -> None:
        """Without a good one there is a new one, 32 hex digits long, the same for both."""
        for fields in ((), (b"X-Request-Id: a b",), (b"X-Request-Id: " + b"a" * 129,), (b"X-Request-Id: a",) * 2):
            sent, returned = self.ids(*fields)
            self.assertEqual(sent, returned)
            self.assertEqual(len(sent), 1)
            self.assertRegex(sent[0], rb"^[0-9a-f]{32}$")

    def test_no_two_alike(self) -> None:
        """Each request has its own."""
        self.assertEqual(len({self.ids()[0][0] for _ in range(50)}), 50)


class ViaTests(SynchronousTestCase):
    def test_both_ways(self) -> None:
        """Each side is told by Via what the other one speaks, after what was there (RFC 9110 section 7.6.3)."""
        gateway = MemoryGateway(answer=b"HTTP/1.0 200 OK\r\nVia: 1.1 cache\r\nContent-Length: 2\r\n\r\nok")
        client = gateway.exchange(b"GET /x HTTP/1.0\r\nHost: a\r\nVia: 1.1 edge\r\n\r\n")
        self.assertEqual(gateway.service.requests[0].values(b"via"), [b"1.1 edge", b"1.0 tracseq-gateway"])
        self.assertEqual(client.answers()[0].values(b"via"), [b"1.1 cache", b"1.0 tracseq-gateway"])
