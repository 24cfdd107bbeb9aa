"""The supervisor: the service that twistd starts. It keeps workers alive, finds and probes instances, serves nobody."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Final

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger, LogPublisher
from twisted.web.iweb import IAgent

from tracseq_gateway.config import Config, Instance
from tracseq_gateway.config.changes import changes, settled
from tracseq_gateway.discovery.watcher import Tools as WatchTools
from tracseq_gateway.discovery.watchers import Watchers, sources
from tracseq_gateway.interfaces import InstanceHealth, WorkerHealth
from tracseq_gateway.own_log.own_log import OwnLog
from tracseq_gateway.process.configured import ConfigurationRefused, Source
from tracseq_gateway.process.control_socket import Answer, Command, ControlSocket
from tracseq_gateway.process.drains import Drains
from tracseq_gateway.process.estate import Estate
from tracseq_gateway.process.explanations import Explanations
from tracseq_gateway.process.file_watch import FileWatch, files_of
from tracseq_gateway.process.log_levels import LogLevels
from tracseq_gateway.process.notice import Notice
from tracseq_gateway.process.notify import Manager
from tracseq_gateway.process.one_at_a_time import OneAtATime
from tracseq_gateway.process.outlook import Known, Outlook
from tracseq_gateway.process.predecessor import Predecessor
from tracseq_gateway.process.provisions import Provisions
from tracseq_gateway.process.purges import Purges
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.redis_process import RedisProcess
from tracseq_gateway.process.redis_program import EmbeddedRedisError
from tracseq_gateway.process.reload_report import Reloaded, ReloadReport
from tracseq_gateway.process.run_directory import RunDirectory
from tracseq_gateway.process.sandbox_process import SandboxProcess
from tracseq_gateway.process.status_line import status_line
from tracseq_gateway.process.succession import SuccessionFailed
from tracseq_gateway.process.worker_process import GRACE_SECONDS
from tracseq_gateway.process.workforce import Farewell, Workforce
from tracseq_gateway.upstream.health import HealthMonitor, Tools

COMMAND: Final = (sys.executable, "-m", "tracseq_gateway.process.worker")

HURRY_SECONDS: Final = 1.5
"""How long open requests may go on after a Ctrl-C."""
HURRY_GRACE_SECONDS: Final = 0.5
"""What a worker then gets before it is killed; with the time that sandbox and Redis get to leave, all are gone within
three seconds."""

END_SECONDS: Final = 5.0
"""What the end of a gateway takes at most once its workers are gone: Redis, the sandbox, sockets."""

ANNOUNCE_SECONDS: Final = 6.0
"""How long the announcement waits for the workers and the first round of probes, which by default ends after five."""


class Supervisor(Service):
    """Runs a gateway: its workers on ``listeners``, the probes, and, if there are any, the embedded Redis (the workers
    are told where it is, start after it and end before it) and the sandbox. ``further`` are the sockets of
    ports beside the main one.

    ``directory`` is released at the end; in it commands are heard. ``predecessor`` is let go when all workers serve; if
    that takes too long, or when another gateway has taken over from this one, ``leave`` is called, by default the
    reactor's ``stop``. ``source`` is where :meth:`reload` gets another configuration from. ``announce`` is called once
    with what the probes say: when all workers serve and every instance was probed, or when that takes too long.
    ``variables`` are set in the environment of the workers. ``own_log`` is this process's log, by default nobody's.
    ``manager`` is told how the gateway is.
    """

    def __init__(
        self,
        reactor: IReactor,
        config: Config,
        listeners: Sequence[socket.socket],
        agent: IAgent,
        *,
        further: Sequence[socket.socket] = (),
        directory: RunDirectory | None = None,
        predecessor: Predecessor | None = None,
        redis: RedisProcess | None = None,
        sandbox: SandboxProcess | None = None,
        source: Source | None = None,
        announce: Callable[[Sequence[InstanceHealth]], None] | None = None,
        command: Sequence[str] = COMMAND,
        variables: Mapping[str, str] | None = None,
        leave: Callable[[], None] | None = None,
        own_log: OwnLog | None = None,
        manager: Manager | None = None,
    ) -> None:
        self.setName("supervisor")
        self._reactor = reactor
        self._config = config
        self._port: int = listeners[0].getsockname()[1]
        self._directory = directory
        self._provisions = Provisions(reactor, redis, lambda: self._workforce.processes)
        self._sandbox = sandbox
        self._source = source
        self._announce = announce
        self._announcement: IDelayedCall | None = None
        self._command = command
        self._hurried = False
        self._begun = False
        self._variables = dict(variables or {})
        self._handover = self._provisions.handover(config, self._variables)
        self._workforce = Workforce(self._handover.launch(reactor, command), listeners, self._provisions.bury, further)
        self._levels = LogLevels(own_log or OwnLog(LogPublisher()), config.log, self._workforce.relevel)
        self._notice = Notice(reactor, self._workforce.give_notice)
        tools = Tools(reactor, agent, lambda instance: self._publish([instance]), Random())  # noqa: S311
        self._monitor = HealthMonitor(config.services.values(), tools)
        self._drains = Drains(reactor, self._monitor.snapshot, self._publish)
        known = Known(lambda: self._config, self._drains.instances, lambda: not self.running)
        self._outlook = Outlook(reactor, self._workforce, known)
        watch_tools = WatchTools(reactor, self._listInstances, Random())  # noqa: S311
        self._watchers = Watchers(sources(reactor, agent), watch_tools)
        self._reloads = OneAtATime(self._reload)
        self._report = ReloadReport()
        self._watch = FileWatch(reactor, self.reload)
        self._predecessor = predecessor
        self._leave = leave or reactor.stop
        self._manager = manager or Manager(reactor)
        self._estate: Estate | None = None
        self._control: ControlSocket | None = None
        if directory is not None:
            self._estate = Estate(listeners, further, directory, self._free, self._leave)
            commands = {**self._commands(), **self._estate.commands}
            self._control = ControlSocket(reactor, directory.control_socket, commands)
        self._log = Logger()

    def _commands(self) -> dict[str, Command]:
        """What an operator may ask for, by name."""
        return {
            "reload": self._answerReload,
            **self._outlook.commands,
            **self._drains.commands(self._outlook),
            "log-level": self._levels.answer,
            "explain": Explanations(self._reactor, self._workforce.serving).answer,
            "purge": Purges(self._reactor, lambda: self._config, lambda: self._workforce.workers).answer,
        }

    @property
    def workers(self) -> WorkerHealth:
        """How the workers are."""
        return self._workforce.health

    def startService(self) -> None:
        """Start everything once the reactor runs: it can take note of a child's end only then."""
        super().startService()
        self._levels.begin()
        self._reactor.callWhenRunning(lambda: Deferred.fromCoroutine(self._start()))

    def stopService(self) -> Deferred[None]:
        """Stop everything; fires when no process is left."""
        super().stopService()
        return Deferred.fromCoroutine(self._end())

    def hurry(self) -> None:
        """Let the stop, now or when it comes, last two seconds at most."""
        self._hurried = True
        if not self._notice.cut_short() and not self.running:
            self._workforce.hasten(*self._patience)

    @property
    def _patience(self) -> tuple[float, float]:
        """How long open requests may go on after a stop, and what a worker then gets before it is killed."""
        seconds = float(self._config.gateway.drain_seconds)
        return (min(seconds, HURRY_SECONDS), HURRY_GRACE_SECONDS) if self._hurried else (seconds, GRACE_SECONDS)

    def kill(self) -> None:
        """Kill all processes."""
        self._notice.cut_short()  # else other workers would follow
        self._workforce.condemn()
        self._provisions.kill()
        if self._sandbox is not None:
            self._sandbox.kill()

    def reload(self) -> Deferred[Reloaded]:
        """Load the configuration again and replace the workers by others that have it, if it can be served.

        Fires when these serve, or when it is clear that all stays as it was; never fails. The log says the same. All
        who ask while a reload is under way get one further.
        """
        return self._reloads.ask().addErrback(self._report.failed)

    async def _start(self) -> None:
        # Not before: by now the process has the user and the place that it keeps.
        await self._provisions.begin(self._config)
        self._variables.update(self._provisions.variables)
        if self.running:  # else it was stopped meanwhile
            self._begin()

    def _begin(self) -> None:
        gateway = self._config.gateway
        self._log.info(
            "{count} workers listen on {host} port {port}{tls}",
            count=self.workers.configured,
            host=gateway.host,
            port=self._port,
            tls=" with TLS" if self._config.tls.certificates else "",
        )
        self._workforce.publish(self._drains.instances())
        self._outlook.start()
        self._watchers.watch(self._config.services.values())
        if self._sandbox is not None:
            self._sandbox.start()
        self._begun = True
        self._follow()
        self._manager.begin(self._statusLine, lambda: not self.running or self.workers.running > 0)
        serving = self._workforce.start()
        serving.addCallback(lambda _: self._manager.ready(follows=self._predecessor is not None))
        if self._predecessor is None:
            self._listenToCommands()
        else:
            self._predecessor.wait(self._reactor, serving, self._listenToCommands, self._leave)
        announcement = self._announcement = self._reactor.callLater(ANNOUNCE_SECONDS, self._introduce)
        gatherResults([serving, self._monitor.start()]).addCallback(
            lambda _: announcement.reset(0) if announcement.active() else None
        )

    def _listenToCommands(self) -> None:
        if self._control is not None and self._directory is not None:
            try:
                self._control.open()
                self._directory.publish()
                self._directory.shared = False
            except (CannotListenError, OSError) as error:
                self._log.error("no command can reach this gateway, for it has no control socket: {error}", error=error)

    def _follow(self) -> None:
        """Watch the files that the configuration comes from, or none."""
        files = []
        if self._source is not None and self._config.gateway.watch:
            files = [*([self._source.file] if self._source.file else []), *files_of(self._config)]
        self._watch.follow(files)

    def _listInstances(self, service: str, instances: Sequence[Instance]) -> None:
        """A service has other instances: the workers must know them before they hear how they are."""
        self._workforce.list_instances(service, instances)
        self._monitor.list_instances(service, [instance.url for instance in instances])
        self._drains.revise()

    def _publish(self, instances: Iterable[InstanceHealth]) -> None:
        """Tell the workers how instances are."""
        self._workforce.publish(self._drains.marked(instances))

    def _introduce(self) -> None:
        if self._announce is not None:
            self._announce(self._monitor.snapshot())

    def _statusLine(self) -> str:
        if not self.running:
            return "stopping: open requests are finished"
        return status_line(self.workers, tuple(self._config.services), self._monitor.snapshot())

    async def _reload(self) -> Reloaded:
        self._manager.reloading()
        try:
            return await self._reloadNow()
        finally:
            self._manager.reloaded()

    async def _reloadNow(self) -> Reloaded:
        claimed = self._dependent or (self._estate is not None and self._estate.claimed)
        if self._source is None or not self._begun or not self.running or claimed:
            return self._report.refused(["a gateway that starts, stops or is being taken over does not reload"])
        self._watch.refresh()
        try:
            configured = self._source.load()
            config = settled(self._config, configured.config)
            await self._provisions.provide(config, self._source.embed)
            await self._replaceWorkers(config, configured.variables)
        except ConfigurationRefused as refused:
            return self._report.refused(refused.problems)
        except (EmbeddedRedisError, SuccessionFailed, OSError) as error:
            return self._report.refused([f"workers with the new configuration cannot be had: {error}"])
        changed, waiting = changes(self._config, config), changes(config, configured.config)
        self._adopt(config)
        problems = [*configured.warnings, *(f"{change} (waits for the next start)" for change in waiting)]
        return self._report.accepted([str(change) for change in changed], problems)

    async def _replaceWorkers(self, config: Config, variables: Mapping[str, str]) -> None:
        if not self.running:
            raise SuccessionFailed("the gateway stops")
        handover = self._provisions.handover(config, {**variables, **self._provisions.variables})
        try:
            await self._workforce.replace(handover.launch(self._reactor, self._command), self._foundAsBefore(config))
        except SuccessionFailed:
            handover.close()
            raise
        self._handover.close()
        self._handover = handover

    def _adopt(self, config: Config) -> None:
        """Go by this configuration, as the workers do already."""
        lists = self._workforce.retain(self._foundAsBefore(config))
        self._config = config
        self._levels.adopt(config.log)
        self._monitor.change(
            evolve(service, instances=tuple(lists.get(name, service.instances)))
            for name, service in config.services.items()
        )
        self._drains.revise()
        self._workforce.restate(self._drains.instances())
        self._watchers.watch(config.services.values())
        self._follow()

    def _foundAsBefore(self, config: Config) -> frozenset[str]:
        """The services whose instances go on to be discovered in the same way: what was found still holds."""
        old = self._config.services
        return frozenset(
            name
            for name, service in config.services.items()
            if service.discovery is not None
            and name in old
            and (old[name].discovery, old[name].secure) == (service.discovery, service.secure)
        )

    def _answerReload(self, request: object, client: object) -> Deferred[Answer]:
        return self.reload().addCallback(Reloaded.answer)

    def _free(self) -> bool:
        """Whether another gateway may prepare to take over."""
        return bool(self.running) and not self._reloads.running

    @property
    def _dependent(self) -> bool:
        """Whether this gateway is only about to take over, and another one serves on the same sockets."""
        return self._predecessor is not None and not self._predecessor.dismissed

    async def _end(self) -> None:
        followed = self._estate is not None and self._estate.left
        gentle = (followed or self._dependent) and not self._hurried
        if self._estate is not None and followed:
            self._manager.followed(self._estate.heir_pid)
        else:
            self._manager.stopping(self._config.gateway.stop_delay + sum(self._patience) + END_SECONDS)
        if self._predecessor is not None:
            self._predecessor.abandon()
        self._watch.follow([])
        self._watchers.stop()
        self._monitor.stop()
        if self._announcement is not None and self._announcement.active():
            self._announcement.cancel()
        self._drains.stop()
        if self._config.gateway.stop_delay and self.workers.running and not (gentle or self._hurried):
            await self._notice.give(self._config.gateway.stop_delay)
        self._takeLeave(await self._workforce.drain(*self._patience, gentle=gentle))
        self._outlook.stop()
        await gatherResults([self._provisions.end(), self._sandbox.stop() if self._sandbox else succeed(None)])
        self._handover.close()
        if self._control is not None:
            await self._control.close()
        if self._directory is not None:
            self._directory.release()
        self._levels.end()
        self._manager.end()

    def _takeLeave(self, farewell: Farewell) -> None:
        if farewell.crashed:
            self._log.warn(
                "stopped: {cut} requests were cut, and those of {crashed} workers that had to be killed",
                cut=farewell.cut,
                crashed=farewell.crashed,
            )
        else:
            self._log.info("stopped: {cut} requests were cut", cut=farewell.cut)
