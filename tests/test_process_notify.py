"""What the service manager is told, and when."""

from __future__ import annotations

import os
from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.notify_kit import FakeManager
from tracseq_gateway.interfaces import InstanceHealth, WorkerHealth
from tracseq_gateway.process.notify import MOST_OWED, Manager, manager_of
from tracseq_gateway.process.status_line import status_line


class NotifyCase(SynchronousTestCase):
    """A gateway whose time is in our hands, and who hears it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.line = "all is well"
        self.well = True
        self.warnings: list[str] = []
        observer = cast(ILogObserver, self.observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def observe(self, event: LogEvent) -> None:
        if event["log_level"].name == "warn":
            self.warnings.append(formatEvent(event))

    def hearer(self, *, abstract: bool = False) -> FakeManager:
        hearer = FakeManager(abstract=abstract)
        self.addCleanup(hearer.close)
        return hearer

    def begun(self, address: str, watchdog_seconds: float = 0.0) -> Manager:
        manager = Manager(self.clock, address, watchdog_seconds)
        self.addCleanup(manager.end)
        manager.begin(lambda: self.line, lambda: self.well)
        return manager


class ManagerTests(NotifyCase):
    """``Manager``."""

    def test_life(self) -> None:
        """Ready, a reload, and the stop are told in their order, each with how the gateway is."""
        hearer = self.hearer()
        manager = self.begun(hearer.address)
        manager.ready()
        manager.reloading()
        self.line = "better still"
        manager.reloaded()
        manager.stopping(36.5)
        self.assertEqual(
            [
                {"STATUS": "all is well"},
                {"READY": "1", "STATUS": "all is well"},
                {"RELOADING": "1", "MONOTONIC_USEC": "100000000"},
                {"READY": "1", "STATUS": "better still"},
                {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "36500000", "STATUS": "better still"},
            ],
            hearer.listen(),
        )

    def test_abstract(self) -> None:
        """A socket without a file, whose name begins with @, is spoken to as well."""
        hearer = self.hearer(abstract=True)
        self.begun(hearer.address).ready()
        self.assertEqual(["1"], hearer.all("READY"))

    def test_reloadWhileNotServing(self) -> None:
        """A reload that is asked for too early or too late makes nobody believe that the gateway serves."""
        hearer = self.hearer()
        manager = self.begun(hearer.address)
        manager.reloading()
        manager.reloaded()
        manager.stopping(1)
        manager.reloading()
        manager.reloaded()
        self.assertEqual(([], []), (hearer.all("READY"), hearer.all("RELOADING")))

    def test_status(self) -> None:
        """The line is told when it has changed, within a second, and not again while it stays."""
        hearer = self.hearer()
        self.begun(hearer.address)
        self.clock.pump([1] * 5)
        self.line = "not so well"
        self.clock.pump([0.1] * 100)
        self.assertEqual(["all is well", "not so well"], hearer.all("STATUS"))

    def test_watchdog(self) -> None:
        """A sign of life is sent twice within the time that the manager waits, but none while nobody serves."""
        hearer = self.hearer()
        self.begun(hearer.address, watchdog_seconds=8)
        self.clock.pump([1] * 12)
        self.assertEqual(4, len(hearer.all("WATCHDOG")))
        self.well = False
        self.clock.pump([1] * 40)
        self.assertEqual(4, len(hearer.all("WATCHDOG")))
        self.well = True
        self.clock.advance(4)
        self.assertEqual(5, len(hearer.all("WATCHDOG")))

    def test_successor(self) -> None:
        """Who follows another says so with its process id, and who was followed names it instead of stopping."""
        hearer = self.hearer()
        self.begun(hearer.address).ready(follows=True)
        old = self.begun(hearer.address)
        old.ready()
        old.followed(4711)
        old.followed(0)  # it did not say who it is
        self.assertEqual([str(os.getpid()), "4711"], hearer.all("MAINPID"))
        self.assertEqual([], hearer.all("STOPPING"))

    def test_deaf(self) -> None:
        """What the manager does not take is told later and in order, as much as is kept; the log says it once."""
        hearer = self.hearer()
        manager = self.begun(hearer.address)
        away = f"{hearer.address}.away"
        os.rename(hearer.address, away)
        manager.ready()
        for number in range(MOST_OWED):
            self.line = f"line {number}"
            self.clock.advance(1)
        os.rename(away, hearer.address)
        self.assertEqual(1, len(hearer.take()))
        self.clock.advance(1)
        self.assertEqual([f"line {number}" for number in range(MOST_OWED)], hearer.all("STATUS"))
        self.assertEqual(1, len([warning for warning in self.warnings if "cannot be told" in warning]))

    def test_full(self) -> None:
        """A manager that reads nothing is never waited for."""
        hearer = self.hearer()
        manager = self.begun(hearer.address)
        for _ in range(5000):
            manager.reloaded()
            manager.stopping(1)
        self.assertLess(len(hearer.listen()), 5000)

    def test_end(self) -> None:
        """After the end nothing is told, and no timer is left."""
        hearer = self.hearer()
        manager = self.begun(hearer.address, 10)
        manager.end()
        manager.ready()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([], hearer.all("READY"))

    def test_nobody(self) -> None:
        """Without a manager nothing is sent and no timer runs."""
        manager = self.begun("")
        manager.ready()
        manager.stopping(1)
        self.assertEqual([], self.clock.getDelayedCalls())


class EnvironmentTests(NotifyCase):
    """``manager_of``."""

    def beats(self, **environ: str) -> int:
        """How many signs of life a manager with these variables gets in half a minute."""
        hearer = self.hearer()
        manager = manager_of(self.clock, {"NOTIFY_SOCKET": hearer.address, **environ}, 7)
        self.addCleanup(manager.end)
        manager.begin(lambda: self.line, lambda: self.well)
        self.clock.pump([0.5] * 60)
        return len(hearer.all("WATCHDOG"))

    def test_taken(self) -> None:
        """The variables are taken out of the environment, so that no worker has them."""
        environ = {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "7", "PATH": "/bin"}
        manager_of(self.clock, environ, 7).end()
        self.assertEqual({"PATH": "/bin"}, environ)

    def test_watchdog(self) -> None:
        """The watchdog's time is kept when it is meant for this process or for anybody."""
        self.assertEqual(7, self.beats(WATCHDOG_USEC="10000000", WATCHDOG_PID="7"))
        self.assertEqual(7, self.beats(WATCHDOG_USEC="10000000"))

    def test_foreignWatchdog(self) -> None:
        """That of another process, or one that is no number, is left alone."""
        self.assertEqual(0, self.beats(WATCHDOG_USEC="10000000", WATCHDOG_PID="8"))
        self.assertEqual(0, self.beats(WATCHDOG_USEC="soon"))
        self.assertEqual(0, self.beats())

    def test_unknownAddress(self) -> None:
        """An address of another kind is named in the log and not used."""
        manager = manager_of(self.clock, {"NOTIFY_SOCKET": "vsock:2:1234"}, 7)
        manager.begin(lambda: self.line, lambda: self.well)
        manager.ready()
        self.assertIn("NOTIFY_SOCKET=vsock:2:1234 is neither", self.warnings[0])


class StatusLineTests(SynchronousTestCase):
    """``status_line``."""

    def line(self, running: int = 2, **states: str) -> str:
        """The line for services with instances in these states, a letter each: Healthy, Unhealthy, unKnown."""
        names = {"h": "healthy", "u": "unhealthy", "k": "unknown"}
        health = [
            InstanceHealth(service, f"http://{number}", names[letter])  # type: ignore[arg-type]
            for service, letters in states.items()
            for number, letter in enumerate(letters)
        ]
        return status_line(WorkerHealth(2, running), tuple(states), health)

    def test_well(self) -> None:
        """Healthy services are counted."""
        self.assertEqual("2 of 2 workers serve; 2 services: 2 healthy", self.line(auth="hh", samples="h"))

    def test_named(self) -> None:
        """Those that are not healthy are named with how they are, one without an instance among them."""
        line = self.line(1, auth="h", samples="hu", storage="u", rag="k", templates="")
        self.assertEqual(
            "1 of 2 workers serve; 5 services: 1 healthy, samples degraded, storage unhealthy, rag unknown, "
            "templates unknown",
            line,
        )

    def test_many(self) -> None:
        """However many there are, the line stays short."""
        line = self.line(2, **{f"s{number}": "u" for number in range(50)})
        self.assertTrue(line.endswith("s7 unhealthy, 42 more not healthy"), line)
        self.assertLess(len(line), 300)

    def test_none(self) -> None:
        """A gateway without services says so."""
        self.assertEqual("2 of 2 workers serve; no services", self.line())
