"""A whole gateway with two workers and two instances, as its operator sees it and takes an instance out of it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.running_kit import EchoService, RunningGateway

CONFIGURATION = """
[services.samples]
prefix = "/samples"
instances = ["@UPSTREAM@", "{other}"]
[services.samples.health]
interval = 0.5
[services.storage]
prefix = "/storage"
instances = ["http://127.0.0.1:1"]
"""


class OperatorTests(SynchronousTestCase):
    """All in one test: to start a gateway takes its time."""

    def setUp(self) -> None:
        self.other = EchoService()
        self.addCleanup(self.other.stop)
        other = f"http://127.0.0.1:{self.other.port}"
        self.gateway = RunningGateway(CONFIGURATION.format(other=other))
        self.addCleanup(self.gateway.stop)

    def status(self) -> dict[str, Any]:
        """What ``status --json`` prints; it is not healthy, for a service is down."""
        exit_status, printed, complained = self.gateway.command("status", "--json")
        self.assertEqual((1, ""), (exit_status, complained))
        document: dict[str, Any] = json.loads(printed)
        return document

    def asked(self, count: int = 20) -> Counter[int]:
        """The ports of the instances that answer so many requests."""
        ports: Counter[int] = Counter()
        for _ in range(count):
            code, seen = self.gateway.get("/samples/any")
            self.assertEqual(200, code)
            ports[seen["port"]] += 1
        return ports

    def test_operator(self) -> None:
        """Traffic, what is down and why are shown; a drain moves all traffic; a killed worker is seen."""
        mine, others = self.gateway.service.port, self.other.port
        self.assertEqual({mine, others}, set(self.asked()))
        self.gateway.get("/samples/broken", x_answer_with="500")
        self.gateway.get("/storage/any")
        self._shown()
        self._drained(mine, others)
        self._killed(others)
        exit_status, printed, _ = self.gateway.command("drain", f"127.0.0.1:{mine}", "--undo", "--json")
        self.assertEqual((0, False), (exit_status, json.loads(printed)["instances"][0]["drained"]))
        self.assertEqual({mine, others}, set(self.asked()))

    def _shown(self) -> None:
        document: dict[str, Any] = {}

        def counted() -> bool:
            document.update(self.status())
            return len(document["recent"]["failed"]) == 2 and document["services"][1]["state"] == "unhealthy"

        self.gateway.until(counted)
        self.assertEqual("degraded", document["status"])
        self.assertGreater(document["totals"]["requests_per_second"], 0.0)
        self.assertEqual(["serving"] * 2, [worker["state"] for worker in document["workers"]])
        self.assertEqual(set(self.gateway.worker_pids()), {worker["pid"] for worker in document["workers"]})
        self.assertTrue(all(worker["memory_bytes"] > 1 << 20 for worker in document["workers"]))
        samples, storage = document["services"]
        self.assertEqual(("healthy", "connection refused"), (samples["state"], storage["instances"][0]["error"]))
        self.assertTrue(0.0 < samples["p50_ms"] <= samples["p99_ms"])
        self.assertIn({"service": "samples", "kind": "status-500", "count": 1}, document["errors"])
        self.assertEqual({"/samples/broken", "/storage/any"}, {one["path"] for one in document["recent"]["failed"]})
        _, printed, _ = self.gateway.command("status")
        self.assertRegex(printed, r"storage  /storage +unhealthy")

    def _drained(self, mine: int, others: int) -> None:
        stopped, errors = threading.Event(), []

        def load() -> None:
            while not stopped.is_set():
                code, _ = self.gateway.get("/samples/load")
                if code != 200:
                    errors.append(code)

        client = threading.Thread(target=load)
        client.start()
        try:
            drained = self.gateway.command("drain", f"http://127.0.0.1:{mine}", "--wait", "10")
        finally:
            stopped.set()
            client.join()
        self.assertEqual([], errors)
        said = f"samples: http://127.0.0.1:{mine} is drained; no requests are under way\n"
        self.assertEqual((0, said, ""), drained)
        self.assertEqual({others}, set(self.asked()))
        exit_status, _, complained = self.gateway.command("drain", f"http://127.0.0.1:{others}")
        self.assertEqual((1, True), (exit_status, "the last instance of samples" in complained))
        self.assertEqual(0, self.gateway.command("reload")[0])
        time.sleep(1.0)  # probes pass meanwhile, and change nothing
        self.assertEqual({others}, set(self.asked()))
        _, health = self.gateway.get("/health/services")
        instances = health["services"]["samples"]["instances"]
        self.assertEqual([True, False], [instance["drained"] for instance in instances])

    def _killed(self, others: int) -> None:
        before = [worker for worker in self.status()["workers"] if worker["state"] == "serving"]
        os.kill(before[0]["pid"], signal.SIGKILL)

        def replaced() -> bool:
            document = self.status()
            pids = [worker["pid"] for worker in document["workers"] if worker["state"] == "serving"]
            return document["restarts"] == 1 and before[0]["pid"] not in pids and len(pids) == 2

        self.gateway.until(replaced, 20.0)
        self.assertEqual({others}, set(self.asked()))
