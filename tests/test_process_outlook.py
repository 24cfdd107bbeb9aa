"""The overview in the supervisor: what workers tell, who is shown it, and instances that are drained."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Sequence
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.process_kit import FakeProcess, FakeReactor
from tests.supervisor_kit import SupervisorCase
from tracseq_gateway.config import Config, Instance, Service
from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.overview.digest import Digest, InstanceDigest, ServiceDigest
from tracseq_gateway.overview.pieces import PIECE, Assembly
from tracseq_gateway.process.control import unpackInstances
from tracseq_gateway.process.control_socket import ControlConnection
from tracseq_gateway.process.drains import Drains
from tracseq_gateway.process.outlook import Known, Outlook
from tracseq_gateway.process.worker_process import Launch
from tracseq_gateway.process.workforce import Workforce

ONE, TWO = "http://127.0.0.1:8086", "http://127.0.0.1:9086"
NOBODY = cast(ControlConnection, None)
HEALTHY = [InstanceHealth("rag", url, "healthy") for url in (ONE, TWO)]


def digest(requests: int = 1, in_flight: int = 0) -> Digest:
    instance = InstanceDigest("rag", ONE, requests, 0, in_flight)
    return Digest(1.0, [ServiceDigest("rag", requests, 0, 0, ())], [instance], in_flight=in_flight)


class OutlookTestCase(SynchronousTestCase):
    """Two workers on paper, and a service with two instances."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.reactor.advance(1000.0)
        listeners = [socket.socket() for _ in range(2)]
        for listener in listeners:
            self.addCleanup(listener.close)
        self.workforce = Workforce(Launch(self.reactor.typed, ("worker",), 99, drain_seconds=30.0), listeners)
        self.instances: Sequence[InstanceHealth] = HEALTHY
        self.drains = Drains(self.reactor, lambda: self.instances, self.workforce.publish)
        config = Config(services={"rag": Service("rag", prefix="/rag", instances=(Instance(ONE), Instance(TWO)))})
        known = Known(lambda: config, self.drains.instances, lambda: False)
        self.outlook = Outlook(self.reactor, self.workforce, known, lambda: self.reactor.seconds() + 5000.0)
        self.workforce.publish(self.drains.instances())
        self.workforce.start()
        for worker in self.reactor.spawned:
            worker.answer("Serve")
        self.outlook.start()
        self.addCleanup(self.outlook.stop)

    def say(self, worker: FakeProcess, digest: Digest) -> None:
        """Have a worker send a digest, in the smallest pieces that show that they are put together."""
        data = digest.pack().decode()
        worker.say("Digested", piece=data[:50], last="False")
        worker.say("Digested", piece=data[50:], last="True")

    def command(self, name: str, **fields: object) -> Deferred[Any]:
        commands = {**self.outlook.commands, **self.drains.commands(self.outlook)}
        return cast(Deferred[Any], commands[name]({"command": name, **fields}, NOBODY))

    def overview(self) -> dict[str, Any]:
        return cast(dict[str, Any], self.successResultOf(self.command("overview")))


class OutlookTests(OutlookTestCase):
    """``Outlook``."""

    def shown(self, worker: FakeProcess) -> list[dict[str, Any]]:
        """The overviews that a worker was sent."""
        assembly = Assembly()
        boxes = [box for box in worker.heard() if box[b"_command"] == b"OverviewChanged"]
        whole = [assembly.take(box[b"piece"], box[b"last"] == b"True") for box in boxes]
        return [json.loads(overview) for overview in whole if overview is not None]

    def test_answered(self) -> None:
        """Who asks gets what the workers said, beside what the supervisor knows of them and of the instances."""
        first, second = self.reactor.spawned
        self.reactor.advance(1.0)
        self.say(first, digest(3))
        self.say(second, digest(5))
        overview = self.overview()
        self.assertEqual(8.0, overview["totals"]["requests_per_second"])
        self.assertEqual((6001.0, "healthy"), (overview["time"], overview["status"]))
        workers = [(worker["pid"], worker["state"], worker["since"]) for worker in overview["workers"]]
        self.assertEqual([(1000, "serving", 6000.0), (1001, "serving", 6000.0)], workers)
        self.assertEqual([ONE, TWO], [instance["url"] for instance in overview["services"][0]["instances"]])

    def test_watched(self) -> None:
        """A worker that has watchers is sent the overview every second until it has none; others never."""
        first, second = self.reactor.spawned
        self.reactor.advance(1.0)
        first.say("Watching", watching="True")
        self.reactor.pump([1.0] * 3)
        self.assertEqual([6002.0, 6003.0, 6004.0], [overview["time"] for overview in self.shown(first)])
        first.say("Watching", watching="False")
        self.reactor.pump([1.0] * 3)
        self.assertEqual((3, []), (len(self.shown(first)), self.shown(second)))

    def test_large(self) -> None:
        """An overview that does not fit into one message comes in pieces."""
        self.instances = [evolve(HEALTHY[0], url=f"http://10.0.0.1:{port}") for port in range(1, 1001)]
        (worker, _) = self.reactor.spawned
        worker.say("Watching", watching="True")
        self.reactor.advance(1.0)
        pieces = worker.commands().count("OverviewChanged")
        (overview,) = self.shown(worker)
        self.assertEqual(1000, len(overview["services"][0]["instances"]))
        self.assertEqual(-(-len(json.dumps(overview, separators=(",", ":"))) // PIECE), pieces)
        self.assertGreater(pieces, 2)

    def test_diedWorker(self) -> None:
        """A worker that has died is not shown, its successor is, and the gateway is degraded until that serves."""
        first = self.reactor.spawned[0]
        self.say(first, digest(1, in_flight=4))
        first.exit(signal=9)
        self.reactor.advance(0.0)
        overview = self.overview()
        self.assertEqual((0, 1, "degraded"), (
            overview["totals"]["in_flight"], overview["restarts"], overview["status"],
        ))  # fmt: skip
        self.assertEqual(
            [(0, "starting"), (1, "serving")], [(one["index"], one["state"]) for one in overview["workers"]]
        )
        self.reactor.spawned[-1].answer("Serve")
        self.assertEqual("healthy", self.overview()["status"])

    def test_unreadable(self) -> None:
        """Digests of a worker of another version are said to be unreadable, once, and it serves on."""
        worker = self.reactor.spawned[0]
        for _ in range(3):
            worker.say("Digested", piece='{"seconds": 1, "surprise": 2}', last="True")
        self.assertEqual((0.0, []), (self.overview()["totals"]["requests_per_second"], worker.signals))
        self.say(worker, digest(2))
        self.assertEqual(2.0, self.overview()["totals"]["requests_per_second"])


class DrainTests(OutlookTestCase):
    """``Drains``."""

    def drain(self, instance: str = ONE, **fields: object) -> dict[str, Any]:
        return cast(dict[str, Any], self.successResultOf(self.command("drain", instance=instance, **fields)))

    def news(self, worker: FakeProcess) -> dict[str, bool]:
        """What a worker was told last of each instance."""
        told = [unpackInstances(box[b"instances"]) for box in worker.heard() if b"instances" in box]
        return {instance.url: instance.drained for instances in told for instance in instances}

    def test_drained(self) -> None:
        """All workers are told, those that come later too, and the overview shows it."""
        answer = self.drain()
        self.assertEqual([{"service": "rag", "url": ONE, "drained": True, "in_flight": 0}], answer["instances"])
        first, second = self.reactor.spawned
        second.exit(signal=9)
        self.reactor.advance(0.0)
        for worker in (first, self.reactor.spawned[-1]):
            self.assertEqual({ONE: True, TWO: False}, self.news(worker))
        (service,) = self.overview()["services"]
        self.assertEqual([True, False], [instance["drained"] for instance in service["instances"]])
        self.assertEqual("healthy", service["state"])

    def test_probed(self) -> None:
        """What a probe says later does not undo it."""
        self.drain()
        self.assertTrue(self.drains.marked([evolve(HEALTHY[0], checked=5.0)])[0].drained)

    def test_undone(self) -> None:
        """Undone, it gets requests again; to do either twice changes nothing and is no error."""
        self.drain()
        self.drain()
        for _ in range(2):
            answer = self.drain(undo=True)
        self.assertFalse(answer["instances"][0]["drained"])
        self.assertEqual({ONE: False, TWO: False}, self.news(self.reactor.spawned[0]))

    def test_named(self) -> None:
        """It may be named by host and port, or for one service alone."""
        self.instances = [*HEALTHY, InstanceHealth("auth", ONE, "healthy"), InstanceHealth("auth", TWO, "healthy")]
        self.assertEqual(["auth", "rag"], [one["service"] for one in self.drain("127.0.0.1:8086")["instances"]])
        self.drain(undo=True)
        self.assertEqual(["auth"], [one["service"] for one in self.drain(service="auth")["instances"]])

    def test_unknown(self) -> None:
        """What is no instance is refused, with the names of those that there are."""
        self.assertEqual(
            f"'http://127.0.0.1:1' is no instance of any service; there are: {ONE}, {TWO}",
            self.drain("http://127.0.0.1:1")["error"],
        )
        self.assertIn("no instance of the service 'auth'; there are: none", self.drain(service="auth")["error"])

    def test_nonsense(self) -> None:
        """A request that cannot be meant is refused, and says why."""
        for fields in ({"wait": -1}, {"wait": 1e9}, {"wait": "x"}, {"undo": 1}, {"service": None}, {"more": 1}):
            self.assertIn("cannot be drained", self.drain(**fields)["error"])
        self.assertIn("cannot be drained", self.successResultOf(self.command("drain"))["error"])

    def test_last(self) -> None:
        """The last that can take requests is drained only by force: one that is unhealthy or drained cannot."""
        self.instances = [HEALTHY[0], evolve(HEALTHY[1], state="unhealthy")]
        self.assertIn("the last instance of rag", self.drain()["error"])
        self.assertNotIn("error", self.drain(TWO))
        self.instances = HEALTHY
        self.assertIn("the last instance of rag", self.drain(ONE)["error"])
        self.assertNotIn("error", self.drain(ONE, force=True))
        self.assertEqual("unhealthy", self.overview()["services"][0]["state"])

    def test_forgotten(self) -> None:
        """An instance that has gone is drained no more when one with its URL comes."""
        self.drain()
        self.instances = HEALTHY[1:]
        self.drains.revise()
        self.instances = HEALTHY
        self.assertEqual([False, False], [instance.drained for instance in self.drains.instances()])

    def test_wait(self) -> None:
        """Who waits is answered when every worker has said, after the drain, that nothing is under way there."""
        first, second = self.reactor.spawned
        self.say(first, digest(in_flight=0))
        waiting = self.command("drain", instance=ONE, wait=30)
        self.say(first, digest(in_flight=0))  # was made before the worker heard of the drain
        self.say(second, digest(in_flight=0))
        self.reactor.pump([0.5] * 4)
        self.assertNoResult(waiting)
        self.say(first, digest(in_flight=1))
        self.say(second, digest(in_flight=0))
        self.reactor.pump([0.5] * 4)
        self.assertNoResult(waiting)
        self.say(first, digest(in_flight=0))
        self.reactor.advance(0.5)
        answer = self.successResultOf(waiting)
        self.assertEqual((True, 0), (answer["empty"], answer["instances"][0]["in_flight"]))

    def test_waitedInVain(self) -> None:
        """After the time it is answered what is still under way."""
        waiting = self.command("drain", instance=ONE, wait=5)
        for _ in range(6):
            for worker in self.reactor.spawned:
                self.say(worker, digest(in_flight=2))
            self.reactor.pump([0.2] * 5)
        answer = self.successResultOf(waiting)
        self.assertEqual((False, 4), (answer["empty"], answer["instances"][0]["in_flight"]))

    def test_stopped(self) -> None:
        """A gateway that stops lets nobody wait."""
        waiting = self.command("drain", instance=ONE, wait=3600)
        self.drains.stop()
        self.assertFalse(self.successResultOf(waiting)["empty"])
        self.outlook.stop()
        self.assertEqual([], [call for call in self.reactor.getDelayedCalls() if call.getTime() < 1010.0])


class RealTests(SupervisorCase):
    """With real processes."""

    async def test_killed(self) -> None:
        """A worker that was killed is shown as restarted, with the new process."""
        service = Service("rag", prefix="/rag", instances=(Instance(ONE),))
        await self.start(workers=2, config=Config(services={"rag": service}))
        outlook = self.supervisor._outlook
        victim, other = (worker["pid"] for worker in outlook.document()["workers"])
        os.kill(victim, signal.SIGKILL)
        await self.until(lambda: self.supervisor.workers.restarts == 1 and self.supervisor.workers.running == 2)
        overview = outlook.document()
        self.assertEqual((1, 2), (overview["restarts"], len(overview["workers"])))
        self.assertNotIn(victim, [worker["pid"] for worker in overview["workers"]])
        self.assertIn(other, [worker["pid"] for worker in overview["workers"]])

    async def test_reloaded(self) -> None:
        """What is drained stays so over a reload: the new workers are told before they serve."""
        instances = (Instance(ONE), Instance(TWO))
        await self.start(config=Config(services={"rag": Service("rag", prefix="/rag", instances=instances)}))
        drains, outlook = self.supervisor._drains, self.supervisor._outlook
        answer = await drains.commands(outlook)["drain"]({"instance": ONE, "force": True}, NOBODY)
        self.assertTrue(cast(Any, answer)["instances"][0]["drained"])
        reloaded = await self.supervisor.reload()
        self.assertTrue(reloaded.accepted)
        (service,) = outlook.document()["services"]
        self.assertEqual([True, False], [instance["drained"] for instance in service["instances"]])
        self.assertEqual([True, False], [one.drained for one in self.supervisor._workforce._instances.values()])
