"""Spans of a gateway in processes of its own, as a collector gets them."""

from __future__ import annotations

import time
import urllib.request

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from twisted.trial.unittest import SynchronousTestCase

from tests.otlp_kit import ReceivedSpan, Reply, RunningCollector
from tests.running_kit import RunningGateway

CONFIGURATION = """
[gateway]
trusted_proxies = ["127.0.0.1"]

[services.samples]
prefix = "/samples"
instances = ["@UPSTREAM@"]

[metrics]
enabled = true

[tracing]
enabled = true
endpoint = "@COLLECTOR@"
ratio = 1.0
service_name = "lab-gateway"
headers_env = "COLLECTOR_FIELDS"
timeout = 0.5
batch_spans = @BATCH@
batch_seconds = 0.2
queue_spans = 100
"""
TRACE = "12345678901234567890123456789012"


class ExportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.collector = RunningCollector()
        self.addCleanup(self.collector.stop)
        self.running: list[RunningGateway] = []

    def start(self, workers: int = 2, batch: int = 100) -> RunningGateway:
        text = CONFIGURATION.replace("@COLLECTOR@", self.collector.url).replace("@BATCH@", str(batch))
        gateway = RunningGateway(text, {"COLLECTOR_FIELDS": "authorization=Bearer%20s3cret"}, workers)
        self.running.append(gateway)
        return gateway

    def stop(self, gateway: RunningGateway) -> str:
        """Stop it, and return its log."""
        self.running.remove(gateway)
        return gateway.stop()

    def tearDown(self) -> None:
        for gateway in self.running:
            gateway.stop()

    def counted(self, gateway: RunningGateway) -> dict[str, float]:
        """How many spans became what, of all workers, by the gateway's own metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        spans = [line.removeprefix('gateway_spans_total{outcome="') for line in lines if "gateway_spans_total{" in line]
        return {outcome: float(count) for outcome, _, count in (line.partition('"} ') for line in spans)}

    def test_two_workers(self) -> None:
        """Whichever worker serves, two spans of each request arrive, and the service is told which it is below."""
        gateway = self.start()
        parents = {}
        resources: set[str | int] = set()
        for number in range(60):  # until the kernel has given each worker some
            parent = f"{number + 1:016x}"
            status, echo = gateway.get("/samples/42?x=1", traceparent=f"00-{TRACE}-{parent}-00", tracestate="lab=1")
            self.assertEqual((status, echo["fields"]["tracestate"]), (200, "lab=1"))
            parents[parent] = echo["fields"]["traceparent"].split("-")
        gateway.until(lambda: len(self.collector.spans) >= 120)
        servers = {each.ids[1]: each for each in self.of_kind(Span.SPAN_KIND_SERVER)}
        asking = {each.ids[1]: each for each in self.of_kind(Span.SPAN_KIND_CLIENT)}
        self.assertEqual((len(servers), len(asking)), (60, 60))
        for parent, (_, trace, told, flags) in parents.items():
            server = servers[asking[told].ids[2]]
            self.assertEqual((trace, flags, server.ids[0], server.ids[2]), (TRACE, "01", TRACE, parent))
            self.assertEqual(server.span.name, "GET /samples")
            self.assertEqual(server.attributes["url.path"], "/samples/42")
            self.assertLess(abs(server.span.end_time_unix_nano / 1e9 - time.time()), 60)
            resources.add(server.resource["service.instance.id"])
        self.assertEqual(len(resources), 2)
        self.assertEqual({server.resource["service.name"] for server in servers.values()}, {"lab-gateway"})
        self.assertEqual({fields["authorization"] for _, fields in self.collector.requests}, {"Bearer s3cret"})
        self.assertLess(len(self.collector.requests), 60)
        gateway.until(lambda: self.counted(gateway) == {"exported": 120.0})

    def of_kind(self, kind: int) -> list[ReceivedSpan]:
        return [each for each in self.collector.spans if each.span.kind == kind]

    def test_stop(self) -> None:
        """Who stops the gateway gets the spans of what it served to its end."""
        gateway = self.start(workers=1)
        for _ in range(3):
            gateway.get("/samples")
        self.stop(gateway)
        self.assertEqual(len(self.collector.spans), 6)

    def test_collector_ill(self) -> None:
        """While the collector is slow, busy or gone requests are served as ever, and what is lost is counted."""
        self.collector.reply = Reply(429, fields={"Retry-After": "1"})
        gateway = self.start(workers=1, batch=10)
        slowest = 0.0
        for _ in range(200):
            begun = time.monotonic()
            self.assertEqual(gateway.get("/samples")[0], 200)
            slowest = max(slowest, time.monotonic() - begun)
        self.assertLess(slowest, 2.0)
        gateway.until(lambda: self.counted(gateway).get("dropped", 0) >= 200)
        self.collector.reply = Reply()
        gateway.until(lambda: self.counted(gateway).get("exported", 0) >= 100)
        self.assertEqual(sum(self.counted(gateway).values()), 400)
        self.collector.reply = Reply(seconds=3)
        self.assertEqual(gateway.get("/samples")[0], 200)
        log = self.stop(gateway)
        self.assertEqual(log.count("takes no spans: status 429"), 1)
        self.assertIn("takes spans again", log)
        self.assertIn("2 spans could not be sent before the end", log)
