"""A whole gateway under a service manager that listens: sd_notify over a real socket."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.notify_kit import FakeManager, LiveManager
from tests.running_kit import RunningGateway
from tests.supervisor_kit import SupervisorCase
from tracseq_gateway.config import Config
from tracseq_gateway.process.notify import Manager

SERVICE = (
    "[gateway]\ndrain_seconds = 5\n"
    '[services.samples]\nprefix = "/samples"\ninstances = ["@UPSTREAM@"]\n'
    'health = { path = "/health", interval = 1, timeout = 1, unhealthy_after = 1, healthy_after = 1 }\n'
)
WELL = "2 of 2 workers serve; 1 service: 1 healthy"


class NotifyTests(SynchronousTestCase):
    """``twistd tracseq-gateway`` with ``NOTIFY_SOCKET``."""

    def start(self, *, abstract: bool = False) -> RunningGateway:
        self.manager = LiveManager(abstract=abstract)
        self.addCleanup(self.manager.close)
        # Of the process that reads it, whichever that is: without WATCHDOG_PID.
        environ = {"NOTIFY_SOCKET": self.manager.address, "WATCHDOG_USEC": "400000"}
        gateway = RunningGateway(SERVICE, environ)
        self.addCleanup(gateway.stop)
        gateway.until(lambda: self.manager.all("READY"))
        return gateway

    def hears(self, gateway: RunningGateway, name: str, times: int) -> None:
        gateway.until(lambda: len(self.manager.all(name)) >= times)

    def test_life(self) -> None:
        """It is ready when all workers serve, gives signs of life, says how it is, and that it stops."""
        gateway = self.start()
        ready = next(message for message in self.manager.heard if "READY" in message)
        self.assertTrue(ready["STATUS"].startswith("2 of 2 workers serve; 1 service: "), ready)
        self.assertEqual(200, gateway.get("/samples/any")[0])
        gateway.until(lambda: self.manager.all("STATUS")[-1] == WELL)
        self.hears(gateway, "WATCHDOG", 6)
        for worker in gateway.processes()[1:]:
            variables = Path(f"/proc/{worker}/environ").read_bytes()
            self.assertNotIn(b"NOTIFY_SOCKET", variables)
            self.assertNotIn(b"WATCHDOG_USEC", variables)
        gateway.process.send_signal(signal.SIGTERM)
        self.assertEqual(0, gateway.process.wait(10))
        self.hears(gateway, "STOPPING", 1)
        *_, stopping = [message for message in self.manager.listen() if "STOPPING" in message]
        self.assertEqual("11000000", stopping["EXTEND_TIMEOUT_USEC"])  # to drain, to be killed, to clear up
        self.assertEqual("stopping: open requests are finished", self.manager.all("STATUS")[-1])
        self.assertEqual(1, len(self.manager.all("READY")))

    def test_reload(self) -> None:
        """A reload begins and ends in its eyes, by command and by SIGHUP, and also one that is refused."""
        gateway = self.start(abstract=True)
        self.assertEqual(0, gateway.command("reload")[0])
        # The command waits for the end, and what it waits for has been told before.
        self.hears(gateway, "READY", 2)
        self.assertEqual((1, 2), (len(self.manager.all("RELOADING")), len(self.manager.all("READY"))))
        gateway.until(lambda: self.manager.all("STATUS")[-1] == WELL)
        gateway.configure("[gateway]\nworkerz = 3\n")
        gateway.process.send_signal(signal.SIGHUP)
        self.hears(gateway, "READY", 3)
        begun = [int(usec) for usec in self.manager.all("MONOTONIC_USEC")]
        self.assertEqual((2, sorted(begun)), (len(begun), begun))
        gateway.until(lambda: "the reload is refused" in gateway.log.read_text())

    def test_takeover(self) -> None:
        """The gateway that is followed names the other as the service, and does not say that it stops."""
        gateway = self.start()
        second = subprocess.Popen(
            [*gateway.words, "--takeover"],
            cwd=gateway.directory,
            env=gateway.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(second.wait, 10)
        self.addCleanup(second.send_signal, signal.SIGINT)
        gateway.until(lambda: gateway.process.poll() is not None, 20)
        self.hears(gateway, "MAINPID", 2)
        self.assertEqual({str(second.pid)}, set(self.manager.all("MAINPID")))
        self.assertEqual([], self.manager.all("STOPPING"))
        self.assertEqual(200, gateway.get("/samples/any")[0])


class CrashTests(SupervisorCase):
    """A supervisor whose workers do not serve."""

    async def test_nobodyServes(self) -> None:
        """While no worker serves, it is neither ready nor well, and says how it is."""
        heard = FakeManager()
        self.addCleanup(heard.close)
        manager = Manager(self.reactor, heard.address, watchdog_seconds=0.1)
        self.launch(2, 1.0, Config(), {"STAND_IN": "crash"}, manager=manager)
        await self.until(lambda: self.supervisor.workers.restarts >= 3)
        self.assertEqual(["0 of 2 workers serve; no services"], heard.all("STATUS"))
        self.assertEqual(([], []), (heard.all("WATCHDOG"), heard.all("READY")))
