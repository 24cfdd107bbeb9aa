"""All workers replaced at once, or none of them. No process is real here."""

from __future__ import annotations

import socket

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.process_kit import FakeProcess, FakeReactor
from tracseq_gateway.config import Instance
from tracseq_gateway.interfaces import InstanceHealth, WorkerHealth
from tracseq_gateway.process.control import CONFIG_FD, LISTEN_FD, unpackInstances
from tracseq_gateway.process.succession import SuccessionFailed
from tracseq_gateway.process.worker_process import Launch
from tracseq_gateway.process.workforce import Farewell, Workforce

OLD, NEW = 98, 99
"""Descriptors of the configurations."""


class SuccessionTests(SynchronousTestCase):
    """``Workforce.replace`` with two workers that serve."""

    def hang_up(self) -> None:
        """Lose all control connections: what waits for an answer waits no longer."""
        for process in self.reactor.spawned:
            process.hangUp()

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        listeners = [socket.socket(), socket.socket()]
        for listener in listeners:
            self.addCleanup(listener.close)
        launch = Launch(self.reactor.typed, ("worker",), OLD, drain_seconds=30.0)
        self.buried: list[int] = []
        self.workforce = Workforce(launch, listeners, self.buried.append)
        self.addCleanup(self.hangUp)
        self.workforce.start()
        self.addCleanup(self.hang_up)
        self.old = list(self.reactor.spawned)
        for worker in self.old:
            worker.answer("Serve")
        self.launch = evolve(launch, config=NEW, drain_seconds=7.0)

    def hangUp(self) -> None:
        """Let nobody wait for an answer any more."""
        for worker in self.reactor.spawned:
            worker.hangUp()

    def replace(self) -> tuple[Deferred[None], list[FakeProcess]]:
        """Begin; the successors are not ready."""
        replaced = self.workforce.replace(self.launch)
        return replaced, self.reactor.spawned[2:]

    def succeed(self) -> list[FakeProcess]:
        """Let the successors take over."""
        replaced, successors = self.replace()
        for worker in successors:
            worker.answer("Serve")
        self.successResultOf(replaced)
        return successors

    def assertServing(self, *workers: FakeProcess) -> None:
        """These were not asked to leave, and two are counted."""
        for worker in workers:
            self.assertEqual(([], "Drain" in worker.commands()), (worker.signals, False))
        self.assertEqual(WorkerHealth(2, 2, 0), self.workforce.health)

    def test_handover(self) -> None:
        """Each successor has the socket of the worker that it follows, and the new configuration."""
        _, successors = self.replace()
        self.assertEqual(
            [old.files | {CONFIG_FD: NEW} for old in self.old],
            [new.files | {3: old.files[3]} for old, new in zip(self.old, successors, strict=True)],
        )
        self.assertEqual([worker.args for worker in self.old], [worker.args for worker in successors])
        self.assertServing(*self.old)

    def test_allServe(self) -> None:
        """Only when the last successor serves the old workers are drained: gently, within the new time."""
        replaced, (first, second) = self.replace()
        first.answer("Serve")
        self.assertNoResult(replaced)
        self.assertServing(*self.old)
        second.answer("Serve")
        self.successResultOf(replaced)
        for worker in self.old:
            self.assertEqual(
                {b"seconds": b"7.0", b"gentle": b"True"},
                {name: worker.heard()[-1][name] for name in (b"seconds", b"gentle")},
            )
        self.assertServing(first, second)

    def test_oldEnd(self) -> None:
        """The old workers are waited for and buried, and are no restart; one that stays too long is killed."""
        self.succeed()
        self.old[0].answer("Drain", cut="0")
        self.old[0].exit(0)
        self.reactor.advance(8.0)
        self.assertEqual(["KILL"], self.old[1].signals)
        self.old[1].exit(signal=9)
        self.assertEqual(([1000, 1001], []), (self.buried, self.reactor.getDelayedCalls()))
        self.assertEqual((WorkerHealth(2, 2, 0), 4), (self.workforce.health, len(self.reactor.spawned)))

    def test_dies(self) -> None:
        """If a successor dies first, the others are killed, and the old workers serve on with no change."""
        replaced, (first, second) = self.replace()
        first.exit(1)
        failure = self.failureResultOf(replaced, SuccessionFailed)
        self.assertEqual("worker 0 exited with status 1 before it served", failure.getErrorMessage())
        self.assertEqual(["KILL"], second.signals)
        second.exit(signal=9)
        self.reactor.advance(60.0)
        self.assertServing(*self.old)
        self.assertEqual(4, len(self.reactor.spawned))

    def test_servedAlready(self) -> None:
        """A successor that serves when another dies has requests perhaps: it finishes them."""
        replaced, (first, second) = self.replace()
        first.answer("Serve")
        second.exit(1)
        self.failureResultOf(replaced, SuccessionFailed)
        self.assertEqual(([], "Drain"), (first.signals, first.commands()[-1]))
        first.answer("Drain", cut="0")
        first.exit(0)
        self.assertServing(*self.old)

    def test_tooSlow(self) -> None:
        """So it is when one does not serve within ten seconds."""
        replaced, (first, second) = self.replace()
        first.answer("Serve")
        self.reactor.advance(10.0)
        second.exit(signal=9)
        failure = self.failureResultOf(replaced, SuccessionFailed)
        self.assertEqual("worker 1 was killed by SIGKILL before it served", failure.getErrorMessage())
        self.assertServing(*self.old)

    def test_noRoom(self) -> None:
        """So it is when the system has no room for another process."""
        self.reactor.full = True
        failure = self.failureResultOf(self.workforce.replace(self.launch), SuccessionFailed)
        self.assertIn("worker 0 could not be started: Resource temporarily unavailable", failure.getErrorMessage())
        self.assertEqual(2, len(self.reactor.spawned))
        self.assertServing(*self.old)

    def test_told(self) -> None:
        """A successor that somebody else tells to leave is as good as dead."""
        replaced, (first, _) = self.replace()
        first.answer("Serve")
        first.say("Leaving")
        self.assertIn("worker 0 was told to leave", self.failureResultOf(replaced, SuccessionFailed).getErrorMessage())
        self.assertServing(*self.old)

    def test_oldDies(self) -> None:
        """An old worker that dies meanwhile is replaced by its like; once the new configuration holds, by that."""
        replaced, successors = self.replace()
        self.old[0].exit(signal=9)
        self.reactor.advance(0.0)
        again = self.reactor.spawned[-1]
        self.assertEqual(OLD, again.files[CONFIG_FD])
        for worker in successors:
            worker.answer("Serve")
        self.successResultOf(replaced)
        self.assertIn("Drain", again.commands())
        again.exit(0)
        self.old[1].exit(0)
        successors[1].exit(signal=9)
        self.reactor.advance(0.0)
        latest = self.reactor.spawned[-1]
        self.assertEqual((NEW, successors[1].files[LISTEN_FD]), (latest.files[CONFIG_FD], latest.files[LISTEN_FD]))

    def test_crashLoop(self) -> None:
        """A successor takes the place of a worker that keeps dying: nobody is started beside it after the pause."""
        for _ in range(3):
            self.old[0].exit(1)
            self.reactor.advance(0.0)
        self.reactor.spawned[-1].exit(1)
        before = len(self.reactor.spawned)
        replaced = self.workforce.replace(self.launch)
        successors = self.reactor.spawned[before:]
        for worker in successors:
            worker.answer("Serve")
        self.successResultOf(replaced)
        self.old[1].exit(0)
        self.reactor.advance(60.0)
        self.assertEqual(before + 2, len(self.reactor.spawned))

    def test_again(self) -> None:
        """Successors are followed by successors, while the first workers may still be finishing."""
        first = self.succeed()
        replaced = self.workforce.replace(self.launch)
        for worker in self.reactor.spawned[4:]:
            worker.answer("Serve")
        self.successResultOf(replaced)
        for worker in (*self.old, *first):
            self.assertEqual(1, worker.commands().count("Drain"))

    def test_stop(self) -> None:
        """A stop ends an attempt, and waits for every process that there is."""
        replaced, successors = self.replace()
        successors[0].answer("Serve")
        farewell = self.workforce.drain(7.0)
        self.assertEqual("the gateway stops", self.failureResultOf(replaced, SuccessionFailed).getErrorMessage())
        self.assertEqual([[], ["KILL"]], [worker.signals for worker in successors])
        self.assertEqual(b"False", successors[0].heard()[-1][b"gentle"])
        successors[1].exit(signal=9)
        for worker in (*self.old, successors[0]):
            self.assertNoResult(farewell)
            worker.answer("Drain", cut="0")
            worker.exit(0)
        self.assertEqual(Farewell(0, 0), self.successResultOf(farewell))

    def test_stopAfterwards(self) -> None:
        """A stop hurries those that finish gently, too."""
        self.succeed()
        self.workforce.drain(3.0)
        for worker in self.old:
            self.assertEqual((b"3.0", b"False"), tuple(worker.heard()[-1][name] for name in (b"seconds", b"gentle")))

    def test_listed(self) -> None:
        """Of the lists of instances, successors hear only those that hold for them; then the others are forgotten."""
        for name in ("stays", "goes"):
            self.workforce.list_instances(name, [Instance("http://a")])
        self.workforce.replace(self.launch, {"stays"})
        successor = self.reactor.spawned[2]
        self.assertEqual([b"stays"], [box[b"service"] for box in successor.heard() if b"service" in box])
        self.assertEqual({"stays": [Instance("http://a")]}, self.workforce.retain({"stays"}))

    def test_news(self) -> None:
        """What is restated is told to all, and is all that later workers hear of instances."""
        self.workforce.publish([InstanceHealth("gone", "http://a")])
        stays = InstanceHealth("stays", "http://b", "healthy")
        self.workforce.restate([stays])
        _, successors = self.replace()
        self.assertEqual([stays], unpackInstances(successors[0].heard()[0][b"instances"]))
        self.assertEqual([stays], unpackInstances(self.old[0].heard()[-1][b"instances"]))
