"""The supervisor: the service that twistd starts. It keeps workers alive, finds and probes instances, serves nobody."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import BinaryIO, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.web.iweb import IAgent

from tracseq_gateway.config import Config, Instance, dumps
from tracseq_gateway.discovery.watcher import Tools as WatchTools
from tracseq_gateway.discovery.watchers import Watchers, sources
from tracseq_gateway.interfaces import InstanceHealth, WorkerHealth
from tracseq_gateway.process.metrics_directory import MetricsDirectory
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.redis_process import RedisProcess
from tracseq_gateway.process.redis_program import EmbeddedRedisError
from tracseq_gateway.process.sandbox_process import SandboxProcess
from tracseq_gateway.process.worker_process import GRACE_SECONDS, Launch
from tracseq_gateway.process.workforce import Farewell, Workforce
from tracseq_gateway.upstream.health import HealthMonitor, Tools

COMMAND: Final = (sys.executable, "-m", "tracseq_gateway.process.worker")

HURRY_SECONDS: Final = 1.5
"""How long open requests may go on after a Ctrl-C."""
HURRY_GRACE_SECONDS: Final = 0.5
"""What a worker then gets before it is killed; with the time that sandbox and Redis get to leave, all are gone within
three seconds."""

ANNOUNCE_SECONDS: Final = 6.0
"""How long the announcement waits for the workers and the first round of probes, which by default ends after five."""


class Supervisor(Service):
    """Runs a gateway: its workers on ``listeners``, the probes, and, if there are any, the embedded Redis (the workers
    are told where it is, start after it and end before it) and the sandbox.

    ``announce`` is called once with what the probes say: when all workers serve and every instance was probed, or when
    that takes too long. ``variables`` are set in the environment of the workers.
    """

    def __init__(
        self,
        reactor: IReactor,
        config: Config,
        listeners: Sequence[socket.socket],
        agent: IAgent,
        *,
        redis: RedisProcess | None = None,
        sandbox: SandboxProcess | None = None,
        announce: Callable[[Sequence[InstanceHealth]], None] | None = None,
        command: Sequence[str] = COMMAND,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.setName("supervisor")
        self._reactor = reactor
        self._config = config
        self._port: int = listeners[0].getsockname()[1]
        self._redis = redis
        self._sandbox = sandbox
        self._announce = announce
        self._announcement: IDelayedCall | None = None
        self._seconds = float(config.gateway.drain_seconds)
        self._grace = GRACE_SECONDS
        self._handover = _memoryFile(dumps(config if redis is None else redis.named_in(config)))
        self._variables = dict(variables or {})
        watchdog = float(config.gateway.watchdog_seconds)
        launch = Launch(reactor, command, self._handover.fileno(), self._seconds, self._variables, watchdog)
        self._workforce = Workforce(launch, listeners, self._bury)
        self._metrics: MetricsDirectory | None = None
        tools = Tools(reactor, agent, lambda instance: self._workforce.publish([instance]), Random())  # noqa: S311
        self._monitor = HealthMonitor(config.services.values(), tools)
        watch_tools = WatchTools(reactor, self._listInstances, Random())  # noqa: S311
        self._watchers = Watchers(sources(reactor, agent), watch_tools)
        self._log = Logger()

    @property
    def workers(self) -> WorkerHealth:
        """How the workers are."""
        return self._workforce.health

    def startService(self) -> None:
        """Start everything once the reactor runs: it can take note of a child's end only then."""
        super().startService()
        self._reactor.callWhenRunning(lambda: Deferred.fromCoroutine(self._start()))

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
        """Kill all processes."""
        self._workforce.condemn()
        for companion in self._companions():
            companion.kill()

    def _companions(self) -> list[RedisProcess | SandboxProcess]:
        """The processes beside the workers."""
        return [companion for companion in (self._redis, self._sandbox) if companion is not None]

    def _bury(self, pid: int) -> None:
        """A worker is gone: what it measured stays, but for what was true of it only while it lived."""
        if self._metrics is not None:
            try:
                self._metrics.bury(pid)
            except OSError as error:
                self._log.error("the metrics of process {pid} cannot be kept: {error}", pid=pid, error=error)

    async def _start(self) -> None:
        if self._config.metrics.enabled:
            # Not before: by now the process has the user and the place that it keeps.
            self._metrics = MetricsDirectory()
            self._variables.update(self._metrics.environment)
        if self._redis is not None:
            try:
                await self._redis.start()
            except EmbeddedRedisError as error:
                if self.running:
                    self._log.critical("{error}; the workers start without it", error=error)
        if self.running:  # else it was stopped meanwhile
            self._begin()

    def _begin(self) -> None:
        gateway = self._config.gateway
        self._log.info(
            "{count} workers listen on {host} port {port}",
            count=self.workers.configured,
            host=gateway.host,
            port=self._port,
        )
        self._workforce.publish(self._monitor.snapshot())
        self._watchers.watch(self._config.services.values())
        if self._sandbox is not None:
            self._sandbox.start()
        announcement = self._announcement = self._reactor.callLater(ANNOUNCE_SECONDS, self._introduce)
        gatherResults([self._workforce.start(), self._monitor.start()]).addCallback(
            lambda _: announcement.reset(0) if announcement.active() else None
        )

    def _listInstances(self, service: str, instances: Sequence[Instance]) -> None:
        """A service has other instances: the workers must know them before they hear how they are."""
        self._workforce.list_instances(service, instances)
        self._monitor.list_instances(service, [instance.url for instance in instances])

    def _introduce(self) -> None:
        if self._announce is not None:
            self._announce(self._monitor.snapshot())

    async def _end(self) -> None:
        self._watchers.stop()
        self._monitor.stop()
        if self._announcement is not None and self._announcement.active():
            self._announcement.cancel()
        self._report(await self._workforce.drain(self._seconds, self._grace))
        await gatherResults([companion.stop() for companion in self._companions()])
        self._handover.close()
        if self._metrics is not None:
            self._metrics.remove()

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
