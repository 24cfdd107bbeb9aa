"""The circuit breaker: its table, and what clients and other workers see of it."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryClient, MemoryGateway
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.upstream import Breaker as Settings
from tracseq_gateway.config.upstream import Instance, Outliers, Retries
from tracseq_gateway.interfaces import InstanceHealth, Observation
from tracseq_gateway.upstream.breaker import EVENTS, STATES, TABLE, Breaker

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
FAULTY = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
AWAY = b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"


class TableTests(SynchronousTestCase):
    def test_total(self) -> None:
        """Every event has a row in every state, and leads to a state that there is."""
        self.assertEqual(set(TABLE), {(state, event) for state in STATES for event in EVENTS})
        self.assertLessEqual({state for state, _ in TABLE.values()}, set(STATES))

    def test_one_at_a_time(self) -> None:
        """A half-open circuit lets one request through, and no other before that one has ended."""
        now = 0.0
        breaker = Breaker(60, lambda: now, lambda opened: None)
        breaker.hear("tripped")
        self.assertFalse(breaker.admits())
        now = 60.0
        self.assertEqual([breaker.admits() for _ in range(3)], [True, False, False])
        breaker.hear("withdrawn")
        self.assertEqual([breaker.admits() for _ in range(3)], [True, False, False])
        breaker.hear("failed")
        self.assertEqual(breaker.seconds_left, 60.0)
        now = 120.0
        self.assertTrue(breaker.admits())
        breaker.hear("succeeded")
        self.assertTrue(breaker.closed)

    def test_the_one_that_opened_it_tries_first(self) -> None:
        """A worker that was told of an open circuit waits a little longer than the one that tells."""
        now = 0.0
        breaker = Breaker(60, lambda: now, lambda opened: self.fail("was told, and tells"))
        breaker.hear("told_open", 60.0)
        now = 60.5
        self.assertFalse(breaker.admits())
        now = 61.5
        self.assertTrue(breaker.admits())
        breaker.hear("told_closed")
        self.assertTrue(breaker.closed)


class CircuitTests(SynchronousTestCase):
    """A gateway before instances on ports 9001 and following, none of which can be reached."""

    def make(self, count: int = 1, **settings: Any) -> None:
        self.gateway = MemoryGateway(
            instances=tuple(Instance(f"http://127.0.0.1:{9001 + index}") for index in range(count)),
            **{"breaker": Settings(failures=5, open_seconds=Seconds(60.0)), **settings},
        )
        self.service = self.gateway.service
        self.told: list[Observation] = []
        self.gateway.worker.observed = self.told.append

    def unreachable(self, *ports: int) -> None:
        for port in ports:
            self.service.failures[port] = ConnectionRefusedError()
        for connection in self.service.connections:
            connection.close()

    def ask(self) -> MemoryClient:
        return self.gateway.exchange(GET)

    def statuses(self, count: int) -> list[int]:
        return [self.ask().answers()[0].status for _ in range(count)]

    def test_opens_after_failures_in_a_row(self) -> None:
        """The sixth request is refused at once, with 503 and the time after which one may try."""
        self.make()
        self.unreachable(9001)
        self.assertEqual(self.statuses(8), [502] * 5 + [503] * 3)
        self.assertEqual(len(self.service.attempts), 5)
        (answer,) = self.ask().answers()
        self.assertEqual(answer.values(b"retry-after"), [b"60"])
        self.assertIn(b"circuit-open", answer.body)
        self.assertEqual([(one.url, one.event, one.seconds) for one in self.told], [("", "opened", 60.0)])

    def test_a_success_begins_the_count_anew(self) -> None:
        """Failures between which one succeeds open nothing."""
        self.make()
        for _ in range(4):
            self.unreachable(9001)
            self.assertEqual(self.statuses(4), [502] * 4)
            del self.service.failures[9001]
            self.assertEqual(self.statuses(1), [200])

    def test_tries_again(self) -> None:
        """After its time one request tries: if it fails the time begins anew, if it succeeds all may pass.

        The one that tried and failed is told the same as all others.
        """
        self.make()
        self.unreachable(9001)
        self.statuses(5)
        self.gateway.pass_time(60, 1.0)
        attempts = len(self.service.attempts)
        self.assertEqual(self.statuses(2), [503, 503])
        self.assertEqual(len(self.service.attempts), attempts + 1)
        self.gateway.pass_time(60, 1.0)
        del self.service.failures[9001]
        self.assertEqual(self.statuses(3), [200] * 3)
        self.assertEqual([one.event for one in self.told], ["opened", "opened", "closed"])

    def test_a_client_that_leaves_decides_nothing(self) -> None:
        """When the client of the request that tries goes away, the next one tries."""
        self.make()
        self.unreachable(9001)
        self.statuses(5)
        self.gateway.pass_time(60, 1.0)
        self.service.failures.clear()
        self.service.answer = None
        self.ask().leave()
        self.service.answer = OK
        self.assertEqual(self.statuses(2), [200, 200])

    def test_a_passing_probe_lets_one_try(self) -> None:
        """An instance that passes its probe need not wait for the end of the open time."""
        self.make()
        self.unreachable(9001)
        self.statuses(6)
        del self.service.failures[9001]
        self.gateway.worker.update_instances(
            [InstanceHealth("all", "http://127.0.0.1:9001", "healthy", checked=self.gateway.now())]
        )
        self.assertEqual(self.statuses(3), [200] * 3)

    def test_one_that_serves_keeps_it_closed(self) -> None:
        """As long as one of the instances serves, a circuit stays closed, however often the others fail."""
        self.make(3)
        self.unreachable(9001, 9002)
        self.assertEqual(set(self.statuses(60)), {200})
        self.unreachable(9003)
        self.assertEqual(self.statuses(20)[-5:], [503] * 5)
        self.assertIn("opened", [one.event for one in self.told])

    def test_a_fault_of_the_application_is_an_answer(self) -> None:
        """A 500 opens nothing, or who finds a request that fails could close a service for all; a 503 does."""
        self.make()
        self.service.answer = FAULTY
        self.assertEqual(self.statuses(20), [500] * 20)
        self.assertEqual(self.told, [])
        self.service.answer = AWAY
        self.assertEqual(self.statuses(8), [503] * 8)
        self.assertEqual(len(self.service.requests), 25)

    def test_other_workers(self) -> None:
        """What one worker finds out, another one acts on without a request of its own."""
        self.make()
        self.gateway.worker.take_observation(Observation("all", "", "opened", 60.0))
        self.assertEqual(self.statuses(1), [503])
        self.assertEqual(self.service.attempts, [])
        self.gateway.worker.take_observation(Observation("all", "", "closed"))
        self.assertEqual(self.statuses(1), [200])
        self.assertEqual(self.told, [])
        self.gateway.worker.take_observation(Observation("nobody", "", "opened", 60.0))
        self.assertEqual(self.statuses(1), [200])

    def test_shown(self) -> None:
        """The page about services says how the circuit is, and who is ejected."""
        self.make(2, breaker=Settings(failures=6))
        self.unreachable(9001, 9002)
        self.statuses(8)
        (answer,) = self.gateway.exchange(b"GET /health/services HTTP/1.1\r\nHost: a\r\n\r\n").answers()
        shown = json.loads(answer.body)["services"]["all"]
        self.assertEqual(shown["circuit"], "open")
        self.assertEqual(sorted(instance["ejected"] for instance in shown["instances"]), [False, True])

    def test_off(self) -> None:
        """With ``failures = 0`` there is no circuit breaker."""
        self.make(breaker=Settings(failures=0), outliers=Outliers(failures=0), retries=Retries(attempts=0))
        self.unreachable(9001)
        self.assertEqual(self.statuses(20), [502] * 20)
