"""Real tus clients against a running gateway, over lines that break, while workers are killed and all is restarted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.running_kit import ROOT, RunningGateway
from tests.uploads_real_kit import BrokenLine, Delivered, UploadService

SIZE = 4 << 20
CHUNK = 400_000
PYTHON = (sys.executable, "-m", "tests.uploads_python")
NODE_CLIENTS = ROOT / "tests" / "clients_node"
CONFIGURATION = """
[uploads]
directory = "@DIRECTORY@/uploads"

[client]
body_idle_seconds = 5

[services.rag]
prefix = "/rag"
instances = ["http://127.0.0.1:@SERVICE@"]
health = { interval = 0 }
breaker = { failures = 0 }
uploads = { paths = ["/documents/upload"] }
"""


def missing_node() -> str:
    """Why tus-js-client cannot be used; empty if it can."""
    if not shutil.which("node"):
        return "Node.js is not installed"
    return "" if (NODE_CLIENTS / "node_modules" / "tus-js-client").exists() else "tus-js-client is not installed"


class RealUploadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.service = UploadService()
        self.addCleanup(self.service.stop)
        self.gateway = RunningGateway(CONFIGURATION.replace("@SERVICE@", str(self.service.port)), workers=2)
        self.addCleanup(self.gateway.stop)
        self.file = Path(self.mktemp()).absolute()
        self.body = Random(7).randbytes(SIZE)
        self.file.write_bytes(self.body)

    def line(self, least: int = 200_000, most: int = 1_500_000) -> BrokenLine:
        line = BrokenLine(self.gateway.port, Random(11), least, most)
        self.addCleanup(line.stop)
        return line

    def upload(self, command: Sequence[str], line: BrokenLine, *further: str) -> subprocess.Popen[str]:
        """Have a client upload the file over a line; it is given file, URL and what is further said."""
        url = f"http://127.0.0.1:{line.port}/rag/documents/upload?run=7"
        words = [*command, str(self.file), url, *further]
        client = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(client.kill)
        return client

    def finish(self, client: subprocess.Popen[str]) -> str:
        """Wait for a client to be done, and return what it printed."""
        said, _ = client.communicate(timeout=50)
        self.assertEqual(0, client.returncode, said)
        return said

    def offset(self) -> int:
        """How many bytes of the newest upload are on disk."""
        sizes = [data.stat().st_size for data in (self.gateway.directory / "uploads").glob("*.data")]
        return max(sizes, default=0)

    def assertDelivered(self, path: str = "/api/v1/documents/upload?run=7") -> None:
        """Assert that the service got the file, byte by byte and once."""
        (seen,) = self.service.delivered
        expected = hashlib.sha256(self.body).hexdigest()
        self.assertEqual(Delivered(path, "application/x-run", SIZE, expected, True, seen.key), seen)

    def restart(self) -> None:
        """Stop the gateway in an orderly way, and start it again on the same port and directory."""
        gateway = self.gateway
        gateway.process.send_signal(signal.SIGINT)
        gateway.process.wait(20)
        served = len(gateway.worker_pids())
        with gateway.log.open("ab") as log:
            gateway.process = subprocess.Popen(
                gateway.words, cwd=gateway.directory, env=gateway.environ, stdout=log, stderr=log
            )
        gateway.until(lambda: len(gateway.worker_pids()) >= served + 2, 20)

    def test_python(self) -> None:
        """tuspy brings a file over a line that breaks again and again, each part with its checksum; the service gets
        it whole, and once."""
        line = self.line()
        self.finish(self.upload(PYTHON, line, str(CHUNK), "checked"))
        self.assertDelivered()
        self.assertGreater(line.cuts, 3)

    def test_killed_and_restarted(self) -> None:
        """The same when workers are killed, and the gateway restarted, while the file comes."""
        line = self.line(100_000, 500_000)
        client = self.upload(PYTHON, line, str(CHUNK), "unchecked")
        gateway = self.gateway
        gateway.until(lambda: self.offset() > SIZE // 8, 20)
        for pid in gateway.worker_pids()[-2:]:
            os.kill(pid, signal.SIGKILL)
        gateway.until(lambda: self.offset() > SIZE // 3, 20)
        self.restart()
        self.finish(client)
        self.assertDelivered()

    def test_javascript(self) -> None:
        """tus-js-client does as well, with all of the file in one part, and in many."""
        if missing_node():
            self.skipTest(missing_node())
        for chunk in (str(CHUNK), "Infinity"):
            line = self.line(100_000, 700_000)
            said = self.finish(self.upload(("node", str(NODE_CLIENTS / "upload.js")), line, chunk))
            self.assertIn("url", json.loads(said))
            self.assertDelivered()
            self.assertTrue(line.cuts)
            self.service.delivered.clear()

    def test_killed_while_delivering(self) -> None:
        """A worker that dies while the service has the file leaves it unknown: it is not sent a second time."""
        gateway = self.gateway
        hang, whole = threading.Event(), threading.Event()
        self.addCleanup(hang.set)

        def before_answer() -> None:
            whole.set()
            hang.wait(20)

        self.service.call_before_answer(before_answer)
        answer, url = gateway.connect(), ""
        answer.request("POST", "/rag/documents/upload", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "3"})
        url = answer.getresponse().headers["Location"]
        fields = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        part = gateway.connect()
        part.request("PATCH", url, b"abc", fields)
        self.assertTrue(whole.wait(10))
        for pid in gateway.worker_pids()[-2:]:
            os.kill(pid, signal.SIGKILL)
        gateway.until(lambda: len(gateway.worker_pids()) >= 4, 20)
        status, problem = gateway.get(url, "PATCH", b"", **{**fields, "Upload-Offset": "3"})
        self.assertEqual((423, "urn:tracseq:problem:upload-outcome-unknown"), (status, problem["type"]))
        self.assertEqual(1, len(self.service.delivered))
        part.close()
        answer.close()
