"""The whole gateway under load while its processes are killed and stopped: what the clients notice."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.running_kit import RunningGateway

CONFIGURATION = """
[gateway]
drain_seconds = 2
watchdog_seconds = 2
[client]
requests_per_connection = 0
[rate_limit]
enabled = false
[services.samples]
prefix = "/samples"
instances = ["@UPSTREAM@"]
"""

CLIENTS = 12


class Visitor(threading.Thread):
    """Asks again and again on one connection, and opens another when that is lost."""

    def __init__(self, gateway: RunningGateway, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self.answers = 0
        self.losses: list[str] = []
        self.longest = 0.0
        """Seconds that the slowest answer took."""
        self._connection = gateway.connect()
        self._ended = ended

    @property
    def port(self) -> int:
        """The client's end of the connection."""
        port: int = self._connection.sock.getsockname()[1]
        return port

    def run(self) -> None:
        while not self._ended.is_set():
            begun = time.monotonic()
            try:
                self._connection.request("GET", "/samples/any")
                answer = self._connection.getresponse()
                answer.read()
                if answer.status == 200:
                    self.answers += 1
                else:
                    self.losses.append(str(answer.status))
            except (OSError, http.client.HTTPException) as error:
                self.losses.append(repr(error))
                self._connection.close()
            self.longest = max(self.longest, time.monotonic() - begun)
        self._connection.close()


def clients_of(pid: int, port: int) -> set[int]:
    """The ports at the clients' ends of a process's connections on ``port``; see proc(5)."""
    links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()]
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = fields = line.split()
        if state == "01" and int(local.rpartition(":")[2], 16) == port and fields[9] in inodes:
            found.add(int(remote.rpartition(":")[2], 16))
    return found


class SurvivalTests(SynchronousTestCase):
    """Two workers, and an echoing service."""

    def setUp(self) -> None:
        self.gateway = RunningGateway(CONFIGURATION)
        self.addCleanup(self.gateway.stop)

    @contextmanager
    def load(self) -> Iterator[list[Visitor]]:
        """Keep-alive clients; when it is over, all have ended."""
        ended = threading.Event()
        visitors = [Visitor(self.gateway, ended) for _ in range(CLIENTS)]
        try:
            for visitor in visitors:
                visitor.start()
            yield visitors
        finally:
            ended.set()
            for visitor in visitors:
                visitor.join(15)

    def all_served(self, visitors: list[Visitor], count: int) -> None:
        """Wait until each has got ``count`` more answers."""
        goals = [visitor.answers + count for visitor in visitors]
        self.gateway.until(lambda: all(v.answers >= goal for v, goal in zip(visitors, goals, strict=True)))

    def test_killed_worker(self) -> None:
        """SIGKILL loses one request at most on each connection of that worker, and none of the other worker's."""
        with self.load() as visitors:
            self.all_served(visitors, 10)
            victim, _ = self.gateway.worker_pids()
            lost = clients_of(victim, self.gateway.port)
            hit = [visitor for visitor in visitors if visitor.port in lost]
            os.kill(victim, signal.SIGKILL)
            self.gateway.until(lambda: len(self.gateway.worker_pids()) == 3)
            self.all_served(visitors, 10)
        self.assertEqual([], [loss for visitor in visitors if visitor not in hit for loss in visitor.losses])
        self.assertLessEqual(max((len(visitor.losses) for visitor in hit), default=0), 1)
        self.assertLess(max(visitor.longest for visitor in visitors), 5.0)  # a start, on a busy machine

    def test_stopped_worker(self) -> None:
        """A worker that SIGSTOP stopped costs its clients one request each, and the others none."""
        with self.load() as visitors:
            self.all_served(visitors, 10)
            victim, _ = self.gateway.worker_pids()
            lost = clients_of(victim, self.gateway.port)
            hit = [visitor for visitor in visitors if visitor.port in lost]
            os.kill(victim, signal.SIGSTOP)
            self.gateway.until(lambda: len(self.gateway.worker_pids()) == 3)
            self.all_served(visitors, 10)
        self.assertEqual([], [loss for visitor in visitors if visitor not in hit for loss in visitor.losses])
        self.assertLessEqual(max((len(visitor.losses) for visitor in hit), default=0), 1)

        log = self.gateway.log.read_text()
        self.assertRegex(log, r"worker (\d) accepts for worker (\d)\n")
        self.assertRegex(log, r"worker (\d) no longer accepts for worker (\d)\n")
        self.assertNotIn("Traceback", log)

    def test_stopped_supervisor(self) -> None:
        """While the supervisor is stopped the workers serve on, and when it wakes it does not take them for stuck."""
        with self.load() as visitors:
            self.all_served(visitors, 5)
            os.kill(self.gateway.process.pid, signal.SIGSTOP)
            try:
                begun = time.monotonic()
                self.gateway.until(lambda: time.monotonic() - begun > 2.5)
                self.all_served(visitors, 5)
            finally:
                os.kill(self.gateway.process.pid, signal.SIGCONT)
            begun = time.monotonic()
            self.gateway.until(lambda: time.monotonic() - begun > 1.0)
            self.all_served(visitors, 5)
        self.assertEqual([], [loss for visitor in visitors for loss in visitor.losses])
        self.assertEqual(2, len(self.gateway.worker_pids()))
        self.assertNotIn("has not answered", self.gateway.log.read_text())
