"""Kept answers of a gateway in processes of its own: what is purged, measured, written down and explained."""

from __future__ import annotations

import json
import re

from twisted.trial.unittest import SynchronousTestCase

from tests.running_kit import RunningGateway

CONFIGURATION = """
[services.samples]
prefix = "/samples"
instances = ["@UPSTREAM@"]
cache = { enabled = true }

[services.rag]
prefix = "/rag"
instances = ["@UPSTREAM@"]

[rate_limit]
enabled = false

[metrics]
enabled = true

[access_log]
target = "@DIRECTORY@/access.log"
"""
REDIS = """
[cache]
store = "redis"
"""


FRESH = {"X-Answer-Cache-Control": "max-age=600"}
HITS = re.compile(r'gateway_cache_requests_total\{result="hit",service="samples"\} [1-9].*').fullmatch


class RealTests(SynchronousTestCase):
    def start(self, more: str = "") -> RunningGateway:
        gateway = RunningGateway(CONFIGURATION + more)
        self.addCleanup(gateway.stop)
        return gateway

    def ask(self, gateway: RunningGateway, path: str) -> str:
        """Ask for what is fresh for long; return what the answer says of caches."""
        connection = gateway.connect()
        try:
            connection.request("GET", path, headers={"Host": "localhost", **FRESH})
            answer = connection.getresponse()
            answer.read()
            return answer.getheader("Cache-Status") or ""
        finally:
            connection.close()

    def hit(self, gateway: RunningGateway, path: str) -> bool:
        return "hit" in self.ask(gateway, path)

    def test_redis(self) -> None:
        """Workers share what Redis keeps, and a purge takes it from all of them."""
        gateway = self.start(REDIS)
        gateway.until(lambda: gateway.said().count("answers are kept in Redis") == 2)
        gateway.until(lambda: self.hit(gateway, "/samples/1"))
        self.assertTrue(all(self.hit(gateway, "/samples/1") for _ in range(8)))
        status, printed, _ = gateway.command("purge", "/samples/*", "--json")
        self.assertEqual((0, {"purged": 1, "workers": 2}), (status, json.loads(printed)))
        self.assertFalse(self.hit(gateway, "/samples/1"))
        self.assertEqual((0, "0 answers were dropped\n", ""), gateway.command("purge", "/samples/2"))

    def test_memory(self) -> None:
        """Each worker keeps what it was asked for; a purge counts them all, and says what it has no business with."""
        gateway = self.start()
        self.assertEqual("", self.ask(gateway, "/rag/1"))
        gateway.until(lambda: all(self.hit(gateway, "/samples/1") for _ in range(12)))
        status, explained, _ = gateway.command("explain", "GET", "/samples/1")
        self.assertEqual(0, status)
        self.assertIn("answered by what is kept", explained)
        gateway.until(lambda: any(map(HITS, self.metrics(gateway))))
        gateway.until(lambda: "gateway_cache_entries 2.0" in self.metrics(gateway))
        line = (gateway.directory / "access.log").read_text().splitlines()[-1]
        self.assertIn("cache", json.loads(line))
        self.assertEqual((0, "2 answers were dropped\n", ""), gateway.command("purge", "--service", "samples"))
        status, _, complaint = gateway.command("purge", "--service", "rag")
        self.assertEqual(1, status)
        self.assertIn("no answers of", complaint)

    def metrics(self, gateway: RunningGateway) -> list[str]:
        connection = gateway.connect()
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
