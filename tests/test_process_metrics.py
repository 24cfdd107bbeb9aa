"""The directory of the workers' metrics, as the supervisor keeps it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.metrics.page import render
from tracseq_gateway.metrics.shared import reading
from tracseq_gateway.process.metrics_directory import MetricsDirectory

ROOT = Path(__file__).parent.parent

WORKER = """
import os, sys
from types import SimpleNamespace as New
from tracseq_gateway.metrics.counting import RequestCounts
from tracseq_gateway.metrics.metrics import Metrics
counts, metrics = RequestCounts(["samples"]), Metrics(["samples"], "1.2.3")
def request(service):
    none = dict.fromkeys(("error", "trace")) | dict.fromkeys(("sent", "received", "answered"), 0)
    return New(head=New(method=b"GET"), service=service, status=200, **none)
counts.request_ended(request(sys.argv[1]), 0.0, 0.003)
metrics.add(counts.taken({}))
metrics.in_flight(5)
print(os.getpid(), flush=True)
os.kill(os.getpid(), 9)
"""


class MetricsDirectoryTests(SynchronousTestCase):
    """``MetricsDirectory``."""

    def setUp(self) -> None:
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.parent = made.name

    def killed(self, directory: MetricsDirectory, service: str = "samples") -> int:
        """Run a worker that serves one request and is killed; return its process id."""
        done = subprocess.run(
            [sys.executable, "-c", WORKER, service],
            cwd=ROOT,
            env=os.environ | directory.environment,
            capture_output=True,
        )
        self.assertEqual(-9, done.returncode, done.stderr)
        return int(done.stdout)

    def page(self, directory: MetricsDirectory) -> list[str]:
        return render(directory.path).body.decode().splitlines()

    def test_private(self) -> None:
        """It is for its user alone, in the run directory or a temporary one."""
        temporary = MetricsDirectory()
        self.addCleanup(temporary.remove)
        for directory in (MetricsDirectory(self.parent), temporary):
            self.assertEqual(0o700, stat.S_IMODE(os.stat(directory.path).st_mode))

    def test_wiped(self) -> None:
        """It is empty at the start, whatever was left there, and gone at the end, also when it was gone already."""
        left = os.path.join(MetricsDirectory(self.parent).path, "counter_1.db")
        with open(left, "wb"):
            pass
        directory = MetricsDirectory(self.parent)
        self.assertEqual([], os.listdir(directory.path))
        directory.remove()
        directory.remove()
        self.assertEqual([], os.listdir(self.parent))

    def test_noParent(self) -> None:
        """A parent that is not there is an error at once."""
        self.assertRaises(FileNotFoundError, MetricsDirectory, os.path.join(self.parent, "missing"))

    def test_notFollowed(self) -> None:
        """A symbolic link in its place is refused, and what it points to is left alone."""
        precious = os.path.join(self.parent, "precious")
        os.mkdir(precious)
        os.symlink(precious, os.path.join(self.parent, "metrics"))
        self.assertRaises(OSError, MetricsDirectory, self.parent)
        self.assertTrue(os.path.isdir(precious))

    def test_buried(self) -> None:
        """A dead worker's gauges vanish from the page, and its totals stay."""
        directory = MetricsDirectory(self.parent)
        pid = self.killed(directory)
        self.assertIn("gateway_requests_in_flight 5.0", self.page(directory))
        directory.bury(pid)
        page = self.page(directory)
        self.assertFalse([line for line in page if line.startswith("gateway_requests_in_flight")])
        self.assertIn('gateway_requests_total{method="GET",service="samples",status="200"} 1.0', page)

    def test_bounded(self) -> None:
        """However many workers die, the files stay few, and nothing that they counted is lost or counted twice."""
        directory = MetricsDirectory(self.parent)
        for service in ("samples", "samples", ""):
            directory.bury(self.killed(directory, service))
        page = self.page(directory)
        self.assertEqual({"counter_dead.db", "histogram_dead.db", "sheet_dead.json"}, set(os.listdir(directory.path)))
        self.assertIn('gateway_requests_total{method="GET",service="samples",status="200"} 2.0', page)
        self.assertIn('gateway_requests_total{method="GET",service="gateway",status="200"} 1.0', page)
        self.assertIn('gateway_request_duration_seconds_bucket{le="0.001",service="samples"} 0.0', page)
        self.assertIn('gateway_request_duration_seconds_bucket{le="0.005",service="samples"} 2.0', page)
        self.assertIn('gateway_request_duration_seconds_count{service="samples"} 2.0', page)

    def test_whileRead(self) -> None:
        """While somebody reads, totals are left where they are, to be folded later; gauges go all the same."""
        directory = MetricsDirectory(self.parent)
        pid = self.killed(directory)
        with reading(directory.path):
            directory.bury(pid)
        left = {f"counter_{pid}.db", f"histogram_{pid}.db", f"sheet_{pid}.json"}
        self.assertEqual(left, set(os.listdir(directory.path)))
        counted = 'gateway_requests_total{method="GET",service="samples",status="200"} 1.0'
        self.assertIn(counted, self.page(directory))
        directory.fold()
        self.assertFalse(left & set(os.listdir(directory.path)))
        self.assertIn(counted, self.page(directory))

    def test_diedEarly(self) -> None:
        """A worker that has left nothing, or an empty file, is buried too."""
        directory = MetricsDirectory(self.parent)
        directory.bury(12345)
        with open(os.path.join(directory.path, "counter_12345.db"), "wb"):
            pass
        directory.bury(12345)
        self.assertEqual([], os.listdir(directory.path))
