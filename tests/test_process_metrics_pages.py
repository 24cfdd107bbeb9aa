"""Pages of metrics, as the supervisor makes them for its workers."""

from __future__ import annotations

import http.client
import os
import re
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.samples import Sample
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.running_kit import RunningGateway
from tracseq_gateway.metrics import sheet
from tracseq_gateway.metrics.sheet import InstanceFigures, Sheet
from tracseq_gateway.process.control import PageNotMade
from tracseq_gateway.process.metrics_directory import MetricsDirectory
from tracseq_gateway.process.metrics_pages import KEEP_SECONDS, MetricsPages, Processes

CONFIGURATION = """
[metrics]
enabled = true

[services.samples]
prefix = "/samples"
instances = ["@UPSTREAM@"]
health = { interval = 0.2 }
"""


class MetricsPagesTests(SynchronousTestCase):
    """``MetricsPages``, with threads on paper."""

    def setUp(self) -> None:
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.directory = MetricsDirectory(made.name)
        self.clock = Clock()
        self.thread: list[tuple[Callable[[], None], Deferred[None]]] = []
        self.pages = MetricsPages(
            self.directory, self.run_later, self.clock.seconds, lambda: Processes(3, {"0": os.getpid()})
        )

    def run_later(self, function: Callable[[], None]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.thread.append((function, done))
        return done

    def run_thread(self) -> None:
        function, done = self.thread.pop(0)
        function()
        done.callback(None)

    def test_made(self) -> None:
        """The page says what the workers wrote, and what the supervisor knows of its processes."""
        figures = InstanceFigures(True, requests=5)
        sheet.write(Sheet({("samples", "http://h:1"): figures}), self.directory.path, sheet.name_of(1))
        page = self.pages.make(False)
        self.assertNoResult(page)
        self.run_thread()
        text = Path(self.successResultOf(page)).read_text()
        values = {sample.name: sample.value for family in read_text(text) for sample in family.samples}
        self.assertEqual(3, values["gateway_worker_restarts_total"])
        self.assertEqual(5, values["gateway_instance_requests_total"])
        self.assertIn('process_resident_memory_bytes{worker="supervisor"}', text)

    def test_once(self) -> None:
        """Who asks while a page is made, or shortly after, gets that one; later there is another."""
        asked = [self.pages.make(True) for _ in range(3)]
        self.run_thread()
        (path,) = {self.successResultOf(one) for one in asked}
        self.assertTrue(Path(path).read_bytes().endswith(b"# EOF\n"))
        self.assertEqual(path, self.successResultOf(self.pages.make(True)))
        self.clock.advance(KEEP_SECONDS)
        self.assertNoResult(self.pages.make(True))
        self.assertEqual(1, len(self.thread))

    def test_formats(self) -> None:
        """Both kinds may be made at once."""
        text, openmetrics = self.pages.make(False), self.pages.make(True)
        self.run_thread()
        self.run_thread()
        self.assertNotEqual(self.successResultOf(text), self.successResultOf(openmetrics))

    def test_idle(self) -> None:
        """The directory is not removed while a page is written there."""
        self.successResultOf(self.pages.idle())
        page = self.pages.make(False)
        idle = self.pages.idle()
        self.assertNoResult(idle)
        self.run_thread()
        self.successResultOf(idle)
        self.successResultOf(page)

    def test_failure(self) -> None:
        """A page that cannot be made is an error for all who asked, which the log explains; the next may succeed."""
        self.pages._run = lambda function: fail(OSError("no space left"))
        self.failureResultOf(self.pages.make(False), PageNotMade)
        self.assertEqual(1, len(self.flushLoggedErrors(OSError)))
        self.pages._run = self.run_later
        page = self.pages.make(False)
        self.run_thread()
        self.successResultOf(page)


class RunningTests(SynchronousTestCase):
    """The page of a gateway that runs, with real workers."""

    def setUp(self) -> None:
        self.gateway = RunningGateway(CONFIGURATION)
        self.addCleanup(self.gateway.stop)

    def page(self, accept: str = "") -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=10)
        try:
            connection.request("GET", "/metrics", headers={"accept": accept})
            answer = connection.getresponse()
            self.assertEqual(200, answer.status)
            return answer.read().decode()
        finally:
            connection.close()

    def samples(self) -> list[Sample]:
        return [sample for family in read_text(self.page()) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        return sum(
            sample.value for sample in self.samples() if sample.name == name and labels.items() <= sample.labels.items()
        )

    def test_killed(self) -> None:
        """A killed worker's gauges vanish, what it had counted stays, and that it was replaced is counted."""
        for _ in range(20):
            self.gateway.get("/samples/x")
        self.gateway.until(lambda: self.value("gateway_requests_total", service="samples") == 20)
        self.gateway.until(lambda: self.value("gateway_instance_requests_total", service="samples") == 20)
        victim = self.gateway.worker_pids()[0]
        directory = Path(self.environment(victim)["PROMETHEUS_MULTIPROC_DIR"])
        self.assertEqual(0o700, directory.stat().st_mode & 0o777)
        self.assertTrue(list(directory.glob(f"gauge_*_{victim}.db")))
        os.kill(victim, signal.SIGKILL)
        self.gateway.until(lambda: len(self.gateway.worker_pids()) == 3)
        self.gateway.until(lambda: not list(directory.glob(f"*_{victim}.*")))
        self.gateway.until(lambda: self.value("gateway_worker_restarts_total") == 1)
        self.gateway.until(lambda: self.value("gateway_workers", state="running") == 2)
        self.assertEqual(20, self.value("gateway_requests_total", service="samples"))
        self.assertEqual(20, self.value("gateway_instance_requests_total", service="samples"))
        self.gateway.process.terminate()
        self.gateway.process.wait(10)
        self.assertFalse(directory.exists())

    def environment(self, pid: int) -> dict[str, str]:
        text = Path(f"/proc/{pid}/environ").read_text()
        return dict(item.split("=", 1) for item in text.split("\0") if "=" in item)

    def test_openmetrics(self) -> None:
        """Who asks for OpenMetrics gets it, valid, from any worker; all processes and the versions are on it."""
        text = self.page("application/openmetrics-text")
        samples = [sample for family in read_openmetrics(text) for sample in family.samples]
        names = {sample.labels["worker"] for sample in samples if sample.name == "process_cpu_seconds_total"}
        self.assertEqual({"supervisor", "0", "1"}, names)
        (build,) = (sample.labels for sample in samples if sample.name == "gateway_build_info")
        self.assertEqual({"version", "python", "twisted"}, set(build))
        self.assertTrue(all(re.match(r"\d+\.\d+", version) for version in build.values()), build)
