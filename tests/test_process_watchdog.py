"""The watchdog: who is found to be stuck, and when; what becomes of him, with fakes and with real processes."""

from __future__ import annotations

import os
import signal
import socket

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.process_kit import FakeProcess, FakeReactor
from tests.supervisor_kit import SupervisorCase
from tracseq_gateway.interfaces import Observation
from tracseq_gateway.overview.digest import Digest
from tracseq_gateway.process.control import STACK_SIGNAL
from tracseq_gateway.process.watchdog import Watchdog
from tracseq_gateway.process.worker_process import Ending, Launch, WorkerProcess

STEP = 0.125
"""Seconds, such that sums of it are exact."""


class WatchdogTests(SynchronousTestCase):
    """``Watchdog`` alone."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pings: list[Deferred[object]] = []
        self.silences: list[float] = []
        self.wavers: list[bool] = []
        self.watchdog = self.make(10.0)

    def make(self, seconds: float) -> Watchdog:
        return Watchdog(self.clock, seconds, self.ping, self.waver, self.silences.append)

    def waver(self) -> None:
        self.wavers.append(self.watchdog.wavering)

    def ping(self) -> Deferred[object]:
        self.pings.append(Deferred())
        return self.pings[-1]

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([STEP] * round(seconds / STEP))

    def test_stuck(self) -> None:
        """Who answers nothing is found out so early that he can write his stack and be killed within the time."""
        self.watchdog.start()
        self.pass_time(8.875)
        self.assertEqual((1, []), (len(self.pings), self.silences))
        self.pass_time(0.125)
        self.assertEqual([8.5], self.silences)
        self.assertLessEqual(9.0 + self.watchdog.stack_seconds, 10.0)
        self.pass_time(20.0)
        self.assertEqual(([8.5], []), (self.silences, self.clock.getDelayedCalls()))

    def test_slow(self) -> None:
        """An answer that comes late is an answer: the count begins anew."""
        self.watchdog.start()
        for count in range(1, 5):
            self.pass_time(8.5)
            self.assertEqual(count, len(self.pings))
            self.pings[-1].callback(None)
        self.assertEqual([], self.silences)

    def test_beats(self) -> None:
        """Who answers is asked twice a second, and no more often."""
        self.watchdog.start()
        for _ in range(480):
            self.pass_time(STEP)
            if self.pings and not self.pings[-1].called:
                self.pings[-1].callback(None)
        self.assertEqual(120, len(self.pings))

    def test_stopped_supervisor(self) -> None:
        """A supervisor that wakes after hours counts one beat and then reads what was answered: nobody is killed."""
        self.watchdog.start()
        for _ in range(30):
            self.clock.advance(3600.0)
            if not self.pings[-1].called:
                self.clock.advance(0.0)
                self.pings[-1].callback(None)
        self.assertEqual([], self.silences)

    def test_shorter(self) -> None:
        """With less time the beats are shorter, and what there is of it is kept to."""
        watchdog = self.make(1.0)
        watchdog.start()
        self.clock.pump([0.01] * 80)
        self.assertEqual(1, len(self.silences))
        self.assertLess(self.silences[0] + watchdog.stack_seconds, 1.0)

    def test_wavering(self) -> None:
        """Who has not answered for a second wavers, until he answers."""
        self.watchdog.start()
        self.pass_time(1.375)
        self.assertEqual([], self.wavers)
        self.pass_time(4.0)
        self.assertEqual([True], self.wavers)
        self.pings[-1].callback(None)
        self.assertEqual([True, False], self.wavers)

    def test_off(self) -> None:
        """With 0 nobody is watched."""
        watchdog = self.make(0.0)
        watchdog.start()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_end(self) -> None:
        """When it is stopped nothing is asked any more, however often it is stopped."""
        self.watchdog.start()
        self.pass_time(5.0)
        self.watchdog.stop()
        self.watchdog.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_failed(self) -> None:
        """A ping that fails is no answer; a connection that is lost is somebody else's news."""
        for failure in (ConnectionLost(), RuntimeError("no such command")):
            silences: list[float] = []
            watchdog = Watchdog(self.clock, 10.0, lambda failure=failure: fail(failure), self.waver, silences.append)  # type: ignore[misc]
            watchdog.start()
            self.pass_time(10.0)
            self.assertEqual([8.5], silences)

    def test_at_once(self) -> None:
        """An answer that is there at once counts."""
        watchdog = Watchdog(self.clock, 10.0, lambda: succeed(None), self.waver, self.silences.append)
        watchdog.start()
        self.pass_time(30.0)
        self.assertEqual([], self.silences)


class Owner:
    """Remembers how a worker ended."""

    def __init__(self) -> None:
        self.endings: list[Ending] = []

    def workerStarted(self, worker: WorkerProcess) -> None:
        pass

    def workerServes(self, worker: WorkerProcess) -> None:
        pass

    def workerLeaves(self, worker: WorkerProcess) -> None:
        pass

    def workerWavers(self, worker: WorkerProcess) -> None:
        pass

    def workerObserved(self, worker: WorkerProcess, observation: Observation) -> None:
        pass

    def workerDigested(self, worker: WorkerProcess, digest: Digest) -> None:
        pass

    def workerGone(self, worker: WorkerProcess, ending: Ending) -> None:
        self.endings.append(ending)


class StuckWorkerTests(SynchronousTestCase):
    """A worker process, as far as its watchdog is concerned."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.owner = Owner()
        launch = Launch(self.reactor.typed, ("worker",), 99, drain_seconds=30.0, watchdog_seconds=10.0)
        self.worker = WorkerProcess(launch, 0, self.owner)
        with socket.socket() as listener:
            self.worker.start(listener)
        self.process: FakeProcess = self.reactor.spawned[0]

    def pass_time(self, seconds: float, answering: bool) -> None:
        for _ in range(round(seconds / STEP)):
            asked = self.pings()
            self.reactor.advance(STEP)
            if answering and self.pings() > asked:
                self.process.answer("Ping")

    def pings(self) -> int:
        return self.process.commands().count("Ping")

    def test_killed(self) -> None:
        """A worker that falls silent is asked for its stack by signal, killed a moment later, and gone."""
        self.process.answer("Serve")
        self.pass_time(60.0, answering=True)
        self.pass_time(9.5, answering=False)
        self.assertEqual(([STACK_SIGNAL, "KILL"], "dying"), (self.process.signals, self.worker.state))
        self.process.exit(signal=9)
        self.assertEqual("was killed by SIGKILL", self.owner.endings[0].reason)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_moment(self) -> None:
        """Between the question for its stack and SIGKILL a stuck worker has half a second."""
        self.process.answer("Serve")
        self.pass_time(9.0, answering=False)
        self.assertEqual(([STACK_SIGNAL], "stuck"), (self.process.signals, self.worker.state))
        self.pass_time(0.375, answering=False)
        self.assertEqual([STACK_SIGNAL], self.process.signals)

    def test_others(self) -> None:
        """A worker that starts is not watched, nor one that leaves: those have deadlines of their own."""
        self.pass_time(9.0, answering=False)
        self.assertEqual(0, self.pings())
        self.process.answer("Serve")
        self.pass_time(1.0, answering=True)
        self.worker.drain(30.0)
        asked = self.pings()
        self.pass_time(29.0, answering=False)
        self.assertEqual((asked, []), (self.pings(), self.process.signals))

    def test_dead(self) -> None:
        """Nobody watches over the dead."""
        self.process.answer("Serve")
        self.pass_time(1.0, answering=True)
        self.process.exit(signal=11)
        self.assertEqual([], self.reactor.getDelayedCalls())


class RealTests(SupervisorCase):
    """With real processes. The watchdog has two seconds, so that nobody waits for ten."""

    async def test_blocked(self) -> None:
        """A worker whose reactor is blocked is replaced in time, and where it hung is in the log."""
        await self.start(watchdog=2.0)
        client = await self.connect()
        old = int(await client.ask("who"))
        client.sendLine(b"block")
        blocked = self.reactor.seconds()
        await client.gone
        self.assertLess(self.reactor.seconds() - blocked, 4.0)  # two, on a machine at rest
        self.assertNotEqual(old, await self.who())
        log = "\n".join(self.log())
        self.assertRegex(log, r"has not answered for 1\.\d s: it writes down what it is doing")
        self.assertRegex(log, r"File \".*process_kit\.py\", line \d+ in lineReceived")
        self.assertRegex(log, r"worker 0 was killed by SIGKILL after serving for .* s; starting another")

    async def test_stopped(self) -> None:
        """A worker that was stopped by SIGSTOP has no stack to give and is replaced all the same."""
        await self.start(workers=2, watchdog=2.0)
        victim = await self.who()
        os.kill(victim, signal.SIGSTOP)
        stopped = self.reactor.seconds()
        await self.until(lambda: self.supervisor.workers.restarts == 1 and self.supervisor.workers.running == 2)
        self.assertLess(self.reactor.seconds() - stopped, 5.0)  # two, and a start
        self.assertNotIn(victim, await self.all(2))

    async def test_resumed(self) -> None:
        """A worker that was stopped for less than its time lives on."""
        await self.start(watchdog=3.0)
        pid = await self.who()
        os.kill(pid, signal.SIGSTOP)
        await self.until(lambda: self.supervisor.workers.running == 1)
        self.reactor.callLater(0.7, os.kill, pid, signal.SIGCONT)
        self.assertEqual(pid, await self.who())
        self.assertEqual(0, self.supervisor.workers.restarts)
