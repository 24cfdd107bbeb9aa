"""The overview as it is shown: how services and the gateway are, what is kept, and for how long."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.test_overview_numbers import ENDED, digest
from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.overview.digest import Digest, InstanceDigest, ServiceDigest
from tracseq_gateway.overview.facts import Facts, ServiceFacts, WorkerFacts
from tracseq_gateway.overview.overview import CHANGES, MOST_RECENT, POINTS, Overview
from tracseq_gateway.overview.states import overall_state, service_state

RAG = InstanceHealth("rag", "http://h:1", "healthy", since=90.0, checked=99.0, latency=0.002)
OTHER = evolve(RAG, url="http://h:2")
EPOCH = 1_780_000_000.0


def facts(moment: float = 0.0, instances: Sequence[InstanceHealth] = (RAG,), **fields: Any) -> Facts:
    values: dict[str, Any] = {
        "time": EPOCH + moment,
        "moment": moment,
        "version": "1.2",
        "environment": "testing",
        "started": EPOCH,
        "stopping": False,
        "configured": 1,
        "running": 1,
        "restarts": 0,
        "services": [ServiceFacts("rag", "/rag", instances)],
        "workers": [WorkerFacts(0, 7, "serving", EPOCH)],
    }
    return Facts(**values | fields)


class StateTests(SynchronousTestCase):
    """How a service and the gateway are."""

    def test_service(self) -> None:
        """A service is as good as its instances, its ejections and its circuit let it be."""
        ill, unknown = evolve(RAG, url="http://h:3", state="unhealthy"), evolve(RAG, url="http://h:4", state="unknown")
        for expected, instances, ejected, circuit in (
            ("healthy", [RAG, OTHER], (), "closed"),
            ("healthy", [RAG, unknown], (), "closed"),
            ("unknown", [unknown], (), "closed"),
            ("unknown", [], (), "closed"),
            ("degraded", [RAG, ill], (), "closed"),
            ("degraded", [RAG, OTHER], (RAG.url,), "closed"),
            ("degraded", [RAG, OTHER], (), "half_open"),
            ("unhealthy", [ill], (), "closed"),
            ("unhealthy", [RAG, OTHER], (), "open"),
        ):
            self.assertEqual(expected, service_state(instances, ejected, circuit), (instances, ejected, circuit))  # type: ignore[arg-type]

    def test_drained(self) -> None:
        """What is drained on purpose is no fault of the service, unless nothing else is left."""
        drained = evolve(OTHER, state="unhealthy", drained=True)
        self.assertEqual("healthy", service_state([RAG, drained]))
        self.assertEqual("unhealthy", service_state([evolve(RAG, drained=True), drained]))

    def test_overall(self) -> None:
        """The gateway is degraded when a service is, when a worker lacks, or without the Redis of its limits."""
        self.assertEqual("healthy", overall_state(["healthy", "unknown"], (2, 2), "shared"))
        self.assertEqual("healthy", overall_state(["healthy"], (2, 2), "off"))
        self.assertEqual("degraded", overall_state(["healthy", "unhealthy"], (2, 2), "shared"))
        self.assertEqual("degraded", overall_state(["healthy"], (1, 2), "shared"))
        self.assertEqual("degraded", overall_state(["healthy"], (2, 2), "local"))
        self.assertEqual("unhealthy", overall_state(["unhealthy"], (2, 2), "shared"))
        self.assertEqual("unhealthy", overall_state(["healthy"], (0, 2), "shared"))


class DocumentTests(SynchronousTestCase):
    """``Overview``."""

    def setUp(self) -> None:
        self.overview = Overview()

    def test_empty(self) -> None:
        """Before anything was counted there are zeros, and no percentiles."""
        document = self.overview.document(facts())
        self.assertEqual("healthy", document["status"])
        self.assertEqual((0.0, None), (document["totals"]["requests_per_second"], document["totals"]["p50_ms"]))
        self.assertEqual(document, json.loads(json.dumps(document)))

    def test_counted(self) -> None:
        """Requests are shown for the gateway, for each service and instance, and for each worker."""
        for second in range(10):
            self.overview.take(7, digest(20, connections=3, in_flight=2, sent=1000, memory=5), float(second))
        document = self.overview.document(facts(9.5))
        totals, (service,), (worker,) = document["totals"], document["services"], document["workers"]
        self.assertEqual((20.0, 1000.0, 3, 2), tuple(
            totals[name] for name in ("requests_per_second", "sent_per_second", "connections", "in_flight")
        ))  # fmt: skip
        self.assertTrue(8.4 < totals["p50_ms"] < 10.0, totals["p50_ms"])
        self.assertEqual(20.0, service["requests_per_second"])
        self.assertEqual(totals["p99_ms"], service["p99_ms"])
        (instance,) = service["instances"]
        self.assertEqual(("http://h:1", 20.0, 2.0), (
            instance["url"], instance["requests_per_second"], instance["latency_ms"],
        ))  # fmt: skip
        self.assertEqual((7, "serving", 20.0, 5), (
            worker["pid"], worker["state"], worker["requests_per_second"], worker["memory_bytes"],
        ))  # fmt: skip

    def test_ownPages(self) -> None:
        """What the gateway answers itself counts as requests, but not in the percentiles: a page may stay open."""
        self.overview.take(7, Digest(1.0, [ServiceDigest("gateway", 1, 0, 0, [(60, 1)])]), 0.0)
        totals = self.overview.document(facts())["totals"]
        self.assertEqual((1.0, None), (totals["requests_per_second"], totals["p99_ms"]))

    def test_errorsAndRefusals(self) -> None:
        """5xx and 429 have rates of their own; kinds of errors and clients are named."""
        counted = Digest(
            1.0, [ServiceDigest("rag", 4, 1, 2, ())], errors=[("rag", "no-instance", 1)],
            refused=[("rag", "a:192.0.2.7", 2)], limits="shared",
        )  # fmt: skip
        self.overview.take(7, counted, 0.0)
        document = self.overview.document(facts())
        self.assertEqual((1.0, 2.0), (
            document["services"][0]["errors_per_second"], document["totals"]["refused_per_second"],
        ))  # fmt: skip
        self.assertEqual([{"service": "rag", "kind": "no-instance", "count": 1}], document["errors"])
        hit = [{"service": "rag", "client": "a:192.0.2.7", "count": 2}]
        self.assertEqual({"mode": "shared", "hit": hit}, document["limits"])

    def test_twoGenerations(self) -> None:
        """During a reload the workers of both generations are shown, and what both have under way is added up."""
        for pid in (7, 8):
            flying = Digest(1.0, instances=[InstanceDigest("rag", RAG.url, 0, 0, 2)], in_flight=3)
            self.overview.take(pid, flying, 0.0)
        both = [WorkerFacts(0, 7, "leaving", EPOCH), WorkerFacts(0, 8, "serving", EPOCH)]
        document = self.overview.document(facts(workers=both))
        self.assertEqual(
            (6, 4), (document["totals"]["in_flight"], document["services"][0]["instances"][0]["in_flight"])
        )
        document = self.overview.document(facts(workers=both[1:]))
        self.assertEqual(
            (3, 2), (document["totals"]["in_flight"], document["services"][0]["instances"][0]["in_flight"])
        )

    def test_worstWord(self) -> None:
        """A circuit that is open in one worker is shown as open, an ejection by one as an ejection."""
        ejected = [("rag", RAG.url)]
        self.overview.take(7, Digest(1.0, circuits=[("rag", "open")], ejected=ejected, limits="local"), 0.0)
        self.overview.take(8, Digest(1.0, circuits=[("rag", "half_open")], limits="shared"), 0.0)
        workers = [WorkerFacts(0, 7, "serving", EPOCH), WorkerFacts(1, 8, "serving", EPOCH)]
        document = self.overview.document(facts(workers=workers))
        (service,) = document["services"]
        self.assertEqual(("open", "unhealthy", True), (
            service["circuit"], service["state"], service["instances"][0]["ejected"],
        ))  # fmt: skip
        self.assertEqual("local", document["limits"]["mode"])

    def test_newWorkers(self) -> None:
        """Until the workers that a reload has started say something, rates are limited as the last ones said."""
        self.overview.take(7, Digest(1.0, limits="shared"), 0.0)
        self.overview.document(facts())
        document = self.overview.document(facts(workers=[WorkerFacts(0, 8, "serving", EPOCH)]))
        self.assertEqual("shared", document["limits"]["mode"])

    def test_stopping(self) -> None:
        """A gateway that stops is draining, however its services are."""
        self.assertEqual("draining", self.overview.document(facts(stopping=True))["status"])

    def test_timeline(self) -> None:
        """Only changes of state are kept, so many of them, and none of a service that is no more."""
        self.overview.observe(facts(0.0))
        self.overview.observe(facts(1.0))
        self.overview.observe(facts(2.0, [evolve(RAG, state="unhealthy")]))
        timeline = self.overview.document(facts(3.0))["services"][0]["timeline"]
        self.assertEqual([[EPOCH, "healthy"], [EPOCH + 2.0, "unhealthy"]], timeline)
        for second in range(3, 3 * CHANGES):
            self.overview.observe(facts(float(second), [evolve(RAG, state="healthy" if second % 2 else "unhealthy")]))
        self.assertEqual(CHANGES, len(self.overview.document(facts())["services"][0]["timeline"]))
        self.overview.observe(facts(services=[]))
        self.assertEqual([], self.overview.document(facts())["services"][0]["timeline"])

    def test_history(self) -> None:
        """Every five seconds there is a point for these five seconds, for a quarter of an hour."""
        for second in range(16):
            self.overview.take(7, digest(10 if second <= 5 else 30), second - 0.5)
            self.overview.observe(facts(float(second)))
        history = self.overview.document(facts(15.0))["history"]
        self.assertEqual(5.0, history["step"])
        self.assertEqual([5.0, 10.0, 15.0], [point["time"] - EPOCH for point in history["points"]])
        self.assertEqual([10.0, 30.0, 30.0], [point["requests_per_second"] for point in history["points"]])
        for second in range(16, 16 + 6 * POINTS):
            self.overview.observe(facts(float(second)))
        points = self.overview.document(facts())["history"]["points"]
        self.assertEqual((POINTS, 0.0, None), (len(points), points[-1]["requests_per_second"], points[-1]["p50_ms"]))

    def test_pause(self) -> None:
        """A supervisor that was stopped for a while does not make up for the points that it missed."""
        for moment in (0.0, 5.0, 100.0, 101.0, 105.0):
            self.overview.observe(facts(moment))
        points = self.overview.document(facts())["history"]["points"]
        self.assertEqual([5.0, 100.0, 105.0], [point["time"] - EPOCH for point in points])

    def test_recent(self) -> None:
        """Of slow and of failed requests the newest are kept, the newest first, whichever worker they came from."""
        for number in range(2 * MOST_RECENT):
            self.overview.take(number % 2, Digest(1.0, failed=[evolve(ENDED, time=float(number))]), 0.0)
        failed = self.overview.document(facts())["recent"]["failed"]
        self.assertEqual((MOST_RECENT, 39.0, 20.0), (len(failed), failed[0]["time"], failed[-1]["time"]))
        self.assertEqual(("closed-early", "gone", "0" * 32), tuple(
            failed[0][name] for name in ("error", "reason", "trace_id")
        ))  # fmt: skip
