"""Two supervisors in one process, with real workers that stand in for the gateway: one takes over from the other."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from tests.process_kit import STAND_IN
from tests.supervisor_kit import ROOT, Client
from tracseq_gateway.config import Config
from tracseq_gateway.process import predecessor
from tracseq_gateway.process.control_client import ControlClient, NoAnswer
from tracseq_gateway.process.predecessor import Predecessor, TakeoverError
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.run_directory import RunDirectory, control_socket
from tracseq_gateway.process.sockets import openListeners
from tracseq_gateway.process.supervisor import Supervisor
from tracseq_gateway.upstream.health import probing_agent

CRASH = (STAND_IN[0], "-c", "raise SystemExit('cannot start')")


class TakeoverTests(TestCase):
    """Each test has a gateway of its own with two workers."""

    timeout = 30

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": ROOT})
        self.above = Path(tempfile.mkdtemp())  # trial's own are too deep for a socket
        self.addCleanup(shutil.rmtree, self.above)
        self.left: list[str] = []
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        listeners = openListeners("127.0.0.1", 0, 2)
        self.port = listeners[0].getsockname()[1]
        further = openListeners("127.0.0.1", 0, 1)
        self.further_port = further[0].getsockname()[1]
        self.directory = RunDirectory(self.above / "run")
        return Deferred.fromCoroutine(self.begin(listeners, further))

    async def begin(self, listeners: Sequence[Any], further: Sequence[Any]) -> None:
        self.first = self.supervisor("first", listeners, self.directory, further=further)
        await self.until(lambda: self.first.workers.running == 2)

    def supervisor(
        self,
        name: str,
        listeners: Sequence[Any],
        directory: RunDirectory,
        before: Predecessor | None = None,
        command: Sequence[str] = STAND_IN,
        further: Sequence[Any] = (),
    ) -> Supervisor:
        """A supervisor that notes when it would leave; it is stopped at the end."""
        supervisor = Supervisor(
            cast(IReactor, self.reactor),
            Config(),
            listeners,
            probing_agent(self.reactor),
            further=further,
            directory=directory,
            predecessor=before,
            command=command,
            leave=lambda: self.left.append(name),
        )
        supervisor.startService()
        self.addCleanup(self.stop, supervisor)
        return supervisor

    async def stop(self, supervisor: Supervisor) -> None:
        """Stop a supervisor, if that was not done."""
        if supervisor.running:
            await supervisor.stopService()

    async def ask(self) -> Predecessor:
        """Ask the first for what it has; that blocks, so it is done in a thread."""
        return await deferToThread(Predecessor, self.directory.path)

    async def second(self, command: Sequence[str] = STAND_IN) -> Supervisor:
        """A supervisor that takes over from the first."""
        before = await self.ask()
        self.addCleanup(before.abandon)
        directory = RunDirectory(self.directory.path, inheritance=before.inheritance)
        return self.supervisor("second", before.listeners, directory, before, command, before.further)

    async def until(self, condition: Callable[[], bool]) -> None:
        deadline = self.reactor.seconds() + 15
        while not condition():
            self.assertLess(self.reactor.seconds(), deadline, "waited in vain")
            await deferLater(self.reactor, 0.01)

    def logged(self, text: str) -> bool:
        return any(text in formatEvent(event) for event in self.events)

    async def who(self, port: int = 0) -> int:
        """The process that answers on a new connection."""
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port or self.port, 5)
        client: Client = await connectProtocol(endpoint, Client())
        pid = int(await client.ask("who"))
        assert client.transport is not None
        client.transport.loseConnection()
        return pid

    async def test_takeover(self) -> None:
        """The first leaves once all workers of the second serve; the port never closes, and the names lead to it."""
        second = await self.second()
        await self.until(lambda: self.left == ["first"])
        self.assertEqual(2, second.workers.running)
        await self.stop(self.first)
        for _ in range(10):
            await self.who()
        self.assertGreater(await self.who(self.further_port), 0)
        self.assertEqual(Path("control-b.sock"), control_socket(self.directory.path).readlink())
        await self.stop(second)
        self.assertFalse(self.directory.path.exists())

    async def test_crashing(self) -> None:
        """If the workers of the second do not serve in time it leaves, and the first serves on."""
        self.patch(predecessor, "TAKEOVER_SECONDS", 0.5)
        worker = await self.who()
        second = await self.second(CRASH)
        await self.until(lambda: self.left == ["second"])
        await self.stop(second)
        await self.until(lambda: self.logged("this one serves on"))
        self.assertEqual(2, self.first.workers.running)
        self.assertEqual((Path("control-a.sock"), True), (control_socket(self.directory.path).readlink(), worker > 0))
        again = await self.ask()  # it can be taken over all the same
        again.abandon()
        for listener in [*again.listeners, *again.further]:
            listener.close()
        os.close(again.inheritance.lock)

    async def test_oneAtATime(self) -> None:
        """While one prepares to take over there is no second one, and no reload."""
        before = await self.ask()
        with self.assertRaisesRegex(TakeoverError, "is being taken over"):
            await self.ask()
        self.assertIn("does not reload", (await self.first.reload()).problems[0])
        before.abandon()
        for listener in [*before.listeners, *before.further]:
            listener.close()
        os.close(before.inheritance.lock)

    async def test_stranger(self) -> None:
        """Nobody can let a gateway leave who has not asked for what it has."""

        def leave() -> None:
            with ControlClient(control_socket(self.directory.path), 5.0) as client:
                client.ask({"command": "leave"})

        with self.assertRaisesRegex(NoAnswer, "only who takes over"):
            await deferToThread(leave)
        self.assertEqual([], self.left)
