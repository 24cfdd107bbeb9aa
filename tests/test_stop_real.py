"""A stop that is announced: the gateway serves on while nobody new shall be sent to it."""

from __future__ import annotations

import os
import signal
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.running_kit import RunningGateway

SERVICE = '[services.samples]\nprefix = "/samples"\ninstances = ["@UPSTREAM@"]\n'


class StopDelayTests(SynchronousTestCase):
    """``gateway.stop_delay``."""

    def start(self, seconds: float) -> RunningGateway:
        gateway = RunningGateway(f"[gateway]\nstop_delay = {seconds}\n" + SERVICE)
        self.addCleanup(gateway.stop)
        return gateway

    def notReady(self, gateway: RunningGateway) -> bool:
        return gateway.get("/health/ready") == (503, {"status": "draining"})

    def test_served(self) -> None:
        """After SIGTERM all workers say that they are not ready, serve on for that long, and then leave."""
        gateway = self.start(1.5)
        gateway.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        gateway.until(lambda: self.notReady(gateway))
        for _ in range(10):  # of both workers
            self.assertTrue(self.notReady(gateway))
            self.assertEqual(200, gateway.get("/samples/any")[0])
        self.assertIsNone(gateway.process.poll())
        self.assertEqual(0, gateway.process.wait(10))
        self.assertGreater(time.monotonic() - told, 1.4)
        self.assertIn("serving on for 1.5 s", gateway.log.read_text())

    def test_hurried(self) -> None:
        """Ctrl-C does not wait for it."""
        gateway = self.start(60)
        gateway.process.send_signal(signal.SIGTERM)
        gateway.until(lambda: self.notReady(gateway))
        gateway.process.send_signal(signal.SIGINT)
        self.assertEqual(0, gateway.process.wait(5))

    def test_workerDies(self) -> None:
        """A worker that dies meanwhile is replaced, and its successor says so, too."""
        gateway = self.start(60)
        gateway.process.send_signal(signal.SIGTERM)
        gateway.until(lambda: self.notReady(gateway))
        for pid in gateway.worker_pids():
            os.kill(pid, signal.SIGKILL)
        gateway.until(lambda: len(gateway.worker_pids()) == 4)
        for _ in range(4):
            self.assertTrue(self.notReady(gateway))
