"""One gateway takes over from another: twistd, workers, and clients that must not notice."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading

from twisted.trial.unittest import SynchronousTestCase

from tests.running_kit import RunningGateway, SlowService
from tracseq_gateway.cli.reload import UNCHANGED

SERVICES = (
    '[gateway]\nrun_directory = "@DIRECTORY@/run"\ndrain_seconds = 10\n[rate_limit]\nenabled = true\n'
    '[services.samples]\nprefix = "/samples"\ninstances = ["@UPSTREAM@"]\n'
    "rate_limit = { requests_per_minute = 1000000, burst = 1000000 }\n"
    '[services.files]\nprefix = "/files"\nhealth = { interval = 0 }\ninstances = ["http://127.0.0.1:@SLOW@"]\n'
)


ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Starts a program as systemd does, with one socket."""


class NewClients(threading.Thread):
    """Opens a connection for each request, one after the other."""

    def __init__(self, gateway: RunningGateway) -> None:
        super().__init__(daemon=True)
        self.answers = 0
        self.errors: list[str] = []
        self._gateway = gateway
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                status, _ = self._gateway.get("/samples/any")
            except Exception as error:
                self.errors.append(repr(error))
            else:
                self.answers += 1
                if status != 200:
                    self.errors.append(f"status {status}")

    def stop(self) -> None:
        self._stopped.set()
        self.join(10)


class TakeoverTests(SynchronousTestCase):
    """``twistd tracseq-gateway --takeover``."""

    def setUp(self) -> None:
        self.slow = SlowService()
        self.gateway = RunningGateway(SERVICES.replace("@SLOW@", str(self.slow.port)))
        self.addCleanup(self.gateway.stop)
        self.log = self.gateway.directory / "log of the second"

    def second(self) -> subprocess.Popen[bytes]:
        """Start the gateway that takes over, with the same options."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [*self.gateway.words, "--takeover"],
                cwd=self.gateway.directory,
                env=self.gateway.environ,
                stdout=log,
                stderr=log,
            )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def test_takeover(self) -> None:
        """Nobody is refused, a download goes on, the first ends with status 0, and commands reach the second."""
        download = self.gateway.connect()
        self.addCleanup(download.close)
        download.request("GET", "/files/any")
        answer = download.getresponse()
        self.assertEqual(b"begun", answer.read(5))
        clients = [NewClients(self.gateway) for _ in range(2)]
        second = self.second()
        self.gateway.until(lambda: "another gateway has taken over" in self.gateway.log.read_text(), 30)
        seen = [client.answers for client in clients]
        self.gateway.until(lambda: all(one.answers > n + 20 for one, n in zip(clients, seen, strict=True)))
        self.assertIsNone(self.gateway.process.poll(), "it waits for the download")
        self.slow.finish.set()
        self.assertEqual(b"done", answer.read())
        download.close()
        self.assertEqual(0, self.gateway.process.wait(15))
        self.assertIn("stopped: 0 requests were cut", self.gateway.log.read_text())
        for client in clients:
            client.stop()
        self.assertEqual([[], []], [client.errors for client in clients])
        status, printed, complained = self.gateway.command("reload")
        self.assertEqual((0, f"reloaded: {UNCHANGED}\n", ""), (status, printed, complained))
        self.assertEqual(200, self.gateway.get("/samples/any")[0])
        self.assertEqual("shared", self.gateway.get("/health")[1]["rate_limits"])
        self.end(second)
        self.assertEqual((0, False), (second.returncode, (self.gateway.directory / "run").exists()))

    def test_killed(self) -> None:
        """If the second dies before it serves, the first serves on, can be reloaded, and is taken over by a third."""
        second = self.second()
        self.gateway.until(lambda: "another gateway prepares" in self.gateway.log.read_text(), 30)
        second.kill()
        second.wait()
        self.gateway.until(lambda: "this one serves on" in self.gateway.log.read_text())
        self.assertEqual(200, self.gateway.get("/samples/any")[0])
        self.assertEqual(0, self.gateway.command("reload")[0])
        third = self.second()
        self.assertEqual(0, self.gateway.process.wait(30))
        self.assertEqual(200, self.gateway.get("/samples/any")[0])
        self.end(third)
        self.assertEqual(0, third.returncode)

    def test_activated(self) -> None:
        """A socket that systemd has opened is served, by all workers together."""
        file = self.gateway.directory / "activated.toml"
        file.write_text(self.gateway.file.read_text().replace("/run", "/other"))
        with socket.create_server(("127.0.0.1", 0)) as listener, self.log.open("wb") as log:
            port = listener.getsockname()[1]
            words = [*self.gateway.words, "--config", str(file), "--port", str(port)]
            process = subprocess.Popen(
                [sys.executable, "-c", ACTIVATE, str(listener.fileno()), *words],
                cwd=self.gateway.directory,
                env={**self.gateway.environ, "LISTEN_FDS": "1"},
                pass_fds=[listener.fileno()],
                stdout=log,
                stderr=log,
            )
        self.addCleanup(self.end, process)
        self.gateway.until(lambda: self.log.read_text().count("serves (pid") == 3, 20)  # Redis and two workers
        self.gateway.port = port
        self.assertEqual([200] * 5, [self.gateway.get("/samples/any")[0] for _ in range(5)])

    def test_nobody(self) -> None:
        """Where no gateway runs there is nothing to take over, and that is said."""
        self.gateway.process.terminate()
        self.gateway.process.wait(15)
        second = self.second()
        self.assertEqual(1, second.wait(15))
        self.assertIn("--takeover: no gateway can be reached in ", self.log.read_text())
