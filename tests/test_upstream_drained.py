"""An instance that an operator drains: it gets no new requests, whatever else happens."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryClient, MemoryGateway
from tracseq_gateway.config import Breaker, Instance, Retries, Seconds
from tracseq_gateway.interfaces import InstanceHealth, State

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


class DrainedTests(SynchronousTestCase):
    """A gateway in memory with two instances."""

    def make(self, answer: bytes | None = OK, **service: Any) -> None:
        instances = tuple(Instance(f"http://127.0.0.1:{port}") for port in (9001, 9002))
        self.gateway = MemoryGateway(answer=answer, instances=instances, **service)
        self.service = self.gateway.service

    def tell(self, port: int, state: State = "healthy", *, drained: bool = False) -> None:
        """What the supervisor says of an instance."""
        news = InstanceHealth("all", f"http://127.0.0.1:{port}", state, drained=drained)
        self.gateway.worker.update_instances([news])

    def ask(self, head: bytes = GET) -> MemoryClient:
        client = self.gateway.client()
        client.send(head)
        self.service.run()
        return client

    def asked(self) -> list[int]:
        return [port for _, port in self.service.attempts]

    def test_noNewRequests(self) -> None:
        """All requests go to the others, and to it again once the drain is undone."""
        self.make()
        self.tell(9001, drained=True)
        for _ in range(4):
            self.ask()
        self.assertEqual({9002}, set(self.asked()))
        self.tell(9001)
        for _ in range(2):
            self.ask()
        self.assertIn(9001, self.asked())

    def test_underWay(self) -> None:
        """What it is at work on goes on to its end."""
        self.make(answer=None)
        client = self.ask()
        self.assertEqual([9001], self.asked())
        self.tell(9001, drained=True)
        self.service.connections[0].answer(OK)
        self.assertEqual([200], [answer.status for answer in client.answers()])

    def test_lastResort(self) -> None:
        """It gets none either when all others are unhealthy, even where unhealthy ones are used then."""
        self.make(when_all_unhealthy="use_all")
        self.tell(9001, drained=True)
        self.tell(9002, "unhealthy")
        self.ask()
        self.assertEqual([9002], self.asked())

    def test_all(self) -> None:
        """When all are drained, requests are refused with 503 and no connection is opened."""
        self.make()
        self.tell(9001, drained=True)
        self.tell(9002, drained=True)
        (answer,) = self.ask().answers()
        self.assertEqual((503, []), (answer.status, self.asked()))

    def test_sticky(self) -> None:
        """A client whose cookie names it gets another instance, and another cookie."""
        self.make(sticky_cookie="seat")
        (answer,) = self.ask().answers()
        cookie = dict(answer.fields)[b"set-cookie"].partition(b";")[0]
        self.tell(9001, drained=True)
        (answer,) = self.ask(GET[:-2] + b"Cookie: " + cookie + b"\r\n\r\n").answers()
        self.assertEqual(9002, self.asked()[-1])
        self.assertNotEqual(cookie, dict(answer.fields)[b"set-cookie"].partition(b";")[0])

    def test_retry(self) -> None:
        """A request that failed elsewhere is not tried at it."""
        self.make(retries=Retries(attempts=3))
        self.tell(9001, drained=True)
        self.service.refuse = Failure(ConnectionRefusedError())
        self.ask()
        self.assertNotIn(9001, self.asked())

    def test_circuit(self) -> None:
        """The circuit opens when all that take requests fail: a drained one cannot speak for the service."""
        self.make(breaker=Breaker(failures=1), retries=Retries(attempts=1))
        self.tell(9001, drained=True)
        self.service.refuse = Failure(ConnectionRefusedError())
        self.ask()
        self.assertEqual("open", self.gateway.worker.services["all"].breaker.state)

    def test_slowStart(self) -> None:
        """When the drain is undone it gets its share by and by, if the service is configured so."""
        self.make(slow_start=Seconds(10.0))
        self.tell(9001, drained=True)
        instance = self.gateway.worker.services["all"].instances[0]
        self.assertEqual(0.0, instance.warm_from)
        self.gateway.clock.advance(5.0)
        self.tell(9001)
        self.assertGreater(instance.warm_from, 0.0)
