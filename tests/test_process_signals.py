"""What SIGTERM, SIGINT and SIGHUP mean."""

from __future__ import annotations

import signal
from signal import SIGINT, SIGTERM

from twisted.trial.unittest import SynchronousTestCase

from tests.process_kit import FakeReactor
from tracseq_gateway.process.signals import Signals


class FakeSupervisor:
    """Records what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def hurry(self) -> None:
        self.told.append("hurry")

    def kill(self) -> None:
        self.told.append("kill")

    def reload(self) -> None:
        self.told.append("reload")


class SignalsTests(SynchronousTestCase):
    """``Signals``."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.supervisor = FakeSupervisor()
        self.signals = Signals(self.reactor.typed, self.supervisor)

    def receive(self, *received: signal.Signals) -> tuple[list[str], int]:
        for one in received:
            self.signals.received(one)
        return self.supervisor.told, self.reactor.stops

    def test_terminate(self) -> None:
        """SIGTERM stops without hurry, and only once."""
        self.assertEqual(([], 1), self.receive(SIGTERM, SIGTERM))

    def test_interrupt(self) -> None:
        """The first SIGINT stops in a hurry, the second kills."""
        self.assertEqual((["hurry"], 1), self.receive(SIGINT))
        self.assertEqual((["hurry", "kill"], 1), self.receive(SIGINT))

    def test_interruptWhileStopping(self) -> None:
        """A SIGINT hastens a stop that SIGTERM began."""
        self.assertEqual((["hurry"], 1), self.receive(SIGTERM, SIGINT))

    def test_hangUp(self) -> None:
        """SIGHUP reloads, and ends nothing."""
        self.assertEqual((["reload"], 0), self.receive(signal.SIGHUP))

    def handlers(self) -> list[object]:
        return [signal.getsignal(SIGTERM), signal.getsignal(SIGINT), signal.getsignal(signal.SIGHUP)]

    def start(self, interrupt: signal.Handlers) -> list[object]:
        """Start where SIGINT is handled so; return the handlers that were there and those that are there then."""
        for number in (SIGTERM, SIGINT, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        signal.signal(SIGINT, interrupt)
        before = self.handlers()
        self.signals.startService()
        return [old is new for old, new in zip(before, self.handlers(), strict=True)]

    def test_install(self) -> None:
        """All three signals are taken over, and end up in ``received``."""
        self.assertEqual([False, False, False], self.start(signal.SIG_DFL))
        signal.raise_signal(SIGINT)
        self.assertEqual((["hurry"], 1), self.receive())

    def test_ignored(self) -> None:
        """A SIGINT is taken over even where a shell has it ignored, as in its background jobs."""
        self.assertEqual([False, False, False], self.start(signal.SIG_IGN))
