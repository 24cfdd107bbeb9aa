"""The access log of a whole gateway: to the journal, through logrotate, and with targets that take nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.journal_kit import RealJournal, missing
from tests.running_kit import RunningGateway

SERVICE = (
    '[services.samples]\nprefix = "/samples"\ninstances = ["@UPSTREAM@"]\n[metrics]\nenabled = true\n[access_log]\n'
)
LOGROTATE = "/usr/sbin/logrotate"


class GatewayTestCase(SynchronousTestCase):
    gateway: RunningGateway

    def begin(self, access_log: str) -> None:
        """Run a gateway with these keys in ``[access_log]``."""
        self.gateway = RunningGateway(SERVICE + access_log)
        self.addCleanup(self.gateway.stop)

    def visit(self, count: int = 10, path: str = "/samples/1") -> None:
        """Make requests, all of which are answered."""
        for _ in range(count):
            self.assertEqual(200, self.gateway.get(path)[0])

    def dropped(self) -> float:
        """Lines that were lost, by the metrics."""
        connection = self.gateway.connect()
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
        connection.close()
        return sum(
            float(line.split()[-1]) for line in page.splitlines() if line.startswith("gateway_access_log_dropped_total")
        )


class JournalTests(GatewayTestCase):
    def setUp(self) -> None:
        if missing():
            raise SkipTest(missing())
        self.journal = self.journald()

    def journald(self) -> RealJournal:
        journal = RealJournal()
        self.addCleanup(journal.stop)
        return journal

    def test_journal(self) -> None:
        """Each request is an entry with fields, by which journalctl finds it."""
        self.begin(
            f'target = "journald"\njournal = "{self.journal.socket}"\nheaders = ["X-Lab-Site"]\nomit = ["client"]'
        )
        self.visit(3)
        self.gateway.get("/samples/2?token=s3cr3t", X_Lab_Site="Basel", X_Request_Id="a-request")
        self.gateway.get("/samples/3", X_Answer_With="503")
        self.gateway.get("/nowhere")
        self.assertEqual(6, len(self.journal.wait_for("SYSLOG_IDENTIFIER=tracseq-gateway", count=6)))
        (found,) = self.journal.wait_for("TRACSEQ_PATH=/samples/2")
        expected = {
            "TRACSEQ_SERVICE": "samples",
            "TRACSEQ_ROUTE": "/samples",
            "TRACSEQ_STATUS": "200",
            "TRACSEQ_METHOD": "GET",
            "TRACSEQ_QUERY": "?token=[redacted]",
            "TRACSEQ_ATTEMPTS": "1",
            "TRACSEQ_INSTANCE": f"http://127.0.0.1:{self.gateway.service.port}",
            "TRACSEQ_SLOW": "false",
            "TRACSEQ_HTTP_X_LAB_SITE": "Basel",
            "PRIORITY": "6",
        }
        self.assertEqual(expected, {name: found.get(name) for name in expected})
        self.assertGreater(float(found["TRACSEQ_DURATION_MS"]), float(found["TRACSEQ_UPSTREAM_MS"]))
        self.assertIn(int(found["_PID"]), self.gateway.worker_pids())
        self.assertTrue(found["MESSAGE"].startswith("GET /samples/2 200 in "), found["MESSAGE"])
        self.assertFalse({"TRACSEQ_CLIENT", "TRACSEQ_ERROR", "TRACSEQ_USER"} & set(found))
        (failed,) = self.journal.wait_for("TRACSEQ_STATUS=503")
        self.assertEqual("4", failed["PRIORITY"])
        (unknown,) = self.journal.wait_for("TRACSEQ_PATH=/nowhere")
        self.assertEqual("no-route", unknown["TRACSEQ_ERROR"])

    def test_gone(self) -> None:
        """While there is no journal, requests are served and lines counted as lost; a new one gets what follows."""
        self.begin(f'target = "journald"\njournal = "{self.journal.socket}"')
        self.visit(1)
        self.journal.wait_for("TRACSEQ_PATH=/samples/1")
        self.journal.process.kill()
        self.journal.process.wait()
        self.visit()
        self.gateway.until(lambda: self.dropped() >= 10)
        journal = self.journald()
        Path(self.journal.socket).unlink()
        Path(self.journal.socket).symlink_to(journal.socket)
        self.visit(1, "/samples/later")
        journal.wait_for("TRACSEQ_PATH=/samples/later")

    def test_stuck(self) -> None:
        """A journal that takes nothing more keeps no request waiting; what has no room is counted."""
        self.begin(f'target = "journald"\njournal = "{self.journal.socket}"\nheaders = ["X-Filler"]')
        pid = self.journal.process.pid
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        for _ in range(100):
            self.assertEqual(200, self.gateway.get("/samples/1", X_Filler="x" * 50_000)[0])
        self.gateway.until(lambda: self.dropped() > 0)


class FaultTests(GatewayTestCase):
    """A log that cannot be written costs lines, and no request."""

    def test_full(self) -> None:
        """A full disk of one megabyte: lines are lost and counted, and written again when there is room."""
        if os.geteuid() != 0:
            raise SkipTest("only root may mount a small file system")
        folder = tempfile.mkdtemp()
        self.addCleanup(os.rmdir, folder)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", folder], check=True)
        self.begin(f'target = "{folder}/access.log"')
        filler = Path(folder, "filler")
        with filler.open("wb", buffering=0) as file:
            self.assertRaises(OSError, lambda: [file.write(b"x" * 4096) for _ in range(1024)])
        self.visit(20)
        self.gateway.until(lambda: self.dropped() >= 10)
        filler.unlink()
        self.visit(5, "/samples/later")
        self.gateway.until(lambda: Path(folder, "access.log").read_text().count("/samples/later") == 5)
        self.assertIn("No space left on device", self.gateway.said())

    def test_blocked(self) -> None:
        """A pipe that nobody reads: what has no room is lost and counted, and a stop does not wait for it."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        os.mkfifo(folder / "pipe")
        reader = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.begin(f'target = "{folder}/pipe"\nheaders = ["X-Filler"]')
        for _ in range(100):
            self.assertEqual(200, self.gateway.get("/samples/1", X_Filler="x" * 50_000)[0])
        self.gateway.until(lambda: self.dropped() > 0)
        begun = time.monotonic()
        self.gateway.process.terminate()
        self.gateway.process.wait(10)
        self.assertLess(time.monotonic() - begun, 5)

    def test_closed(self) -> None:
        """A standard output that was closed before the start: all lines are lost and counted, and no request."""
        log = Path(self.mktemp()).absolute()
        under = ("sh", "-c", 'exec "$@" >&-', "sh")

        class Closed(RunningGateway):
            def said(self) -> str:
                return log.read_text() if log.exists() else ""

        self.gateway = Closed(SERVICE + 'target = "stdout"', twistd=("--logfile", str(log)), under=under)
        self.addCleanup(self.gateway.stop)
        self.visit()
        self.gateway.until(lambda: self.dropped() >= 10)
        self.assertIn("standard output is closed", self.gateway.said())


class RotationTests(GatewayTestCase):
    """The real logrotate."""

    def setUp(self) -> None:
        if not Path(LOGROTATE).exists():
            raise SkipTest("no logrotate (Debian: apt-get install logrotate)")
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / "access.log"
        self.begin(f'target = "{self.file}"')

    def rotate(self, how: str) -> None:
        file = self.folder / "logrotate.conf"
        file.write_text(f"{self.file} {{\n    rotate 5\n    {how}\n}}\n")
        file.chmod(0o644)
        command = [LOGROTATE, "--force", "--state", str(self.folder / "state"), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((0, ""), (done.returncode, done.stderr))

    def files(self) -> list[Path]:
        return [file for file in self.folder.iterdir() if file.name.startswith("access.log")]

    def paths(self, file: Path) -> list[str]:
        return [json.loads(line)["path"] for line in file.read_text().splitlines()]

    def until_written(self, count: int) -> None:
        """Wait until there are so many lines."""
        self.gateway.until(lambda: sum(file.read_text().count("\n") for file in self.files()) >= count)

    def test_create(self) -> None:
        """A file that was moved away, with or without a new one in its place, costs no line."""
        for number, how in enumerate(("create 0640", "nocreate")):
            self.visit(5, f"/samples/before-{number}")
            self.until_written(10 * number + 5)
            self.rotate(how)
            self.visit(5, f"/samples/after-{number}")
            self.until_written(10 * number + 10)
        self.assertEqual(0, self.dropped())
        paths = [path for file in self.files() for path in self.paths(file)]
        for name in ("before-0", "after-0", "before-1", "after-1"):
            self.assertEqual(5, paths.count(f"/samples/{name}"), paths)

    def test_copytruncate(self) -> None:
        """A file that was copied and cut goes on at its start."""
        self.visit(5, "/samples/before")
        self.until_written(5)
        self.rotate("copytruncate")
        self.visit(5, "/samples/after")
        self.until_written(10)
        self.assertEqual(["/samples/before"] * 5, self.paths(self.folder / "access.log.1"))
        self.assertEqual(["/samples/after"] * 5, self.paths(self.file))
