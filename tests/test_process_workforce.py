"""The workforce: who is started when, what workers are told, and how all of them leave. No process is real here."""

from __future__ import annotations

import json
import socket

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.process_kit import FakeProcess, FakeReactor
from tracseq_gateway.config import Instance, Log
from tracseq_gateway.interfaces import InstanceHealth, Observation, WorkerHealth
from tracseq_gateway.process.control import (
    CONFIG_FD,
    CONTROL_FD,
    LISTEN_FD,
    packObservation,
    unpackInstances,
    unpackLevels,
    unpackList,
    unpackObservation,
    unpackWorkers,
)
from tracseq_gateway.process.worker_process import Launch
from tracseq_gateway.process.workforce import Farewell, Workforce

CONFIG_FILE = 99


class WorkforceTests(SynchronousTestCase):
    """``Workforce``, its slots and its workers."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.listeners = [socket.socket(), socket.socket()]
        for listener in self.listeners:
            self.addCleanup(listener.close)
        launch = Launch(self.reactor.typed, ("worker", "-x"), CONFIG_FILE, drain_seconds=30.0)
        self.workforce = Workforce(launch, self.listeners)
        self.complete: Deferred[None] | None = None
        self.addCleanup(self.hangUp)

    def hangUp(self) -> None:
        """Let nobody wait for an answer any more."""
        for worker in self.reactor.spawned:
            worker.hangUp()

    def start(self) -> list[FakeProcess]:
        """Start the workers, without their being ready."""
        self.complete = self.workforce.start()
        return list(self.reactor.spawned)

    def serve(self) -> list[FakeProcess]:
        """Start the workers and let them be ready."""
        workers = self.start()
        for worker in workers:
            worker.answer("Serve")
        return workers

    def told(self, worker: FakeProcess) -> WorkerHealth:
        """The last that a worker heard of all workers."""
        return [unpackWorkers(box[b"workers"]) for box in worker.heard() if b"workers" in box][-1]


class StartTests(WorkforceTests):
    """How workers start."""

    def test_handover(self) -> None:
        """Each worker has its number, its own socket, the configuration, and a pipe for its log."""
        for index, worker in enumerate(self.start()):
            self.assertEqual(["worker", "-x", "--worker", str(index)], worker.args)
            self.assertEqual({0, 1, 2, CONTROL_FD, LISTEN_FD, CONFIG_FD}, set(worker.files))
            self.assertEqual(self.listeners[index].fileno(), worker.files[LISTEN_FD])
            self.assertEqual((CONFIG_FILE, "r"), (worker.files[CONFIG_FD], worker.files[2]))

    def test_briefing(self) -> None:
        """A worker knows every instance and the workers before it is asked to serve."""
        instances = [InstanceHealth("rag", "http://127.0.0.1:8086"), InstanceHealth("auth", "http://127.0.0.1:8080")]
        self.workforce.publish(instances)
        worker = self.start()[0]
        self.assertEqual(["InstancesChanged", "WorkersChanged", "Serve"], worker.commands())
        self.assertEqual(instances, unpackInstances(worker.heard()[0][b"instances"]))
        self.assertEqual(WorkerHealth(configured=2, running=0), self.told(worker))

    def test_complete(self) -> None:
        """The workforce is complete when the last worker serves; each change is told to all."""
        first, second = self.start()
        assert self.complete is not None
        first.answer("Serve")
        self.assertNoResult(self.complete)
        self.assertEqual([WorkerHealth(2, 1)] * 2, [self.told(first), self.told(second)])
        second.answer("Serve")
        self.successResultOf(self.complete)
        self.assertEqual([WorkerHealth(2, 2)] * 2, [self.told(first), self.told(second)])

    def test_tooSlow(self) -> None:
        """A worker that does not serve within ten seconds is killed, and replaced when it is gone."""
        first, second = self.start()
        second.answer("Serve")
        self.reactor.advance(10.0)
        self.assertEqual((["KILL"], []), (first.signals, second.signals))
        first.exit(signal=9)
        self.reactor.advance(0.0)
        self.assertEqual(3, len(self.reactor.spawned))

    def test_noRoom(self) -> None:
        """A worker that cannot be spawned counts as a crash, and is tried again."""
        self.reactor.full = True
        self.start()
        self.reactor.full = False
        self.reactor.advance(0.0)
        self.assertEqual(2, len(self.reactor.spawned))
        self.assertEqual(2, self.workforce.health.restarts)


class NewsTests(WorkforceTests):
    """What workers hear while they live."""

    def test_news(self) -> None:
        """News go to all workers, and only the news; a worker that comes later gets the whole."""
        instance = InstanceHealth("rag", "http://127.0.0.1:8086")
        self.workforce.publish([instance, InstanceHealth("auth", "http://127.0.0.1:8080")])
        first, second = self.serve()
        news = InstanceHealth("rag", "http://127.0.0.1:8086", "healthy", 1.0, 1.0, 0.1)
        self.workforce.publish([news])
        for worker in (first, second):
            heard = [json.loads(box[b"instances"]) for box in worker.heard() if b"instances" in box]
            self.assertEqual([2, 1], [len(instances) for instances in heard])
        first.exit(1)
        self.reactor.advance(0.0)
        successor = self.reactor.spawned[-1]
        self.assertIn(news, unpackInstances(successor.heard()[0][b"instances"]))

    def test_lists(self) -> None:
        """A list goes to all workers at once; one that comes later gets the last of each service before all else."""
        old, new = (InstanceHealth("rag", f"http://127.0.0.1:{port}", "healthy") for port in (8086, 9086))
        self.workforce.publish([old, InstanceHealth("auth", old.url)])
        first, second = self.serve()
        for instances in ([Instance(old.url), Instance(new.url)], [Instance(new.url, 2)]):
            self.workforce.list_instances("rag", instances)
            for worker in (first, second):
                self.assertEqual("InstancesListed", worker.commands()[-1])
                self.assertEqual(instances, unpackList(worker.heard()[-1][b"instances"]))
        self.workforce.publish([new])
        first.exit(1)
        self.reactor.advance(0.0)
        successor = self.reactor.spawned[-1]
        self.assertEqual(["InstancesListed", "InstancesChanged", "WorkersChanged", "Serve"], successor.commands())
        listed, changed, *_ = successor.heard()
        self.assertEqual((b"rag", [Instance(new.url, 2)]), (listed[b"service"], unpackList(listed[b"instances"])))
        self.assertEqual([InstanceHealth("auth", old.url), new], unpackInstances(changed[b"instances"]))

    def test_levels(self) -> None:
        """Levels of the log that were changed go to all workers, also to those that come later."""
        workers = self.serve()
        self.workforce.relevel(Log("debug"))
        self.workforce.relevel(Log("warn", {"redis": "error"}))
        workers[0].exit(1)
        self.reactor.advance(0.0)
        for worker, count in ((workers[1], 2), (self.reactor.spawned[-1], 1)):
            heard = [unpackLevels(box[b"levels"]) for box in worker.heard() if b"levels" in box]
            self.assertEqual((count, Log("warn", {"redis": "error"})), (len(heard), heard[-1]))

    def test_observed(self) -> None:
        """What a worker finds out is relayed of an instance that was listed, and not of one that is gone."""
        first, second = self.serve()
        for url in ("http://a:1", "http://b:1"):
            self.workforce.list_instances("rag", [Instance(url)])
        for url in ("http://a:1", "http://b:1"):
            first.say("Observed", observation=packObservation(Observation("rag", url, "ejected")).decode())
        heard = [unpackObservation(box[b"observation"]) for box in second.heard() if b"observation" in box]
        self.assertEqual(["http://b:1"], [observation.url for observation in heard])


class SuccessionTests(WorkforceTests):
    """Who follows whom."""

    def spawned(self, seconds: float) -> int:
        """How many workers are started within the next so many seconds."""
        before = len(self.reactor.spawned)
        self.reactor.advance(seconds)
        return len(self.reactor.spawned) - before

    def test_killed(self) -> None:
        """A worker that dies is replaced at once on the same socket, and its death is counted."""
        first, second = self.serve()
        first.hangUp()
        self.assertEqual(0, self.spawned(0.0))
        first.exit(signal=9)
        self.assertEqual(1, self.spawned(0.0))
        successor = self.reactor.spawned[-1]
        self.assertEqual(first.files[LISTEN_FD], successor.files[LISTEN_FD])
        self.assertEqual(WorkerHealth(2, 1, 1), self.told(second))
        successor.answer("Serve")
        self.assertEqual(WorkerHealth(2, 2, 1), self.told(second))

    def test_crashLoop(self) -> None:
        """A worker that keeps dying is started again after ever longer pauses; the other serves on."""
        worker, other = self.serve()
        pauses = []
        for _ in range(8):
            died = self.reactor.seconds()
            worker.exit(1)
            self.reactor.pump([0.0, *[1.0] * 30])
            worker = self.reactor.spawned[-1]
            pauses.append(worker.born - died)
        self.assertEqual([0, 1, 2, 4, 8, 16, 30, 30], pauses)
        self.assertEqual(([], 1), (other.signals, self.told(other).running))

    def test_oldWorker(self) -> None:
        """A worker that served for five seconds is replaced at once, whatever happened before."""
        worker, _ = self.serve()
        for _ in range(3):
            self.reactor.advance(5.0)
            worker.exit(signal=11)
            self.assertEqual(1, self.spawned(0.0))
            worker = self.reactor.spawned[-1]
            worker.answer("Serve")

    def test_farewell(self) -> None:
        """A worker that was told to leave by somebody else is replaced while it finishes, and its end is no crash."""
        first, second = self.serve()
        first.say("Leaving")
        self.assertEqual(1, self.spawned(0.0))
        self.assertEqual(WorkerHealth(2, 1, 1), self.told(second))
        first.exit(0)
        self.assertEqual(0, self.spawned(60.0))

    def test_stuckAfterFarewell(self) -> None:
        """A worker that leaves of itself is killed a second after its time to drain."""
        first, _ = self.serve()
        first.say("Leaving")
        self.reactor.advance(30.9)
        self.assertEqual([], first.signals)
        self.reactor.advance(0.1)
        self.assertEqual(["KILL"], first.signals)

    def test_lostConnection(self) -> None:
        """A worker that lost its control connection but lives on is killed in the end, and replaced when it is gone."""
        first, _ = self.serve()
        first.hangUp()
        self.reactor.advance(31.0)
        self.assertEqual((["KILL"], 2), (first.signals, len(self.reactor.spawned)))
        first.exit(signal=9)
        self.assertEqual(1, self.spawned(0.0))


class DrainTests(WorkforceTests):
    """How all of them leave."""

    def drain(self, seconds: float) -> Deferred[Farewell]:
        return self.workforce.drain(seconds)

    def test_drain(self) -> None:
        """Every worker is asked to drain, our copies of the sockets are closed, and nobody is started any more."""
        first, second = self.serve()
        farewell = self.drain(7.0)
        self.assertEqual([-1, -1], [listener.fileno() for listener in self.listeners])
        self.assertEqual(b"7.0", first.heard()[-1][b"seconds"])
        first.answer("Drain", cut="2")
        first.exit(0)
        self.assertNoResult(farewell)
        second.answer("Drain", cut="1")
        second.exit(0)
        self.assertEqual(Farewell(cut=3, crashed=0), self.successResultOf(farewell))
        self.reactor.advance(100.0)
        self.assertEqual(([], 2), (self.reactor.getDelayedCalls(), len(self.reactor.spawned)))

    def test_deadline(self) -> None:
        """Who is still there a second after its time is killed, and what it cut is unknown."""
        first, second = self.serve()
        farewell = self.drain(7.0)
        second.answer("Drain", cut="4")
        second.exit(0)
        self.reactor.advance(7.9)
        self.assertEqual([], first.signals)
        self.reactor.advance(0.1)
        self.assertEqual(["KILL"], first.signals)
        first.exit(signal=9)
        self.assertEqual(Farewell(cut=4, crashed=1), self.successResultOf(farewell))

    def test_hasten(self) -> None:
        """The deadline of a drain can be moved."""
        first, second = self.serve()
        self.drain(30.0)
        self.workforce.hasten(1.5, 0.5)
        self.reactor.advance(2.0)
        self.assertEqual([["KILL"]] * 2, [first.signals, second.signals])

    def test_condemn(self) -> None:
        """All can be killed at once."""
        first, second = self.serve()
        farewell = self.drain(30.0)
        self.workforce.condemn()
        for worker in (first, second):
            self.assertEqual(["KILL"], worker.signals)
            worker.exit(signal=9)
        self.assertEqual(Farewell(cut=0, crashed=2), self.successResultOf(farewell))

    def test_starting(self) -> None:
        """A worker that is still starting is asked as well: it serves what waits for it, then leaves."""
        worker, _ = self.start()
        self.drain(7.0)
        self.assertEqual(["Serve", "Drain"], worker.commands()[-2:])
        worker.answer("Serve")
        worker.answer("Drain", cut="0")
        worker.exit(0)
        self.assertEqual([], worker.signals)

    def test_pausing(self) -> None:
        """In a crash loop's pause there is nobody to wait for."""
        worker, other = self.serve()
        worker.exit(1)
        self.reactor.advance(0.0)
        self.reactor.spawned[-1].exit(1)
        farewell = self.drain(7.0)
        other.answer("Drain", cut="0")
        other.exit(0)
        self.assertEqual(Farewell(0, 0), self.successResultOf(farewell))
        self.reactor.advance(100.0)
        self.assertEqual(3, len(self.reactor.spawned))

    def test_leavingAlready(self) -> None:
        """A worker that was leaving of itself when the stop came is waited for, and says how many it cut."""
        first, second = self.serve()
        first.say("Leaving")
        farewell = self.drain(7.0)
        for worker, cut in ((first, "5"), (second, "0")):
            worker.answer("Drain", cut=cut)
            worker.exit(0)
        self.assertEqual(Farewell(cut=5, crashed=0), self.successResultOf(farewell))
