"""The supervisor: the service that twistd starts. It keeps the workers alive, probes health, and serves no request."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from random import Random
from typing import BinaryIO, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.web.iweb import IAgent

from tracseq_gateway.config import Config, dumps
from tracseq_gateway.interfaces import InstanceHealth, WorkerHealth
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.sandbox_process import SandboxProcess
from tracseq_gateway.process.worker_process import GRACE_SECONDS, Launch
from tracseq_gateway.process.workforce import Farewell, Workforce
from tracseq_gateway.upstream.health import HealthMonitor, Tools

COMMAND: Final = (sys.executable, "-m", "tracseq_gateway.process.worker")

HURRY_SECONDS: Final = 1.5
"""How long open requests may go on after a Ctrl-C."""
HURRY_GRACE_SECONDS: Final = 0.5
"""What a worker then gets before it is killed; with the sandbox's time to leave, all are gone within three seconds."""

ANNOUNCE_SECONDS: Final = 6.0
"""How long the announcement waits for the workers and the first round of probes, which by default ends after five."""


class Supervisor(Service):
    """Runs a gateway: its workers on ``listeners``, the probes, and the sandbox if there is one.

    ``announce`` is called once with what the probes say: when all workers serve and every instance was probed, or when
    that takes too long.
    """

    def __init__(
        self,
        reactor: IReactor,
        config: Config,
        listeners: Sequence[socket.socket],
        agent: IAgent,
        *,
        sandbox: SandboxProcess | None = None,
        announce: Callable[[Sequence[InstanceHealth]], None] | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.setName("supervisor")
        self._reactor = reactor
        self._config = config
        self._port: int = listeners[0].getsockname()[1]
        self._sandbox = sandbox
        self._announce = announce
        self._announcement: IDelayedCall | None = None
        self._seconds = float(config.gateway.drain_seconds)
        self._grace = GRACE_SECONDS
        self._handover = _memoryFile(dumps(config))
        self._workforce = Workforce(Launch(reactor, command, self._handover.fileno(), self._seconds), listeners)
        tools = Tools(reactor, agent, lambda instance: self._workforce.publish([instance]), Random())  # noqa: S311
        self._monitor = HealthMonitor(config.services.values(), tools)
        self._log = Logger()

    @property
    def workers(self) -> WorkerHealth:
        """How the workers are."""
        return self._workforce.health

    def startService(self) -> None:
        """Start everything once the reactor runs: it can take note of a child's end only then."""
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> Deferred[None]:
        """Stop everything; fires when no process is left."""
        super().stopService()
        return Deferred.fromCoroutine(self._end())

    def hurry(self) -> None:
        """Let the stop, now or when it comes, last two seconds at most."""
        self._seconds = min(self._seconds, HURRY_SECONDS)
        self._grace = HURRY_GRACE_SECONDS
        if not self.running:
            self._workforce.hasten(self._seconds, self._grace)

    def kill(self) -> None:
        """Kill all workers and the sandbox."""
        self._workforce.condemn()
        if self._sandbox is not None:
            self._sandbox.kill()

    def _begin(self) -> None:
        gateway = self._config.gateway
        self._log.info(
            "{count} workers listen on {host} port {port}",
            count=self.workers.configured,
            host=gateway.host,
            port=self._port,
        )
        self._workforce.publish(self._monitor.snapshot())
        if self._sandbox is not None:
            self._sandbox.start()
        announcement = self._announcement = self._reactor.callLater(ANNOUNCE_SECONDS, self._introduce)
        gatherResults([self._workforce.start(), self._monitor.start()]).addCallback(
            lambda _: announcement.reset(0) if announcement.active() else None
        )

    def _introduce(self) -> None:
        if self._announce is not None:
            self._announce(self._monitor.snapshot())

    async def _end(self) -> None:
        self._monitor.stop()
        if self._announcement is not None and self._announcement.active():
            self._announcement.cancel()
        self._report(await self._workforce.drain(self._seconds, self._grace))
        if self._sandbox is not None:
            await self._sandbox.stop()
        self._handover.close()

    def _report(self, farewell: Farewell) -> None:
        if farewell.crashed:
            self._log.warn(
                "stopped: {cut} requests were cut, and those of {crashed} workers that had to be killed",
                cut=farewell.cut,
                crashed=farewell.crashed,
            )
        else:
            self._log.info("stopped: {cut} requests were cut", cut=farewell.cut)


def _memoryFile(data: bytes) -> BinaryIO:
    """A file without a name, for the configuration holds secrets: in memory where the system can do that."""
    if sys.platform == "linux":
        file: BinaryIO = os.fdopen(os.memfd_create("tracseq-gateway"), "w+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(data)
    file.flush()
    return file
