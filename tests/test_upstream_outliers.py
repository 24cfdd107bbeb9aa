"""Ejection: who is kept from requests for failing them, for how long, and how one comes back."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryGateway
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.upstream import Instance, Outliers, Retries
from tracseq_gateway.interfaces import InstanceHealth, Observation
from tracseq_gateway.upstream.outliers import Ejector, Record

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
FAULTY = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


class EjectorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.time = 1000.0
        self.ejector = Ejector(Outliers(), lambda: self.time)

    def test_share(self) -> None:
        """Half of twenty requests within ten seconds is too much, though no two failures follow each other."""
        record = Record()
        reasons = []
        for _ in range(12):
            record.answered += 1
            record.failures = 0
            reasons.append(self.ejector.failed(record, unreachable=False))
        self.assertEqual(reasons[:9], [""] * 9)
        self.assertEqual(reasons[10], "11 of 21 requests failed")

    def test_few_failures_long_apart(self) -> None:
        """A failure now and then is none too many, whatever came before the window."""
        record = Record()
        for _ in range(100):
            record.answered += 1
            record.failures = 0
            self.time += 11
            self.assertEqual(self.ejector.failed(record, unreachable=True), "")

    def test_growing_time(self) -> None:
        """Each ejection is longer than the one before, up to a bound; time that goes well shortens it again."""
        record = Record()
        lengths = []
        for _ in range(12):
            lengths.append(self.ejector.seconds(record))
            record.restored = self.time
        self.assertEqual(lengths[:4], [30, 60, 90, 120])
        self.assertEqual(lengths[-1], 300)
        self.time += 3600
        self.assertEqual(self.ejector.seconds(record), 30)

    def test_probes(self) -> None:
        """One passing probe ends a first ejection, and of a third three in a row."""
        record = Record()
        self.ejector.seconds(record)
        self.assertTrue(self.ejector.passed(record))
        record.passes, record.restored = 0, self.time
        self.ejector.seconds(record)
        self.ejector.seconds(record)
        self.assertEqual([self.ejector.passed(record) for _ in range(3)], [False, False, True])

    @given(st.integers(0, 20), st.floats(0, 1))
    @settings(max_examples=100, deadline=None)
    def test_never_all(self, count: int, share: float) -> None:
        """However many fail, at least one is left, and of two or more one may always go unless none may."""
        ejector = Ejector(Outliers(max_share=share), lambda: 0.0)
        records = [Record() for _ in range(count)]
        for record in records:
            record.ejected = ejector.may_eject(records)
        ejected = sum(record.ejected for record in records)
        self.assertLess(ejected, max(count, 1))
        self.assertLessEqual(ejected, max(1, count * share))
        if count > 1 and share:
            self.assertGreaterEqual(ejected, 1)


class EjectionTests(SynchronousTestCase):
    """A gateway before three instances; 9001 is the one that fails."""

    def make(self, count: int = 3, **more: Any) -> None:
        self.gateway = MemoryGateway(
            instances=tuple(Instance(url(9001 + index)) for index in range(count)),
            retries=Retries(attempts=0),
            **more,
        )
        self.service = self.gateway.service
        self.told: list[Observation] = []
        self.gateway.worker.observed = self.told.append

    def share(self, count: int, faulty: int = 0) -> dict[int, int]:
        """Ask so often; return how many requests each instance got. ``faulty`` answers 500."""
        got: Counter[int] = Counter()
        for _ in range(count):
            self.service.answer = None
            client = self.gateway.exchange(GET)
            for (_, port), connection in zip(self.service.attempts, self.service.connections, strict=True):
                if connection.protocol._exchange is not None:
                    got[port] += 1
                    connection.answer(FAULTY if port == faulty else b"HTTP/1.1 204 No Content\r\n\r\n")
            self.service.run()
            self.assertEqual(len(client.answers()), 1)
        return dict(got)

    def test_ejected_and_back(self) -> None:
        """Five failures in a row and it gets nothing for thirty seconds; then its share again."""
        self.make()
        self.share(15, faulty=9001)
        self.assertEqual(self.share(20), {9002: 10, 9003: 10})
        (observation,) = self.told
        self.assertEqual(
            (observation.url, observation.event, observation.seconds, observation.reason),
            (url(9001), "ejected", 30.0, "5 failures in a row"),
        )
        self.gateway.pass_time(30.2)
        self.assertEqual(self.share(30), {9001: 10, 9002: 10, 9003: 10})

    def test_not_connected_counts(self) -> None:
        """An instance that refuses connections is ejected after five of them, and no client noticed."""
        self.make()
        self.service.failures[9001] = ConnectionRefusedError()
        for _ in range(60):
            self.assertEqual([answer.status for answer in self.gateway.exchange(GET).answers()], [200])
            for connection in self.service.connections:
                connection.close()
        self.assertEqual([port for _, port in self.service.attempts].count(9001), 5)

    def test_never_the_only_one(self) -> None:
        """A single instance keeps its requests whatever it does with them."""
        self.make(1)
        self.assertEqual(self.share(30, faulty=9001), {9001: 30})
        self.assertEqual(self.told, [])

    def test_never_more_than_half(self) -> None:
        """When all fail, one of three is ejected and the others go on."""
        self.make()
        self.service.answer = FAULTY
        for _ in range(100):
            self.gateway.exchange(GET)
        self.assertEqual([one.event for one in self.told], ["ejected"])

    def test_when_nobody_else_is_healthy(self) -> None:
        """An ejection gives way when the others are down: half an instance is better than none."""
        self.make(2)
        self.share(10, faulty=9001)
        self.assertEqual(self.share(4), {9002: 4})
        self.gateway.worker.update_instances([InstanceHealth("all", url(9002), "unhealthy")])
        self.assertEqual(self.share(4), {9001: 4})

    def test_a_passing_probe_brings_it_back(self) -> None:
        """Before its time is over; what was probed before the ejection does not count."""
        self.make()
        before = InstanceHealth("all", url(9001), "healthy", checked=self.gateway.now())
        self.gateway.worker.update_instances([before])
        self.share(15, faulty=9001)
        self.gateway.worker.update_instances([before])
        self.assertEqual(self.share(6), {9002: 3, 9003: 3})
        self.gateway.worker.update_instances(
            [InstanceHealth("all", url(9001), "healthy", checked=self.gateway.now() + 1)]
        )
        self.assertEqual(self.share(30), {9001: 10, 9002: 10, 9003: 10})
        self.assertEqual([one.event for one in self.told], ["ejected", "restored"])

    def test_other_workers(self) -> None:
        """An instance that another worker ejected gets nothing from this one, for as long, within the same bounds."""
        self.make()
        take = self.gateway.worker.take_observation
        take(Observation("all", url(9001), "ejected", 10.0))
        take(Observation("all", url(9002), "ejected", 10.0))
        self.assertEqual(self.share(6), {9002: 3, 9003: 3})
        take(Observation("all", url(9001), "restored"))
        self.assertEqual(self.share(6), {9001: 2, 9002: 2, 9003: 2})
        take(Observation("all", url(9001), "ejected", 10.0))
        self.gateway.pass_time(10.2)
        self.assertEqual(self.share(6), {9001: 2, 9002: 2, 9003: 2})
        self.assertEqual(self.told, [])

    def test_what_the_request_asked_for(self) -> None:
        """501 and 505 are about the request: nobody is ejected for them."""
        self.make(2)
        self.service.answer = b"HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n"
        for _ in range(30):
            self.gateway.exchange(GET)
        self.assertEqual(self.told, [])

    def test_slow_start(self) -> None:
        """An instance that comes back gets a tenth of its share at first, and by and by all of it."""
        self.make(slow_start=Seconds(10.0))
        self.share(15, faulty=9001)
        self.gateway.pass_time(30.2)
        self.assertLess(self.share(150).get(9001, 0), 25)
        self.gateway.pass_time(5.0)
        self.assertIn(self.share(150)[9001], range(10, 45))
        self.gateway.pass_time(6.0)
        self.assertEqual(self.share(30), {9001: 10, 9002: 10, 9003: 10})
