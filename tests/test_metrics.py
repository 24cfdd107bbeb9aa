"""Metrics: names, labels, what folds, and many processes on one page."""

from __future__ import annotations

import fcntl
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from twisted.trial.unittest import SynchronousTestCase

import twisted
from tracseq_gateway.errors import NOT_FOUND, RESPONSE_TIMEOUT, GatewayError, Kind
from tracseq_gateway.interfaces import Request
from tracseq_gateway.metrics.counting import RequestCounts
from tracseq_gateway.metrics.merge import merge
from tracseq_gateway.metrics.metrics import Metrics
from tracseq_gateway.metrics.page import Page, render, wants_openmetrics
from tracseq_gateway.metrics.recorder import RequestRecorder
from tracseq_gateway.metrics.shared import VARIABLE

ROOT = Path(__file__).parent.parent

BUILD = {"version": "1.2.3", "python": platform.python_version(), "twisted": twisted.__version__}

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]

WORKER = """
import sys
from types import SimpleNamespace as New
from tracseq_gateway.metrics.counting import RequestCounts
from tracseq_gateway.metrics.metrics import Metrics
counts, metrics = RequestCounts(["samples"]), Metrics(["samples"], "1.2.3")
def request(service):
    none = dict.fromkeys(("error", "trace")) | dict.fromkeys(("sent", "received", "answered"), 0)
    return New(head=New(method=b"GET"), service=service, status=200, **none)
for _ in range(int(sys.argv[1])):
    counts.request_ended(request("samples"), 0.0, 0.003)
metrics.add(counts.taken({}))
metrics.in_flight(int(sys.argv[2]))
metrics.redis_up(sys.argv[3] == "up")
metrics.service_health("samples", sys.argv[4])
print("measured", flush=True)
sys.stdin.read()
"""


def ended(method: bytes = b"GET", service: str = "samples", status: int = 200, kind: Kind | None = None) -> Request:
    error = None if kind is None else GatewayError(kind)
    request = SimpleNamespace(
        head=SimpleNamespace(method=method, path=b"/samples"),
        service=service,
        status=status,
        error=error,
        began=10.0,
        passed_on=10.0,
        answered=0.0,
        received=0,
        sent=0,
        trace=None,
    )
    return cast(Request, request)


def values_of(page: Page) -> Values:
    families = read_text(page.body.decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


class MetricsTests(SynchronousTestCase):
    """``Metrics`` of one process alone."""

    def setUp(self) -> None:
        self.metrics = Metrics(["samples", "rag"], "1.2.3")
        self.counts = RequestCounts(["samples", "rag"])

    def ended(self, request: Request, seconds: float) -> None:
        self.counts.request_ended(request, 1e9, seconds)

    def value(self, name: str, **labels: str) -> float | None:
        self.metrics.add(self.counts.taken({}))
        return values_of(self.metrics.page()).get((name, frozenset(labels.items())))

    def test_requests(self) -> None:
        """A request is counted by method, service and status, and its duration by service."""
        self.ended(ended(), 0.003)
        self.ended(ended(), 0.2)
        self.ended(ended(status=503, kind=RESPONSE_TIMEOUT), 31.0)
        self.assertEqual(2, self.value("gateway_requests_total", method="GET", service="samples", status="200"))
        self.assertEqual(1, self.value("gateway_requests_total", method="GET", service="samples", status="503"))
        self.assertEqual(1, self.value("gateway_request_duration_seconds_bucket", service="samples", le="0.005"))
        self.assertEqual(2, self.value("gateway_request_duration_seconds_bucket", service="samples", le="30.0"))
        self.assertEqual(3, self.value("gateway_request_duration_seconds_count", service="samples"))
        self.assertEqual(1, self.value("gateway_errors_total", service="samples", error_type="response-timeout"))

    def test_noService(self) -> None:
        """The gateway's own pages and what was never routed have service labels of their own."""
        self.ended(ended(service=""), 0.001)
        self.ended(ended(service="", status=404, kind=NOT_FOUND), 0.001)
        self.assertEqual(1, self.value("gateway_requests_total", method="GET", service="gateway", status="200"))
        self.assertEqual(1, self.value("gateway_requests_total", method="GET", service="none", status="404"))
        self.assertEqual(1, self.value("gateway_errors_total", service="none", error_type="no-route"))

    def test_folding(self) -> None:
        """Methods that a client makes up, and impossible statuses, are one series each, and are not remembered."""
        for number in range(50):
            self.ended(ended(method=b"M%d" % number, status=501), 0.001)
            self.ended(ended(status=600 + number), 0.001)
        self.assertEqual(50, self.value("gateway_requests_total", method="other", service="samples", status="501"))
        self.assertEqual(50, self.value("gateway_requests_total", method="GET", service="samples", status="other"))

    def test_duties(self) -> None:
        """Decisions of the limiter, calls of Redis and verdicts on tokens are counted by outcome, from 0 on."""
        self.assertEqual(0, self.value("gateway_limiter_decisions_total", outcome="refused"))
        self.metrics.limiter_decided("remembered")
        self.metrics.redis_called("timeout", 0.05)
        self.metrics.token_judged("cached")
        self.metrics.revocations(7)
        self.metrics.log_lines_dropped(3)
        self.assertEqual(1, self.value("gateway_limiter_decisions_total", outcome="remembered"))
        self.assertEqual(1, self.value("gateway_redis_calls_total", outcome="timeout"))
        self.assertEqual(0.05, self.value("gateway_redis_call_seconds_sum"))
        self.assertEqual(1, self.value("gateway_token_verdicts_total", outcome="cached"))
        self.assertEqual(7, self.value("gateway_revocations"))
        self.assertEqual(3, self.value("gateway_access_log_dropped_total"))
        self.assertEqual(1, self.value("gateway_build_info", **BUILD))

    def test_services(self) -> None:
        """A service has one status at a time, and its answers' times."""
        self.metrics.service_health("rag", "healthy")
        self.metrics.service_health("rag", "unhealthy")
        answered = ended(service="rag")
        answered.answered = answered.passed_on + 0.4
        self.ended(answered, 0.5)
        self.assertEqual(0, self.value("service_health_status", service="rag", status="healthy"))
        self.assertEqual(1, self.value("service_health_status", service="rag", status="unhealthy"))
        self.assertAlmostEqual(0.4, self.value("service_response_time_seconds_sum", service="rag") or 0.0)

    def test_redisUnused(self) -> None:
        """A gateway that never spoke of Redis does not say that it is down."""
        self.assertIsNone(self.value("gateway_redis_up"))
        self.metrics.redis_up(False)
        self.assertEqual(0, self.value("gateway_redis_up"))

    def test_formats(self) -> None:
        """Who accepts OpenMetrics gets it, valid; everybody else the text format, whatever its Accept says."""
        self.ended(ended(), 0.003)
        self.metrics.add(self.counts.taken({}))
        page = self.metrics.page(
            wants_openmetrics("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.2")
        )
        self.assertTrue(page.content_type.startswith("application/openmetrics-text; version=1.0.0"))
        names = {family.name for family in read_openmetrics(page.body.decode())}
        self.assertIn("gateway_requests", names)
        for accept in ("", "*/*", "text/plain;version=x", "text/html, application/json"):
            page = self.metrics.page(wants_openmetrics(accept))
            self.assertEqual("text/plain; version=0.0.4; charset=utf-8", page.content_type)

    def test_apart(self) -> None:
        """Two gateways in one process that share no directory do not count for each other."""
        other, counts = Metrics(["samples"], "1.2.3"), RequestCounts(["samples"])
        counts.request_ended(ended(), 1e9, 0.003)
        other.add(counts.taken({}))
        self.assertIsNone(self.value("gateway_requests_total", method="GET", service="samples", status="200"))

    def test_tooLate(self) -> None:
        """A directory that is named after prometheus-client was imported is an error, not metrics that nobody sees."""
        self.addCleanup(os.environ.pop, VARIABLE, None)
        os.environ[VARIABLE] = tempfile.gettempdir()
        self.assertIn(VARIABLE, str(self.assertRaises(RuntimeError, Metrics, [], "1.2.3")))

    def test_importedWhenUsed(self) -> None:
        """Nobody's import brings prometheus-client along: a gateway without metrics does not pay for it."""
        program = "import sys, tracseq_gateway.metrics.recorder as r; sys.exit('prometheus_client' in sys.modules)"
        self.assertEqual(0, subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode)


class SharedTests(SynchronousTestCase):
    """Real processes that share a directory, and the page of all of them."""

    def setUp(self) -> None:
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.directory = made.name

    def worker(
        self, requests: int, in_flight: int, redis: str = "up", health: str = "healthy"
    ) -> subprocess.Popen[str]:
        """Start a process that measures so much, and waits."""
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(requests), str(in_flight), redis, health],
            cwd=ROOT,
            env=os.environ | {VARIABLE: self.directory},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end, process)
        assert process.stdout is not None
        self.assertEqual("measured\n", process.stdout.readline())
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()

    def test_sum(self) -> None:
        """One page shows all workers: totals and requests in flight are added, and one without Redis is enough."""
        self.worker(3, 5)
        self.worker(4, 7, redis="down", health="unhealthy")
        values = values_of(render(self.directory))

        def value(name: str, **labels: str) -> float:
            return values[name, frozenset(labels.items())]

        self.assertEqual(7, value("gateway_requests_total", method="GET", service="samples", status="200"))
        self.assertEqual(7, value("gateway_request_duration_seconds_bucket", service="samples", le="0.005"))
        self.assertEqual(7, value("gateway_request_duration_seconds_count", service="samples"))
        self.assertEqual(12, value("gateway_requests_in_flight"))
        self.assertEqual(0, value("gateway_redis_up"))
        self.assertEqual(0, value("service_health_status", service="samples", status="healthy"))
        self.assertEqual(1, value("service_health_status", service="samples", status="unhealthy"))
        self.assertEqual(1, value("gateway_build_info", **BUILD))

    def test_merge(self) -> None:
        """All values come to what prometheus-client's own merge makes of them."""
        self.worker(3, 5)
        self.worker(4, 7, redis="down", health="unhealthy")
        files = [str(file) for file in Path(self.directory).glob("*.db")]

        def flat(metrics: Iterable[Metric]) -> set[tuple[object, ...]]:
            return {
                (
                    metric.name,
                    metric.type,
                    metric.documentation,
                    sample.name,
                    str(sorted(sample.labels.items())),
                    sample.value,
                )
                for metric in metrics
                for sample in metric.samples
            }

        merged = flat(merge(files))
        self.assertGreater(len(merged), 50)
        self.assertEqual(flat(MultiProcessCollector.merge(files)), merged)

    def test_killed(self) -> None:
        """What a killed worker had counted stays."""
        self.end(self.worker(3, 5))
        values = values_of(render(self.directory))
        key = ("gateway_requests_total", frozenset({"method": "GET", "service": "samples", "status": "200"}.items()))
        self.assertEqual(3, values[key])

    def test_emptyFile(self) -> None:
        """A file that its worker has just made does not spoil the page."""
        self.worker(1, 0)
        with open(os.path.join(self.directory, "counter_1.db"), "wb"):
            pass
        self.assertIn(b"gateway_requests_total{", render(self.directory).body)

    def test_nothing(self) -> None:
        """Without any worker the page is empty."""
        self.assertEqual(b"", render(self.directory).body)

    def test_openMetrics(self) -> None:
        """The page of all workers is valid OpenMetrics for who accepts that."""
        self.worker(3, 5)
        page = render(self.directory, openmetrics=True)
        names = {family.name for family in read_openmetrics(page.body.decode())}
        self.assertIn("gateway_requests_in_flight", names)

    def test_lock(self) -> None:
        """While the page is made nobody may fold files, and afterwards the lock is free again."""
        descriptor = os.open(self.directory, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        render(self.directory)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class RecorderTests(SynchronousTestCase):
    """``RequestRecorder``."""

    def test_all(self) -> None:
        """Every witness of a request's end is told when it ended, and how long it took."""
        told: list[Any] = []
        witnesses = [lambda *end: told.append((1, *end)), lambda *end: told.append((2, *end))]
        request = ended()
        RequestRecorder(witnesses, lambda: 10.25, lambda: 1e9).request_ended(request)
        self.assertEqual([(1, request, 1e9, 0.25), (2, request, 1e9, 0.25)], told)

    def test_failure(self) -> None:
        """A fault in recording is logged and does not reach the request."""

        def fail(*line: object) -> None:
            raise ZeroDivisionError

        recorder = RequestRecorder([fail], lambda: 11.0)
        recorder.request_ended(ended())
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
