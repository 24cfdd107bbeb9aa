"""Neighbours that accept for a worker that cannot: who does it, when it begins, when it ends."""

from __future__ import annotations

import os
import signal
import socket

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from tests.process_kit import FakeProcess, FakeReactor
from tests.supervisor_kit import SupervisorCase
from tracseq_gateway.config import Config
from tracseq_gateway.process.worker_process import Launch
from tracseq_gateway.process.workforce import Workforce


class CoveringTests(SynchronousTestCase):
    """``Workforce`` and its ``Covering``, with workers on paper."""

    def setUp(self) -> None:
        self.start(3)

    def start(self, count: int, *further: socket.socket) -> None:
        self.reactor = FakeReactor()
        self.listeners = [socket.socket() for _ in range(count)]
        self.inodes = [os.fstat(listener.fileno()).st_ino for listener in self.listeners]
        for listener in self.listeners:
            self.addCleanup(listener.close)
        launch = Launch(self.reactor.typed, ("worker",), 99, drain_seconds=30.0, watchdog_seconds=10.0)
        self.workforce = Workforce(launch, self.listeners, further=further)
        self.workforce.start()
        self.workers = list(self.reactor.spawned)
        self.addCleanup(self.hangUp, self.reactor.spawned)
        for worker in self.workers:
            worker.answer("Serve")

    def hangUp(self, workers: list[FakeProcess]) -> None:
        """Let nobody wait for an answer any more."""
        for worker in workers:
            worker.hangUp()

    def crash(self, index: int) -> None:
        """Let a worker die young twice, so that its slot pauses."""
        for _ in range(2):
            self.workers[index].exit(1)
            self.workers[index].hangUp()
            self.reactor.advance(0.0)
            self.workers[index] = self.reactor.spawned[-1]

    def covers(self, worker: FakeProcess) -> list[tuple[str, int]]:
        """What a worker was told to do for others."""
        boxes = [(box[b"_command"].decode(), box) for box in worker.heard()]
        return [(name, int(box[b"index"])) for name, box in boxes if name in ("Cover", "Uncover")]

    def test_pause(self) -> None:
        """From its first pause until it serves again, a neighbour accepts from a slot's socket."""
        self.crash(0)
        neighbour = self.workers[1]
        self.assertEqual(([("Cover", 0)], [self.inodes[0]]), (self.covers(neighbour), neighbour.control.files))
        self.reactor.advance(1.0)
        successor = self.reactor.spawned[-1]
        self.assertEqual([("Cover", 0)], self.covers(neighbour))
        successor.answer("Serve")
        self.assertEqual([("Cover", 0), ("Uncover", 0)], self.covers(neighbour))
        self.assertEqual([], self.covers(self.workers[2]))

    def test_atOnce(self) -> None:
        """For a worker that is replaced at once, nobody steps in: its clients shall be the successor's."""
        self.workers[0].exit(1)
        self.reactor.advance(0.0)
        self.assertEqual([[], []], [self.covers(worker) for worker in self.workers[1:]])

    def test_further(self) -> None:
        """A socket without a worker of its own is served by one that can, another when that dies or is replaced."""
        further = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(further.close)
        self.start(2, further)
        first, second = self.workers
        self.assertEqual(([("Cover", 2)], []), (self.covers(first), self.covers(second)))
        first.exit(1)
        self.assertEqual([("Cover", 2)], self.covers(second))
        self.workforce.drain(5.0)
        self.assertEqual(-1, further.fileno())

    def test_another(self) -> None:
        """When the worker that covers dies, another takes over, and its own slot is none of that."""
        self.crash(0)
        self.workers[1].exit(1)
        self.assertEqual([("Cover", 0)], self.covers(self.workers[2]))

    def test_leaves(self) -> None:
        """When the worker that covers leaves of itself, another takes over."""
        self.crash(0)
        self.workers[1].say("Leaving")
        self.assertEqual([("Cover", 0)], self.covers(self.workers[2]))

    def test_fair(self) -> None:
        """Who covers less than the others is asked first."""
        self.start(4)
        self.crash(0)
        self.crash(1)
        self.assertEqual([[("Cover", 0)], [("Cover", 1)]], [sorted(self.covers(w)) for w in self.workers[2:]])

    def test_nobody(self) -> None:
        """When nobody serves, the first that does covers all the others."""
        for index in range(3):
            self.crash(index)
        self.reactor.advance(1.0)
        first = self.reactor.spawned[-3]
        first.answer("Serve")
        index = int(first.args[-1])
        self.assertEqual([("Cover", other) for other in range(3) if other != index], sorted(self.covers(first)))

    def test_alone(self) -> None:
        """A single worker has no neighbour: who connects waits for the next start."""
        self.start(1)
        self.crash(0)
        self.assertEqual(2, len(self.reactor.spawned))

    def test_silent(self) -> None:
        """For a worker that does not answer for a second a neighbour steps in, until it answers."""
        self.answered: set[tuple[int, bytes]] = set()
        first, second, third = self.workers
        for _ in range(12):
            self.reactor.advance(0.25)
            for worker in (second, third):
                self.answerPing(worker)
        self.assertEqual([[], [("Cover", 0)], []], [self.covers(worker) for worker in self.workers])
        self.answerPing(first)
        self.assertEqual([("Cover", 0), ("Uncover", 0)], self.covers(second))

    def answerPing(self, worker: FakeProcess) -> None:
        """Answer the last ping, if that is still to be done."""
        asked = worker.asked("Ping")
        if asked and (worker.pid, asked[-1]) not in self.answered:
            self.answered.add((worker.pid, asked[-1]))
            worker.answer("Ping")

    def test_drain(self) -> None:
        """In a drain nobody covers any more: each closes all that it has, and so do we."""
        self.crash(0)
        self.workers[1].answer("Cover")
        self.workforce.drain(7.0)
        self.workers[2].answer("Drain", cut="0")
        self.workers[2].exit(0)
        self.assertEqual([("Cover", 0)], self.covers(self.workers[1]))
        self.assertEqual([-1, -1, -1], [listener.fileno() for listener in self.listeners])

    def test_refused(self) -> None:
        """That a worker cannot cover is logged, and no copy of the socket stays open for it."""
        self.crash(0)
        descriptors = len(os.listdir("/proc/self/fd"))
        self.workers[1].refuse("Cover")
        self.assertEqual(descriptors - 1, len(os.listdir("/proc/self/fd")))


class RealTests(SupervisorCase):
    """With real processes."""

    async def test_crashLoop(self) -> None:
        """While one of two workers crash-loops no client waits, and afterwards both serve again."""
        self.launch(2, 10.0, Config(), {"STAND_IN": "crash 1"})
        await self.until(lambda: any("next start in 2 s" in line for line in self.log()))
        begun = self.reactor.seconds()
        pids = [await self.who() for _ in range(40)]
        self.assertEqual(1, len(set(pids)))
        self.assertLess(self.reactor.seconds() - begun, 2.0)  # half of them would have waited for that long

    async def test_stopped(self) -> None:
        """Who connects to a worker that hangs is served by its neighbour long before the worker is replaced."""
        await self.start(workers=2, watchdog=10.0)
        victim = await self.who()
        os.kill(victim, signal.SIGSTOP)
        stopped = self.reactor.seconds()
        pids = await gatherResults([Deferred.fromCoroutine(self.who()) for _ in range(30)])
        self.assertNotIn(victim, pids)
        self.assertLess(self.reactor.seconds() - stopped, 6.0)  # about one and a half
        self.assertEqual(0, self.supervisor.workers.restarts)
        os.kill(victim, signal.SIGCONT)
        await self.until(lambda: any("no longer accepts for worker" in line for line in self.log()))
        self.assertIn(victim, await self.all(2))
