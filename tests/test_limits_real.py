"""Limits as they hold in the field: several worker processes, many connections, one Redis, and what becomes of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.running_kit import RunningGateway

RATE, BURST = 1200, 60

CONFIGURATION = f"""
[services.samples]
prefix = "/samples"
instances = ["@UPSTREAM@"]
rate_limit = {{ requests_per_minute = {RATE}, burst = {BURST} }}

[services.storage]
prefix = "/storage"
instances = ["@UPSTREAM@"]
rate_limit = {{ requests_per_minute = 600000, burst = 10000 }}

[services.templates]
prefix = "/templates"
instances = ["@UPSTREAM@"]
when_redis_is_down = "closed"
rate_limit = {{ requests_per_minute = 600000, burst = 10000 }}

[rate_limit]
enabled = true
"""


class Load:
    """Clients that ask one after the other, each on its own connection, until they are told to stop."""

    def __init__(self, gateway: RunningGateway, path: str, clients: int, pause: float = 0.0) -> None:
        self._gateway, self._path, self._pause = gateway, path, pause
        self._stopping = threading.Event()
        self.answers: list[tuple[float, float, int]] = []
        """When a request was sent, when its answer had come, and its status."""
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        connection = self._gateway.connect()
        try:
            while not self._stopping.is_set():
                sent = time.monotonic()
                connection.request("GET", self._path)
                answer = connection.getresponse()
                answer.read()
                self.answers.append((sent, time.monotonic(), answer.status))
                if self._pause:
                    time.sleep(self._pause)
        except OSError:
            self.answers.append((sent, time.monotonic(), 0))
        finally:
            connection.close()

    def stop(self) -> Counter[int]:
        """Stop all; return how often each status came, 0 for a connection that broke."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        return Counter(status for _, _, status in self.answers)


class ExactTests(SynchronousTestCase):
    def test_exact(self) -> None:
        """With three workers and 24 connections, what is admitted is burst + rate x time, to within one."""
        gateway = RunningGateway(CONFIGURATION, workers=3)
        self.addCleanup(gateway.stop)
        load = Load(gateway, "/samples/1", 24)
        time.sleep(3)
        statuses = load.stop()
        self.assertEqual(set(statuses), {200, 429}, statuses)
        admitted = [(sent, came) for sent, came, status in load.answers if status == 200]
        first_sent, last_came = min(sent for sent, _ in admitted), max(came for _, came in admitted)
        most = BURST + (last_came - first_sent) * RATE / 60 + 1
        first_came, last_sent = min(came for _, came in admitted), max(sent for sent, _, _ in load.answers)
        least = BURST + (last_sent - first_came) * RATE / 60 - 1
        self.assertTrue(least <= len(admitted) <= most, (least, len(admitted), most))


class FaultTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = RunningGateway(CONFIGURATION)
        self.addCleanup(self.gateway.stop)

    def limits(self) -> str:
        """What one of the workers says of the limits."""
        answer = self.gateway.get("/health")[1]
        return str(answer["rate_limits"])

    def all_say(self, word: str) -> bool:
        """Whether the workers say so, as far as a few connections show."""
        return all(self.limits() == word for _ in range(8))

    def test_killed(self) -> None:
        """When Redis is killed, requests go on under the workers' own limits, and within two seconds of its return the
        limits are shared again; only who asked for it is refused with 503."""
        load, closed = Load(self.gateway, "/storage/1", 4, 0.002), Load(self.gateway, "/templates/1", 1, 0.02)
        time.sleep(0.3)
        os.kill(self.gateway.redis_pid(), signal.SIGKILL)
        self.gateway.until(lambda: self.gateway.log.read_text().count("embedded Redis serves") == 2)
        returned = self.gateway.until(lambda: self.all_say("shared"))
        statuses, others = load.stop(), closed.stop()
        self.assertLess(returned, 2.0)
        self.assertEqual(set(statuses), {200}, statuses)
        self.assertTrue({200} <= set(others) <= {200, 503}, others)

    def test_hangs(self) -> None:
        """When Redis hangs, nobody waits for it longer than once, and it is used again when it goes on."""
        pid = self.gateway.redis_pid()
        load = Load(self.gateway, "/storage/1", 4, 0.002)
        time.sleep(0.3)
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        stopped = time.monotonic()
        self.gateway.until(lambda: self.all_say("local"))
        time.sleep(1)
        resumed = time.monotonic()
        os.kill(pid, signal.SIGCONT)
        returned = self.gateway.until(lambda: self.all_say("shared"))
        statuses = load.stop()
        self.assertEqual(set(statuses), {200}, statuses)
        self.assertLess(returned, 2.0)
        times = sorted(came - sent for sent, came, _ in load.answers if stopped - 0.05 < sent < resumed)
        self.assertLess(times[len(times) * 99 // 100], 0.06)

    def test_script_forgotten(self) -> None:
        """A Redis that forgets the script gets it again, and nobody notices."""
        from tests.redis_talk import Talk

        path = next(self.gateway.directory.rglob("redis.sock"))
        talk = Talk(str(path))
        self.addCleanup(talk.close)
        load = Load(self.gateway, "/storage/1", 4)
        for _ in range(5):
            time.sleep(0.1)
            talk.command("SCRIPT", "FLUSH")
        statuses = load.stop()
        self.assertEqual(set(statuses), {200}, statuses)
        self.assertEqual(self.limits(), "shared")
        self.assertEqual([key for key in talk.command("KEYS", "*") if talk.command("TTL", key) < 0], [])

    def test_error_replies(self) -> None:
        """A Redis that is out of memory answers with errors: nobody notices, and it is used again when it has room."""
        from tests.redis_talk import Talk

        talk = Talk(str(next(self.gateway.directory.rglob("redis.sock"))))
        self.addCleanup(talk.close)
        load = Load(self.gateway, "/storage/1", 4, 0.001)
        talk.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        talk.command("CONFIG", "SET", "maxmemory", "1")
        self.gateway.until(lambda: self.limits() == "local")
        talk.command("CONFIG", "SET", "maxmemory", "64mb")
        returned = self.gateway.until(lambda: self.all_say("shared"))
        statuses = load.stop()
        self.assertEqual(set(statuses), {200}, statuses)
        self.assertLess(returned, 2.0)
