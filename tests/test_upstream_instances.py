"""Instances that come and go while requests are under way."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryClient, MemoryGateway
from tracseq_gateway.config import Connections, Instance
from tracseq_gateway.interfaces import InstanceHealth, Observation

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"


def listed(*ports: int) -> list[Instance]:
    return [Instance(f"http://127.0.0.1:{port}") for port in ports]


class InstancesTestCase(SynchronousTestCase):
    """A gateway in memory whose one service begins with the instances of :meth:`make`."""

    def make(self, *ports: int, answer: bytes | None = None, **service: Any) -> None:
        self.gateway = MemoryGateway(answer=answer, instances=tuple(listed(*ports)), **service)
        self.service = self.gateway.service

    def have(self, *ports: int) -> None:
        """The supervisor says that these are the instances."""
        self.gateway.worker.list_instances("all", listed(*ports))

    def ask(self, data: bytes = GET) -> MemoryClient:
        client = self.gateway.client()
        client.send(data)
        return client

    def statuses(self, *clients: MemoryClient) -> list[list[int]]:
        return [[answer.status for answer in client.answers()] for client in clients]

    def ports(self) -> list[int]:
        """Where connections were opened to, in their order."""
        return [port for _, port in self.service.attempts]

    @property
    def instances(self) -> list[Any]:
        return list(self.gateway.worker.services["all"].instances)


class ChangeTests(InstancesTestCase):
    def test_comeAndGo(self) -> None:
        """New requests go to the new instances, and none to those that are gone."""
        self.make(9001, 9002, answer=OK)
        self.have(9003)
        for _ in range(3):
            self.ask()
            self.service.run()
        self.assertEqual([9003], self.ports())

    def test_stay(self) -> None:
        """An instance that stays is the same, with its connections, its health and its requests."""
        self.make(9001, 9002, answer=OK)
        stays = self.instances[1]
        self.ask()
        self.ask()
        self.service.run()
        self.gateway.worker.update_instances([InstanceHealth("all", stays.url, "unhealthy")])
        self.gateway.worker.list_instances("all", [Instance(stays.url, 7), *listed(9003)])
        self.assertIs(stays, self.instances[0])
        self.assertEqual((7, "unhealthy"), (stays.weight, stays.state))
        self.assertEqual("<Pool 127.0.0.1:9002: 0 busy, 1 idle, 0 opening, 0 waiting>", repr(stays.pool))
        self.ask()
        self.assertEqual([9001, 9002, 9003], self.ports())

    def test_idleConnectionsClose(self) -> None:
        """The idle connections of one that is gone close at once."""
        self.make(9001, answer=OK)
        self.ask()
        self.service.run()
        self.assertFalse(self.service.connections[0].transport.closed)
        self.have(9002)
        self.assertTrue(self.service.connections[0].transport.closed)

    def test_underWay(self) -> None:
        """A request at an instance that is gone is answered, and then its connection closes."""
        self.make(9001)
        client = self.ask()
        upload = self.ask(POST + b"ab")
        self.have(9002)
        upload.send(b"cd")
        for connection in self.service.connections:
            self.assertFalse(connection.transport.closed)
            connection.answer(OK)
        self.assertEqual([[200], [200]], self.statuses(client, upload))
        self.assertEqual([b"", b"abcd"], [received.body for received in self.service.requests])
        for connection in self.service.connections:
            self.assertTrue(connection.transport.closed)

    def test_waitingIsServed(self) -> None:
        """Who waits for a connection of one that is gone gets one that comes free."""
        self.make(9001, connections=Connections(max=1))
        first, second = self.ask(), self.ask()
        self.have(9002)
        self.service.connections[0].answer(OK)
        self.assertFalse(self.service.connections[0].transport.closed)
        self.service.connections[0].answer(OK)
        self.assertEqual([[200], [200]], self.statuses(first, second))
        self.assertTrue(self.service.connections[0].transport.closed)
        self.assertEqual([9001], self.ports())

    def test_waitingGoesElsewhere(self) -> None:
        """Who waits for a connection that one that is gone refuses is served by another."""
        self.make(9001)
        self.service.hold = True
        client = self.ask()
        self.have(9002)
        self.service.hold = False
        self.service.turn_away(ConnectionRefusedError())
        self.assertEqual([9001, 9002], self.ports())
        self.service.connections[0].answer(OK)
        self.assertEqual([[200]], self.statuses(client))

    def test_staleConnection(self) -> None:
        """A request whose kept connection turns out closed is still made again when its instance is gone by then."""
        self.make(9001, answer=OK)
        self.ask()
        self.service.run()
        self.service.answer = None
        client = self.ask()
        self.have(9002)
        self.service.connections[0].close()
        self.assertEqual([9001, 9001], self.ports())
        self.service.connections[1].answer(OK)
        self.assertEqual([[200]], self.statuses(client))
        self.assertTrue(self.service.connections[1].transport.closed)

    def test_openingForNobody(self) -> None:
        """A connection that is opened for a request whose client has left is not kept."""
        self.make(9001)
        self.service.hold = True
        client = self.ask()
        self.have(9002)
        client.leave()
        self.assertTrue(self.service.admit().transport.closed)

    def test_none(self) -> None:
        """A service that has no instance yet answers 503, and serves as soon as it has one."""
        self.make(answer=OK)
        (answer,) = self.ask().answers()
        self.assertEqual(503, answer.status)
        self.assertTrue(answer.values(b"retry-after"))
        self.have(9001)
        client = self.ask()
        self.service.run()
        self.assertEqual([[200]], self.statuses(client))

    def test_health(self) -> None:
        """A new instance counts as unknown and may be called; one that comes back is a new one."""
        self.make(9001)
        self.gateway.worker.update_instances([InstanceHealth("all", "http://127.0.0.1:9001", "unhealthy")])
        self.have(9002)
        self.have(9001)
        self.assertEqual("unknown", self.instances[0].state)
        self.ask()
        self.assertEqual([9001], self.ports())

    def test_ejected(self) -> None:
        """An ejection ends with its instance: one that comes back serves at once."""
        self.make(9001, 9002)
        ejection = Observation("all", "http://127.0.0.1:9002", "ejected", 30.0)
        self.gateway.worker.take_observation(ejection)
        self.have(9001)
        self.have(9002)
        self.assertFalse(self.instances[0].record.ejected)
        self.ask()
        self.assertEqual([9002], self.ports())
        self.gateway.pass_time(31.0, step=1.0)
        self.assertFalse(self.instances[0].record.ejected)

    def test_weights(self) -> None:
        """Another weight holds from the next request on, whatever the policy has laid out by the one before."""
        self.make(9001, 9002, answer=OK, balance="consistent_hash", hash_by="path")
        self.gateway.worker.list_instances("all", [*listed(9001), Instance("http://127.0.0.1:9002", 10)])
        for number in range(60):
            self.ask(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            self.service.run()
        connections = dict(zip(self.ports(), self.service.connections, strict=True))
        self.assertGreater(len(connections[9002].requests), 45)

    def test_pages(self) -> None:
        """The status pages show the present instances, and what is known of those that stayed."""
        self.make(9001, 9002)
        status = self.gateway.worker.status
        known = InstanceHealth("all", "http://127.0.0.1:9002", "healthy")
        status.update_instances([known])
        self.have(9003, 9002, 9004)
        self.assertEqual(
            [InstanceHealth("all", "http://127.0.0.1:9003"), known, InstanceHealth("all", "http://127.0.0.1:9004")],
            list(status.of_service("all")),
        )
        self.assertEqual(3, status.services()["services"][0]["instances"])
        self.assertEqual(3, len(status.services_health(0.0)["services"]["all"]["instances"]))

    def test_stranger(self) -> None:
        """News of a service that there is not changes nothing."""
        self.make(9001)
        self.gateway.worker.list_instances("other", listed(9002))
        self.assertEqual(["http://127.0.0.1:9001"], [instance.url for instance in self.instances])

    @given(st.lists(st.tuples(st.sets(st.integers(1, 4), min_size=1), st.integers(0, 4), st.booleans()), max_size=25))
    @settings(max_examples=50, deadline=None)
    def test_nothingIsLost(self, changes: list[tuple[set[int], int, bool]]) -> None:
        """However instances change while requests come, each request is answered once, by one listed when it came."""
        self.make(9001, connections=Connections(max=2))
        clients: list[MemoryClient] = []
        for ports, requests, served in changes:
            self.have(*(9000 + port for port in ports))
            before = len(self.ports())
            clients += [self.ask() for _ in range(requests)]
            self.assertTrue({port - 9000 for port in self.ports()[before:]} <= ports)
            if served:
                self.answer_all()
        while self.answer_all():
            pass
        self.assertEqual([[200]] * len(clients), self.statuses(*clients))
        present = {instance.pool.port for instance in self.instances}
        for port, connection in zip(self.ports(), self.service.connections, strict=True):
            self.assertTrue(connection.transport.closed or port in present)
        self.assertEqual([0] * len(self.instances), [instance.in_flight for instance in self.instances])

    def answer_all(self) -> bool:
        """Answer each request that a connection has and that is not answered; tell whether there was one."""
        found = False
        for connection in self.service.connections:
            answered = getattr(connection, "answered", 0)
            if len(connection.requests) > answered:
                found = True
                connection.answered = answered + 1  # type: ignore[attr-defined]
                connection.answer(OK)
        return found
