"""The control connection: what goes over it, and what a worker does with it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.protocols.amp import Command
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase

from tests.process_kit import FakeReactor
from tracseq_gateway.config import Instance, Log
from tracseq_gateway.interfaces import InstanceHealth, Observation, WorkerHealth
from tracseq_gateway.overview.digest import Digest
from tracseq_gateway.overview.feed import OverviewFeed
from tracseq_gateway.overview.pieces import in_pieces
from tracseq_gateway.process.attendant import Attendant
from tracseq_gateway.process.control import (
    Conversation,
    Digested,
    Drain,
    InstancesChanged,
    InstancesListed,
    Leaving,
    LevelsChanged,
    NotPurged,
    Observed,
    OverviewChanged,
    PageNotMade,
    Ping,
    Purge,
    Scrape,
    Serve,
    Uncover,
    Watching,
    WorkersChanged,
    packInstances,
    packLevels,
    packList,
    packObservation,
    packWorkers,
    unpackInstances,
    unpackList,
    unpackObservation,
    unpackWorkers,
)


class PackTests(SynchronousTestCase):
    """Values on the wire."""

    def test_instances(self) -> None:
        """Instances come out as they went in, every field of them."""
        instances = [
            InstanceHealth("samples", "http://127.0.0.1:8081"),
            InstanceHealth("rag", "http://[::1]:8086", "unhealthy", 1.5, 2.5, 0.25, "status 503: überlastet"),
        ]
        (piece,) = packInstances(instances)
        self.assertEqual(instances, unpackInstances(piece))

    def test_split(self) -> None:
        """A long list goes in several pieces, each within the limit of one AMP value."""
        instances = [InstanceHealth("s", f"http://host-{number}:80", error="x" * 200) for number in range(1000)]
        pieces = list(packInstances(instances))
        self.assertGreater(len(pieces), 1)
        self.assertLess(max(map(len, pieces)), 65536)
        self.assertEqual(instances, [instance for piece in pieces for instance in unpackInstances(piece)])

    def test_observation(self) -> None:
        """An observation comes out as it went in, but for a reason that is too long."""
        observation = Observation("rag", "http://127.0.0.1:8086", "ejected", 30.5, "Überlast")
        self.assertEqual(observation, unpackObservation(packObservation(observation)))
        endless = unpackObservation(packObservation(Observation("rag", "", "opened", 1.0, "x" * 100_000)))
        self.assertEqual("x" * 200, endless.reason)

    def test_nothing(self) -> None:
        """No instances are no message."""
        self.assertEqual([], list(packInstances([])))

    def test_list(self) -> None:
        """A service's instances come out as they went in."""
        instances = [Instance("http://[2001:db8::1]:8081", 65535), Instance("http://h:80")]
        self.assertEqual(instances, unpackList(packList(instances)))

    def test_workers(self) -> None:
        """The workers' health comes out as it went in."""
        self.assertEqual(WorkerHealth(4, 3, 7), unpackWorkers(packWorkers(WorkerHealth(4, 3, 7))))


class FakeGateway:
    """Records what it is told."""

    def __init__(self) -> None:
        self.observed: Callable[[Observation], None] = lambda observation: None
        self.digested: Callable[[Digest], None] = lambda digest: None
        self.feed = OverviewFeed()
        self.told: list[object] = []
        self.drained: Deferred[int] = Deferred()

    def start(self) -> Deferred[None]:
        return succeed(None)

    def listen(self, sock: socket.socket) -> Callable[[], None]:
        self.told.append(sock)
        return lambda: self.told.append("no more")

    def list_instances(self, service: str, instances: Sequence[Instance]) -> None:
        self.told.append((service, *instances))

    def update_instances(self, instances: Sequence[InstanceHealth]) -> None:
        self.told.extend(instances)

    def update_workers(self, workers: WorkerHealth) -> None:
        self.told.append(workers)

    def take_observation(self, observation: Observation) -> None:
        self.told.append(observation)

    def scrape_by(self, scrape: Callable[[bool], Deferred[str]]) -> None:
        self.scrape = scrape

    def explain(self, question: bytes) -> Deferred[bytes]:
        self.told.append(question)
        return succeed(b'{"outcome": "passed"}')

    def purge(self, service: str, path: bytes, query: bytes, *, below: bool) -> Deferred[int]:
        self.told.append((service, path, query, below))
        return succeed(3) if service else fail(RuntimeError("Redis is away"))

    def drain(self, seconds: float, gentle: bool) -> Deferred[int]:
        self.told.append((seconds, "gently") if gentle else seconds)
        return self.drained

    def hasten(self) -> None:
        self.told.append("hasten")


class SupervisorEnd(Conversation):
    """Remembers what the worker says."""

    leaving = 0

    def __init__(self) -> None:
        super().__init__()
        self.observations: list[Observation] = []
        self.digests: list[tuple[bytes, bool]] = []
        self.watching: list[bool] = []

    @Digested.responder
    def heardDigest(self, piece: bytes, last: bool) -> dict[str, object]:
        self.digests.append((piece, last))
        return {}

    @Watching.responder
    def heardWatching(self, watching: bool) -> dict[str, object]:
        self.watching.append(watching)
        return {}

    @Observed.responder
    def heardObservation(self, observation: bytes) -> dict[str, object]:
        self.observations.append(unpackObservation(observation))
        return {}

    @Scrape.responder
    def heardScrape(self, openmetrics: bool) -> dict[str, object]:
        if not openmetrics:
            raise PageNotMade("nothing is measured")
        return {"path": "/run/page"}

    @Leaving.responder
    def heardLeaving(self) -> dict[str, object]:
        self.leaving += 1
        return {}


class AttendantTests(SynchronousTestCase):
    """A worker's end, joined in memory to a supervisor's end."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.gateway = FakeGateway()
        self.abandoned = 0
        self.listener = socket.socket()
        self.addCleanup(self.listener.close)
        self.levels: list[Log] = []
        self.attendant = Attendant(
            self.reactor.typed, self.gateway, self.listener, 30.0, self.abandon, self.levels.append
        )
        self.supervisor = SupervisorEnd()
        self.pump: IOPump = connect(
            self.attendant,
            FakeTransport(self.attendant, isServer=False),
            self.supervisor,
            FakeTransport(self.supervisor, isServer=True),
        )

    def abandon(self) -> None:
        self.abandoned += 1

    def say(self, command: type[Command], **arguments: object) -> Deferred[dict[str, int]] | None:
        answer: Deferred[dict[str, int]] | None = self.supervisor.callRemote(command, **arguments)
        self.pump.flush()
        return answer

    def lose(self) -> None:
        assert self.supervisor.transport is not None
        self.supervisor.transport.loseConnection()
        self.pump.flush()

    def test_news(self) -> None:
        """News of instances and workers reach the gateway before it listens, and the answer says that it listens."""
        instance, workers = InstanceHealth("rag", "http://127.0.0.1:8086"), WorkerHealth(2, 1)
        listed = Instance("http://127.0.0.1:8086", 3)
        self.say(InstancesListed, service="rag", instances=packList([listed]))
        for piece in packInstances([instance]):
            self.say(InstancesChanged, instances=piece)
        self.say(WorkersChanged, workers=packWorkers(workers))
        answer = self.say(Serve)
        assert answer is not None
        self.successResultOf(answer)
        self.assertEqual([("rag", listed), instance, workers, self.listener], self.gateway.told)

    def test_digest(self) -> None:
        """A digest reaches the supervisor, however long it is; without a supervisor it goes nowhere."""
        digest = Digest(1.0, errors=[("rag", "x" * 100, 1)] * 1000)
        self.gateway.digested(digest)
        self.pump.flush()
        self.assertEqual(digest.pack(), b"".join(piece for piece, _ in self.supervisor.digests))
        self.assertEqual([False, True], [last for _, last in self.supervisor.digests])
        self.lose()
        self.gateway.digested(digest)

    def test_overview(self) -> None:
        """The supervisor hears that somebody watches; what it then sends reaches him whole."""
        seen: list[bytes] = []
        leave = self.gateway.feed.subscribe(seen.append)
        self.pump.flush()
        overview = b'{"status": "%b"}' % (b"x" * 100_000)
        for piece, last in in_pieces(overview):
            self.say(OverviewChanged, piece=piece, last=last)
        self.assertEqual([overview], seen)
        leave()
        self.pump.flush()
        self.assertEqual([True, False], self.supervisor.watching)

    def test_levels(self) -> None:
        """A worker logs by the levels that it is told."""
        self.say(LevelsChanged, levels=packLevels(Log("warn", {"redis": "error"})))
        self.assertEqual([Log("warn", {"redis": "error"})], self.levels)

    def test_ping(self) -> None:
        """A ping is answered, also in a drain."""
        for _ in range(2):
            answer = self.say(Ping)
            assert answer is not None
            self.successResultOf(answer)
            self.say(Drain, seconds=7.0, gentle=False)

    def test_scrape(self) -> None:
        """A page of metrics is made by the supervisor; that it cannot is an error, and all goes on."""
        errors: list[Failure] = []
        page = self.gateway.scrape(True)
        self.gateway.scrape(False).addErrback(errors.append)
        self.pump.flush()
        self.assertEqual("/run/page", self.successResultOf(page))
        self.assertEqual([PageNotMade], [error.type for error in errors])
        self.test_ping()

    def test_purge(self) -> None:
        """A worker is told what to drop, and says how much that was; or why it could not."""
        said: list[object] = []
        for service in ("rag", ""):
            answer = self.supervisor.callRemote(Purge, service=service, path=b"/a", query=b"?b", below=True)
            answer.addCallbacks(said.append, lambda failure: said.append((failure.type, failure.getErrorMessage())))
            self.pump.flush()
            self.assertEqual((service, b"/a", b"?b", True), self.gateway.told[-1])
        self.assertEqual([{"purged": 3}, (NotPurged, "Redis is away")], said)

    def test_cover(self) -> None:
        """A worker accepts from a neighbour's socket from ``Cover`` to ``Uncover``."""
        with socket.socket() as neighbour:
            name = os.fstat(neighbour.fileno()).st_ino
            self.attendant.cover(3, os.dup(neighbour.fileno()))
        (lent,) = self.gateway.told
        assert isinstance(lent, socket.socket)
        self.addCleanup(lent.close)
        self.assertEqual(name, os.fstat(lent.fileno()).st_ino)
        for _ in range(2):
            self.say(Uncover, index=3)
        self.assertEqual([lent, "no more"], self.gateway.told)

    def test_coverInDrain(self) -> None:
        """A worker that drains takes no further socket, and closes its copy."""
        self.say(Drain, seconds=7.0, gentle=False)
        lent = socket.socket().detach()
        self.attendant.cover(3, lent)
        self.assertEqual([7.0], self.gateway.told)
        self.assertRaises(OSError, os.fstat, lent)

    def test_observations(self) -> None:
        """What the gateway finds out is told to the supervisor, and what others found out to the gateway."""
        found, heard = Observation("rag", "http://a", "ejected", 30.0, "why"), Observation("rag", "", "closed")
        self.gateway.observed(found)
        self.say(Observed, observation=packObservation(heard))
        self.assertEqual(([found], [heard]), (self.supervisor.observations, self.gateway.told))

    def test_unheard(self) -> None:
        """What the gateway finds out when the supervisor is gone is told to nobody."""
        self.lose()
        self.gateway.observed(Observation("rag", "http://a", "ejected", 30.0, "why"))
        self.assertEqual([], self.supervisor.observations)

    def test_drain(self) -> None:
        """The answer to Drain is the number of requests that were cut, and then the worker ends."""
        answer = self.say(Drain, seconds=7.0, gentle=False)
        assert answer is not None
        self.assertEqual([7.0], self.gateway.told)
        self.assertNoResult(answer)
        self.gateway.drained.callback(3)
        self.pump.flush()
        self.assertEqual({"cut": 3}, self.successResultOf(answer))
        self.assertEqual(1, self.reactor.stops)

    def test_drainTwice(self) -> None:
        """A second Drain is answered with the first."""
        answers = [self.say(Drain, seconds=7.0, gentle=False), self.say(Drain, seconds=1.0, gentle=False)]
        self.gateway.drained.callback(3)
        self.pump.flush()
        self.assertEqual([{"cut": 3}] * 2, [self.successResultOf(answer) for answer in answers if answer])
        self.assertEqual([7.0], self.gateway.told)

    def test_gentle(self) -> None:
        """A gentle drain stays gentle until somebody asks for another one, of which the gateway hears once."""
        answers = [self.say(Drain, seconds=7.0, gentle=gentle) for gentle in (True, True, False, False)]
        self.assertEqual([(7.0, "gently"), "hasten"], self.gateway.told)
        self.gateway.drained.callback(0)
        self.pump.flush()
        self.assertEqual([{"cut": 0}] * 4, [self.successResultOf(answer) for answer in answers if answer])

    def test_leave(self) -> None:
        """A signal lets the worker say so, drain for the configured time and end; Drain is then answered too."""
        self.attendant.leave()
        self.pump.flush()
        self.assertEqual((1, [30.0]), (self.supervisor.leaving, self.gateway.told))
        answer = self.say(Drain, seconds=7.0, gentle=False)
        self.gateway.drained.callback(1)
        self.pump.flush()
        assert answer is not None
        self.assertEqual({"cut": 1}, self.successResultOf(answer))
        self.assertEqual(1, self.reactor.stops)

    def test_orphan(self) -> None:
        """A worker that loses its supervisor drains for five seconds at most, and ends as soon as that is done."""
        self.lose()
        self.assertEqual(([5.0], 1, 0), (self.gateway.told, self.abandoned, self.reactor.stops))
        self.gateway.drained.callback(0)
        self.assertEqual(1, self.reactor.stops)

    def test_orphanInDrain(self) -> None:
        """A worker that loses its supervisor while it drains ends within five seconds all the same."""
        self.say(Drain, seconds=30.0, gentle=False)
        self.lose()
        self.reactor.advance(4.9)
        self.assertEqual(0, self.reactor.stops)
        self.reactor.advance(0.1)
        self.assertEqual(1, self.reactor.stops)

    def test_failedDrain(self) -> None:
        """A drain that fails is logged, and the worker ends."""
        self.say(Drain, seconds=7.0, gentle=False)
        self.gateway.drained.errback(RuntimeError("no drain"))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.assertEqual(1, self.reactor.stops)
