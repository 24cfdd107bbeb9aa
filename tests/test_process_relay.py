"""What one worker finds out about a service: who hears of it, for how long, and what is written down."""

from __future__ import annotations

import os
import signal
import socket

from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.process_kit import FakeProcess, FakeReactor
from tests.supervisor_kit import Client, SupervisorCase
from tracseq_gateway.config import Config, Instance, Service
from tracseq_gateway.interfaces import InstanceHealth, Observation
from tracseq_gateway.process.control import packObservation, unpackObservation
from tracseq_gateway.process.relay import Relay, asSentence
from tracseq_gateway.process.worker_process import Launch
from tracseq_gateway.process.workforce import Workforce

RAG = "http://127.0.0.1:8086"
EJECTED = Observation("rag", RAG, "ejected", 30.0, "5 failures in a row")
RESTORED = Observation("rag", RAG, "restored")
OPENED = Observation("rag", "", "opened", 60.0, "half of the requests failed")
CLOSED = Observation("rag", "", "closed")


class RelayTests(SynchronousTestCase):
    """``Relay``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.known = {("rag", ""), ("rag", RAG)}
        self.relay = Relay(self.clock.seconds, lambda service, url: (service, url) in self.known)

    def test_remains(self) -> None:
        """What holds is told with the seconds that remain, and no more when it is over."""
        self.relay.heard(EJECTED)
        self.relay.heard(OPENED)
        self.clock.advance(10.0)
        self.assertEqual([evolve(EJECTED, seconds=20.0), evolve(OPENED, seconds=50.0)], list(self.relay.standing()))
        self.clock.advance(20.0)
        self.assertEqual([evolve(OPENED, seconds=30.0)], list(self.relay.standing()))

    def test_revoked(self) -> None:
        """What was taken back holds no more."""
        for observation in (EJECTED, OPENED, RESTORED, CLOSED):
            self.assertTrue(self.relay.heard(observation))
        self.assertEqual([], list(self.relay.standing()))

    def test_same(self) -> None:
        """What two workers see at the same time is news once, and so is its end."""
        self.assertTrue(self.relay.heard(EJECTED))
        self.clock.advance(0.3)
        self.assertFalse(self.relay.heard(EJECTED))
        self.clock.advance(30.0)
        self.assertTrue(self.relay.heard(RESTORED))
        self.assertFalse(self.relay.heard(RESTORED))

    def test_again(self) -> None:
        """An ejection after the end of the last one is news, and one that lasts longer."""
        self.assertTrue(self.relay.heard(EJECTED))
        self.assertTrue(self.relay.heard(evolve(EJECTED, seconds=60.0)))
        self.clock.advance(61.0)
        self.assertTrue(self.relay.heard(EJECTED))

    def test_neverLost(self) -> None:
        """That what was never ejected is restored is no news."""
        self.assertFalse(self.relay.heard(RESTORED))
        self.assertFalse(self.relay.heard(CLOSED))

    def test_unknown(self) -> None:
        """Of services and instances that do not exist, or not any more, nothing is kept or passed on."""
        self.assertFalse(self.relay.heard(evolve(EJECTED, service="other")))
        self.assertFalse(self.relay.heard(evolve(EJECTED, url="http://127.0.0.1:1")))
        self.relay.heard(EJECTED)
        self.known = {("rag", "")}
        self.assertEqual([], list(self.relay.standing()))
        self.relay.heard(OPENED)
        self.known = {("rag", ""), ("rag", RAG)}
        self.assertEqual([OPENED], list(self.relay.standing()))

    def test_sentences(self) -> None:
        """A line says what, which, for how long and why."""
        self.assertEqual(
            [
                "rag: instance http://127.0.0.1:8086 is ejected for 30 s: 5 failures in a row",
                "rag: instance http://127.0.0.1:8086 is restored",
                "rag: the circuit is open for 60 s: half of the requests failed",
                "rag: the circuit is closed",
            ],
            [asSentence(observation) for observation in (EJECTED, RESTORED, OPENED, CLOSED)],
        )


@implementer(ILogObserver)
class Lines(list[str]):
    """What was logged."""

    def __call__(self, event: LogEvent) -> None:
        self.append(formatEvent(event))


class WorkforceTests(SynchronousTestCase):
    """What workers hear of one another, with workers on paper."""

    def setUp(self) -> None:
        self.lines = Lines()
        globalLogPublisher.addObserver(self.lines)
        self.addCleanup(globalLogPublisher.removeObserver, self.lines)
        self.reactor = FakeReactor()
        listeners = [socket.socket() for _ in range(3)]
        for listener in listeners:
            self.addCleanup(listener.close)
        self.workforce = Workforce(Launch(self.reactor.typed, ("worker",), 99, drain_seconds=30.0), listeners)
        self.workforce.publish([InstanceHealth("rag", RAG)])
        self.workforce.start()
        for worker in self.reactor.spawned:
            worker.answer("Serve")

    def heard(self, worker: FakeProcess) -> list[Observation]:
        return [unpackObservation(box[b"observation"]) for box in worker.heard() if b"observation" in box]

    def say(self, worker: FakeProcess, observation: Observation) -> None:
        worker.say("Observed", observation=packObservation(observation).decode())

    def test_others(self) -> None:
        """All others hear what one has found out, and it is logged once."""
        first, second, third = self.reactor.spawned
        self.say(first, EJECTED)
        self.say(second, EJECTED)
        self.assertEqual([[], [EJECTED], [EJECTED]], [self.heard(worker) for worker in (first, second, third)])
        self.assertEqual(1, self.lines.count(asSentence(EJECTED)))
        self.say(third, RESTORED)
        self.assertEqual([RESTORED], self.heard(first))

    def test_later(self) -> None:
        """A worker that starts later knows what still holds before it serves, and hears what comes before that."""
        first, second, _ = self.reactor.spawned
        self.say(first, OPENED)
        self.reactor.advance(20.0)
        second.exit(signal=9)
        self.reactor.advance(0.0)
        successor = self.reactor.spawned[-1]
        self.assertEqual([evolve(OPENED, seconds=40.0)], self.heard(successor))
        self.assertLess(successor.commands().index("Observed"), successor.commands().index("Serve"))
        self.say(first, EJECTED)
        self.assertEqual(EJECTED, self.heard(successor)[-1])

    def test_nonsense(self) -> None:
        """What a worker says of others than the configured instances is heard by nobody."""
        first, second, _ = self.reactor.spawned
        self.say(first, evolve(EJECTED, url="http://127.0.0.1:1"))
        self.say(first, evolve(OPENED, service="other"))
        self.assertEqual([], self.heard(second))


class RealTests(SupervisorCase):
    """With real processes."""

    async def otherThan(self, pid: int) -> Client:
        """A connection to another worker than ``pid``."""
        while True:
            client = await self.connect()
            if int(await client.ask("who")) != pid:
                return client

    async def test_relay(self) -> None:
        """What one worker finds out reaches the other, and its successor with the seconds that remain."""
        service = Service("rag", instances=(Instance(RAG),))
        await self.start(workers=2, config=Config(services={"rag": service}))
        teller = await self.connect()
        told = int(await teller.ask("who"))
        self.assertEqual("said", await teller.ask(f"eject rag {RAG}"))
        await self.until(lambda: asSentence(EJECTED) in self.log())
        other = await self.otherThan(told)
        self.assertEqual(f"rag {RAG} ejected 30.000", await other.ask("heard"))
        os.kill(int(await other.ask("who")), signal.SIGKILL)
        await self.until(lambda: self.supervisor.workers.restarts == 1 and self.supervisor.workers.running == 2)
        heard = (await (await self.otherThan(told)).ask("heard")).split()
        self.assertEqual(["rag", RAG, "ejected"], heard[:3])
        self.assertTrue(25.0 < float(heard[3]) < 30.0, heard)
