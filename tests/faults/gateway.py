"""The gateway under test: ``twistd tracseq-gateway`` in a session of its own, seen from outside."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.faults import proc
from tests.faults.control import ROOT

TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
CLI = (sys.executable, "-c", "import sys; from tracseq_gateway.cli import main; sys.exit(main())")
WORKER = "tracseq_gateway.process.worker"
START_SECONDS = 20.0
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


class GatewayFailed(Exception):
    """The gateway did not start or did not stop; the message has the end of its log."""


class GatewayUnderTest:
    """Runs from :meth:`start` to :meth:`end`, which leaves no process behind."""

    def __init__(
        self,
        directory: Path,
        configuration: str,
        port: int,
        workers: int,
        environ: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        """``before`` stands before the command, such as ``prlimit --nofile=256``."""
        self.port = port
        self.workers = workers
        self.file = directory / "gateway.toml"
        self.log_file = directory / "gateway.log"
        self._directory = directory
        self._environ = dict(environ or {})
        self._before = list(before)
        self.file.write_text(configuration)
        self.process: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str) -> float:
        """Start it, or another one of it, and wait until all workers serve; returns the seconds that took.

        Raises :exc:`GatewayFailed`; one that ran before is then still the one that is meant.
        """
        command = [*self._before, *TWISTD, "-n", "--pidfile=", "tracseq-gateway", "--config", str(self.file)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", str(self.workers), *options]
        setpriv = shutil.which("setpriv")
        if setpriv is not None:  # so that it ends with the harness, should that be killed
            command = [setpriv, "--pdeathsig", "KILL", *command]
        served, begun = len(self.served()), time.monotonic()
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self._directory, env=self._environment(), stdout=log, stderr=log, start_new_session=True
            )
        self._started.append(process)
        while len(self.served()) < served + self.workers:
            if process.poll() is not None:
                raise GatewayFailed(f"the gateway ended with {process.returncode}:\n{self.tail()}")
            if time.monotonic() - begun > START_SECONDS:
                raise GatewayFailed(f"the workers do not serve after {START_SECONDS:g} s:\n{self.tail()}")
            time.sleep(0.02)
        self.process = process
        return time.monotonic() - begun

    def _environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return inherited | {"PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(self._directory), **self._environ}

    def command(self, *arguments: str, seconds: float = 30.0) -> tuple[int, str]:
        """Run ``tracseq-gateway`` with its configuration: exit status, and all that it printed."""
        done = subprocess.run(
            [*CLI, *arguments, "--config", str(self.file), "--port", str(self.port)],
            cwd=self._directory,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
        )
        return done.returncode, done.stdout.decode(errors="replace")

    @property
    def pid(self) -> int:
        """The supervisor."""
        assert self.process is not None, "the gateway was not started"
        return self.process.pid

    @property
    def log(self) -> str:
        """All that it has said."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def tail(self, lines: int = 25) -> str:
        """The end of the log."""
        return "\n".join(self.log.splitlines()[-lines:])

    def served(self) -> list[int]:
        """The workers that have begun to serve, in that order."""
        return [int(pid) for pid in re.findall(r"worker \d+ serves \(pid (\d+)\)", self.log)]

    def worker_pids(self) -> list[int]:
        """The workers that are alive, oldest place first."""
        return [pid for pid in proc.in_session(self.pid) if WORKER in proc.command(pid)]

    @property
    def running(self) -> bool:
        """Whether the supervisor has not ended."""
        return self.process is not None and self.process.poll() is None

    def place(self, worker: int) -> int:
        """The number of a worker's place; -1 if it is gone."""
        found = re.search(r"--worker (\d+)", proc.command(worker))
        return int(found[1]) if found else -1

    def pids(self) -> list[int]:
        """All its processes that are alive, of all starts."""
        return [pid for process in self._started for pid in proc.in_session(process.pid)]

    def signal(self, number: int) -> None:
        """Send the supervisor a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def ask(self, path: str, seconds: float = 2.0) -> tuple[int, Any]:
        """Ask one of its own pages: status and JSON. Raises OSError or HTTPException when there is no answer."""
        status, body = self._page(path, seconds)
        return status, json.loads(body)

    def metrics(self, name: str) -> dict[str, float]:
        """The values of a metric, by its labels as they are written on the page."""
        _status, body = self._page("/metrics", 5.0)
        lines = re.findall(rf"^{name}(\{{.*\}})? (\S+)$", body.decode(), re.MULTILINE)
        return {labels: float(value) for labels, value in lines}

    def _page(self, path: str, seconds: float) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self, seconds: float = 10.0) -> tuple[int | None, float, int]:
        """Stop it with SIGTERM: the exit code (None: it did not go), the seconds, and the processes left over."""
        assert self.process is not None
        begun = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code: int | None = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        took = time.monotonic() - begun
        until = time.monotonic() + 1  # who is told to go may take a moment after its parent
        while self.pids() and time.monotonic() < until:
            time.sleep(0.02)
        return code, took, len(self.pids())

    def end(self) -> None:
        """Kill whatever is left."""
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it went by itself
        for process in self._started:
            process.wait()
