"""What the tests of the supervisor share: one with real processes and sockets, and a stand-in for the worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.process_kit import STAND_IN
from tracseq_gateway.config import Config, Seconds
from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.process.configured import ConfigurationRefused, Configured, Source
from tracseq_gateway.process.notify import Manager
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.redis_process import RedisProcess
from tracseq_gateway.process.redis_program import EmbeddedRedisError
from tracseq_gateway.process.sockets import openListeners
from tracseq_gateway.process.supervisor import Supervisor
from tracseq_gateway.upstream.health import probing_agent

ROOT = str(Path(__file__).parent.parent)


class Client(LineReceiver):
    """A client of the stand-in: each line is answered by a line."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()
        self._answer: Deferred[str] | None = None

    def ask(self, line: str) -> Deferred[str]:
        """Send a line and wait for the answer."""
        answer = self._answer = Deferred()
        self.sendLine(line.encode())
        return answer

    def lineReceived(self, line: bytes) -> None:
        answer, self._answer = self._answer, None
        assert answer is not None
        answer.callback(line.decode())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)
        if self._answer is not None:
            self._answer.errback(reason)


class SupervisorCase(TestCase):
    """Each test has a supervisor of its own; :meth:`start` starts it."""

    timeout = 30

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": ROOT})
        self.stopping: Deferred[None] | None = None
        self.refused: list[str] = []
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    async def start(
        self, workers: int = 1, drain: float = 10.0, config: Config | None = None, watchdog: float = 0.0
    ) -> None:
        """Start a supervisor with stand-in workers, and wait until all of them serve."""
        announced = self.launch(workers, drain, config or Config(), watchdog=watchdog)
        await announced
        await self.until(lambda: self.supervisor.workers.running == workers)

    def launch(
        self,
        workers: int,
        drain: float,
        config: Config,
        variables: Mapping[str, str] | None = None,
        watchdog: float = 0.0,
        manager: Manager | None = None,
    ) -> Deferred[Sequence[InstanceHealth]]:
        """Start a supervisor; fires with its announcement."""
        gateway = evolve(config.gateway, drain_seconds=Seconds(drain), watchdog_seconds=Seconds(watchdog))
        config = evolve(config, gateway=gateway)
        self.next = Configured(config)
        listeners = openListeners("127.0.0.1", 0, workers)
        self.port = listeners[0].getsockname()[1]
        announced: Deferred[Sequence[InstanceHealth]] = Deferred()
        self.supervisor = Supervisor(
            cast(IReactor, self.reactor),
            config,
            listeners,
            probing_agent(self.reactor),
            source=Source(self.load, self.embed),
            announce=announced.callback,
            command=STAND_IN,
            variables=variables,
            manager=manager,
        )
        self.supervisor.startService()
        self.addCleanup(self.clear)
        return announced

    def load(self) -> Configured:
        """What a reload loads."""
        if self.refused:
            raise ConfigurationRefused(self.refused)
        return self.next

    def embed(self, config: Config) -> RedisProcess:
        raise EmbeddedRedisError("there is no server to start")

    def stop(self) -> Deferred[None]:
        """Begin to stop; fires when that is done."""
        self.stopping = self.supervisor.stopService()
        return self.stopping

    async def clear(self) -> None:
        """Leave nothing behind, whatever the test came to."""
        stopping = self.stopping or self.stop()
        self.supervisor.kill()
        await stopping

    async def until(self, condition: Callable[[], bool], seconds: float = 15.0) -> None:
        """Wait for something that no event tells us."""
        deadline = self.reactor.seconds() + seconds
        while not condition():
            self.assertLess(self.reactor.seconds(), deadline, "waited in vain")
            await deferLater(self.reactor, 0.01)

    async def connect(self) -> Client:
        client: Client = await connectProtocol(TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.port, 5), Client())
        self.addCleanup(client.transport.abortConnection)  # type: ignore[union-attr]
        return client

    async def who(self) -> int:
        """The process id of a worker that answers on a new connection."""
        client = await self.connect()
        pid = int(await client.ask("who"))
        assert client.transport is not None
        client.transport.loseConnection()
        return pid

    async def all(self, count: int) -> set[int]:
        """The process ids of ``count`` workers that serve."""
        pids: set[int] = set()
        while len(pids) < count:
            pids.add(await self.who())
        return pids

    def log(self) -> list[str]:
        return [formatEvent(event) for event in self.events]
