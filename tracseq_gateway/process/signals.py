"""What signals mean to the supervisor.

SIGTERM drains. SIGINT, which a Ctrl-C sends to the whole foreground process group, drains for a moment only; the
second one kills. SIGHUP reloads the configuration. Twisted's own handlers would end the process by the same signal, and
a stop that was asked for ends with status 0.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from types import FrameType
from typing import Protocol

from twisted.application.service import Service
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from tracseq_gateway.process.reactor import IReactor


class Obeys(Protocol):
    """Whom the signals are for. The supervisor."""

    def hurry(self) -> None:
        """Stop within two seconds, now or when the stop comes."""

    def kill(self) -> None:
        """Do not wait any longer."""

    def reload(self) -> object:
        """Load the configuration again, and say in the log what came of it."""


class Signals(Service):
    """Stops the reactor, and with it all services, or has the target reload, when a signal says so."""

    def __init__(self, reactor: IReactor, target: Obeys) -> None:
        self._reactor = reactor
        self._target = target
        self._stopping = False
        self._interrupted = False
        self._log = Logger()

    def startService(self) -> None:
        """Take over the signals once the reactor has set its own handlers."""
        super().startService()
        self._reactor.callWhenRunning(self._install)

    def _install(self) -> None:
        # Even a SIGINT that is ignored, as a shell has it for its background jobs: who sends it means it.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._handler)

    def _handler(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self.received, signal.Signals(number))

    def received(self, received: signal.Signals) -> None:
        """Act on a signal."""
        if received is signal.SIGHUP:
            self._log.info("SIGHUP: reloading the configuration")
            self._target.reload()
            return
        self._log.info("{name}: stopping", name=received.name)
        if received is signal.SIGINT:
            if self._interrupted:
                self._target.kill()
            else:
                self._interrupted = True
                self._target.hurry()
        if not self._stopping:
            self._stopping = True
            with suppress(ReactorNotRunning):  # it stops already, since another gateway has taken over
                self._reactor.stop()
