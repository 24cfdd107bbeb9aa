"""Active health: what outcomes mean, when probes are sent, and how they end."""

from __future__ import annotations

from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer

from tracseq_gateway.config import Health, Instance, Seconds, Service
from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.upstream.health import (
    LARGEST_BODY,
    HealthMonitor,
    Outcome,
    Standing,
    Tools,
    fetch_status,
    judge,
    probing_agent,
)

URL = "http://127.0.0.1:8081"
EPOCH = 1_800_000_000.0


class JudgeTests(SynchronousTestCase):
    """``judge``, with the default thresholds: unhealthy after 3, healthy after 2."""

    def states(self, outcomes: str, policy: Health | None = None) -> str:
        """The states after each outcome (``+`` or ``-``), by their initials."""
        standing = Standing(InstanceHealth("samples", URL))
        states = ""
        for moment, sign in enumerate(outcomes):
            outcome = Outcome(0.25) if sign == "+" else Outcome(5.0, "status 503")
            standing = judge(standing, outcome, policy or Health(), EPOCH + moment)
            states += standing.health.state[0]
        return states

    def test_table(self) -> None:
        """The first outcome decides alone; after that, only enough contrary outcomes in a row do."""
        cases = {
            "+": "h",
            "-": "u",
            "+--+--": "hhhhhh",
            "+---": "hhhu",
            "+---+": "hhhuu",
            "+---++": "hhhuuh",
            "-+": "uu",
            "-++": "uuh",
            "-+-+-+": "uuuuuu",
            "-++---++": "uuhhhuuh",
        }
        for outcomes, states in cases.items():
            self.assertEqual(states, self.states(outcomes), outcomes)

    def test_thresholdsOfOne(self) -> None:
        """With thresholds of one, every outcome decides."""
        self.assertEqual("huhu", self.states("+-+-", Health(unhealthy_after=1, healthy_after=1)))

    def test_details(self) -> None:
        """The time of the change, the last check, the last good latency and the last error are kept apart."""
        new = InstanceHealth("samples", URL)
        first = judge(Standing(new), Outcome(0.25), Health(), EPOCH)
        self.assertEqual(InstanceHealth("samples", URL, "healthy", EPOCH, EPOCH, 0.25, None), first.health)
        second = judge(first, Outcome(5.0, "connection refused"), Health(), EPOCH + 30)
        self.assertEqual(
            InstanceHealth("samples", URL, "healthy", EPOCH, EPOCH + 30, 0.25, "connection refused"), second.health
        )
        third = judge(second, Outcome(0.5), Health(), EPOCH + 60)
        self.assertEqual(InstanceHealth("samples", URL, "healthy", EPOCH, EPOCH + 60, 0.5, None), third.health)


class FakeResponse:
    """An answer whose body comes when the test says so."""

    def __init__(self, code: int) -> None:
        self.code = code

    def deliverBody(self, protocol: Protocol) -> None:
        protocol.connectionLost(Failure(ResponseDone()))


@implementer(IAgent)
class FakeAgent:
    """Keeps each request open until it is answered."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.waiting: list[Deferred[Any]] = []

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: object = None
    ) -> Deferred[Any]:
        self.asked.append(uri)
        waiting: Deferred[Any] = Deferred()
        self.waiting.append(waiting)
        return waiting

    def answer(self, code: int) -> None:
        self.waiting.pop(0).callback(FakeResponse(code))

    def fail(self, error: Exception) -> None:
        self.waiting.pop(0).errback(Failure(error))


class MonitorTests(SynchronousTestCase):
    """``HealthMonitor`` with time in our hands."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.agent = FakeAgent()
        self.reports: list[InstanceHealth] = []

    def monitor(self, *urls: str, **policy: Any) -> HealthMonitor:
        service = Service("samples", instances=tuple(map(Instance, urls or (URL,))), health=Health(**policy))
        reactor = cast(IReactorTime, self.clock)
        tools = Tools(reactor, self.agent, self.reports.append, Random(7), lambda: EPOCH + self.clock.seconds())
        return HealthMonitor([service], tools)

    def test_before(self) -> None:
        """Before the first probe every instance is unknown."""
        self.assertEqual(
            (InstanceHealth("samples", URL), InstanceHealth("samples", "http://[::1]:9")),
            self.monitor(URL, "http://[::1]:9").snapshot(),
        )

    def test_atOnce(self) -> None:
        """All instances are probed at once, at the path of their service, and the first round's end is told."""
        monitor = self.monitor(URL, "http://127.0.0.1:9081/", path="/health/ready")
        first = monitor.start()
        self.assertEqual(
            [b"http://127.0.0.1:8081/health/ready", b"http://127.0.0.1:9081/health/ready"], self.agent.asked
        )
        self.agent.answer(200)
        self.assertNoResult(first)
        self.agent.fail(ConnectionRefusedError())
        self.successResultOf(first)
        self.assertEqual(["healthy", "unhealthy"], [health.state for health in monitor.snapshot()])
        self.assertEqual(self.reports, list(monitor.snapshot()))

    def test_success(self) -> None:
        """2xx and 3xx are successes, anything else is not."""
        for code, error in ((200, None), (204, None), (399, None), (400, "status 400"), (503, "status 503")):
            monitor = self.monitor()
            monitor.start()
            self.clock.advance(0.125)
            self.agent.answer(code)
            (health,) = monitor.snapshot()
            self.assertEqual((error, None if error else 0.125), (health.error, health.latency))
            monitor.stop()

    def test_interval(self) -> None:
        """Probes follow one another by the interval, give or take a tenth, and not always by the same time."""
        self.monitor(interval=Seconds(10)).start()
        gaps = []
        for _ in range(50):
            self.clock.advance(0.5)
            self.agent.answer(200)
            waited = 0.5
            while not self.agent.waiting:
                self.clock.advance(0.01)
                waited += 0.01
            gaps.append(waited)
        self.assertGreater(min(gaps), 8.99)
        self.assertLess(max(gaps), 11.02)
        self.assertGreater(max(gaps) - min(gaps), 1.0)

    def test_timeout(self) -> None:
        """A probe without an answer ends at its timeout."""
        monitor = self.monitor(timeout=Seconds(2.5))
        monitor.start()
        self.clock.advance(2.4)
        self.assertEqual([], self.reports)
        self.clock.advance(0.1)
        self.assertEqual(["timed out after 2.5 s"], [health.error for health in self.reports])

    def test_neverTwoAtOnce(self) -> None:
        """A probe that takes longer than the interval is waited for; the next one follows then."""
        self.monitor(interval=Seconds(1), timeout=Seconds(5)).start()
        self.clock.pump([0.5] * 9)
        self.assertEqual(1, len(self.agent.asked))
        self.clock.pump([0.5, 0.0])
        self.assertEqual(2, len(self.agent.asked))

    def test_off(self) -> None:
        """With an interval of 0 nothing is probed, nothing is known, and nobody waits."""
        monitor = self.monitor(interval=Seconds(0))
        self.successResultOf(monitor.start())
        self.assertEqual(([], "unknown"), (self.agent.asked, monitor.snapshot()[0].state))
        monitor.stop()

    def change(self, monitor: HealthMonitor, *urls: str, **policy: Any) -> None:
        """Probe these instances from now on."""
        monitor.change([Service("samples", instances=tuple(map(Instance, urls)), health=Health(**policy))])

    def known(self, monitor: HealthMonitor) -> list[tuple[str, str]]:
        return [(health.url, health.state) for health in monitor.snapshot()]

    def test_change(self) -> None:
        """Instances that stay are known as before and not probed again for it; only a new one is."""
        monitor = self.monitor(URL, "http://gone", interval=Seconds(10))
        monitor.start()
        self.agent.answer(200)
        self.agent.answer(200)
        self.clock.advance(5.0)
        self.change(monitor, "http://new", URL, interval=Seconds(10))
        self.assertEqual([("http://new", "unknown"), (URL, "healthy")], self.known(monitor))
        self.assertEqual([b"http://new/api/v1/health"], self.agent.asked[2:])
        self.agent.answer(200)
        self.clock.pump([0.1] * 61)  # the interval is over for those that were there before
        self.assertEqual([b"http://127.0.0.1:8081/api/v1/health"], self.agent.asked[3:])
        monitor.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_changeInProbe(self) -> None:
        """A probe in flight goes on when nothing changes for its instance, and is broken off when that is gone."""
        monitor = self.monitor(URL, "http://gone")
        monitor.start()
        self.change(monitor, URL)
        self.agent.answer(503)
        self.assertEqual([(URL, "unhealthy")], self.known(monitor))
        monitor.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_changeOfPolicy(self) -> None:
        """An instance that is to be probed in another way stays what it is, until the next probe within an interval."""
        urls = [f"http://host-{number}" for number in range(20)]
        monitor = self.monitor(*urls)
        monitor.start()
        for _ in urls:
            self.agent.answer(200)
        self.change(monitor, *urls, path="/ready", interval=Seconds(10), unhealthy_after=1)
        self.assertEqual([(url, "healthy") for url in urls], self.known(monitor))
        self.assertEqual(20, len(self.agent.asked))
        self.clock.pump([0.1] * 50)
        self.assertTrue(24 < len(self.agent.asked) < 36, len(self.agent.asked))
        self.clock.pump([0.1] * 50)
        self.assertEqual({f"{url}/ready".encode() for url in urls}, set(self.agent.asked[20:]))
        monitor.stop()

    def test_changeToOff(self) -> None:
        """Of an instance that is not probed any more nothing is known."""
        monitor = self.monitor()
        monitor.start()
        self.agent.answer(200)
        self.change(monitor, URL, interval=Seconds(0))
        self.assertEqual([(URL, "unknown")], self.known(monitor))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_stopInProbe(self) -> None:
        """A monitor that is stopped breaks off its probes, reports them no more and leaves nothing behind."""
        monitor = self.monitor()
        monitor.start()
        monitor.stop()
        self.assertEqual(([], []), (self.reports, self.clock.getDelayedCalls()))

    def test_stopInPause(self) -> None:
        """A monitor that is stopped between two probes sends no more."""
        monitor = self.monitor()
        monitor.start()
        self.agent.answer(200)
        monitor.stop()
        self.clock.advance(100)
        self.assertEqual((1, []), (len(self.agent.asked), self.clock.getDelayedCalls()))

    def test_listed(self) -> None:
        """A new instance is probed at once, one that stays as before, and one that is gone never again."""
        other, third = "http://127.0.0.1:9081", "http://127.0.0.1:9082"
        monitor = self.monitor(URL, other)
        first = monitor.start()
        self.agent.answer(200)
        monitor.list_instances("samples", [URL, third])
        self.successResultOf(first)
        self.assertEqual([f"{url}/api/v1/health".encode() for url in (URL, other, third)], self.agent.asked)
        self.assertEqual([(URL, "healthy"), (third, "unknown")], [(one.url, one.state) for one in monitor.snapshot()])
        self.agent.waiting.pop(0)
        self.agent.answer(200)
        self.assertEqual([URL, third], [health.url for health in self.reports])
        monitor.list_instances("samples", [other])
        self.assertEqual([InstanceHealth("samples", other)], list(monitor.snapshot()))
        monitor.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_listedBefore(self) -> None:
        """Instances that are listed before the start are probed from the start on, and none after the end."""
        monitor = self.monitor(URL)
        monitor.list_instances("samples", ["http://h:1"])
        self.assertEqual([], self.agent.asked)
        monitor.start()
        monitor.stop()
        monitor.list_instances("samples", ["http://h:2"])
        self.assertEqual([b"http://h:1/api/v1/health"], self.agent.asked)

    def test_words(self) -> None:
        """Failures are told in a few words; one that nobody thought of, by its name."""
        cases = {
            "connection refused": ConnectionRefusedError(),
            "host not found": DNSLookupError("no such name"),
            "connection closed before the answer was complete": ConnectionDone(),
            "RuntimeError: surprise": RuntimeError("surprise"),
        }
        for words, error in cases.items():
            monitor = self.monitor()
            monitor.start()
            self.agent.fail(error)
            self.assertEqual(words, monitor.snapshot()[0].error)
            monitor.stop()


class Said(Protocol):
    """Says its piece once a request has come, and remembers that its peer has gone."""

    def __init__(self, words: bytes, close: bool) -> None:
        self._words = words
        self._close = close
        self.request = b""
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.request += data
        self.transport.write(self._words)
        if self._close:
            self.transport.loseConnection()

    def connectionLost(self, reason: object = None) -> None:
        self.gone.callback(None)


class AgentTests(TestCase):
    """``fetch_status`` and ``probing_agent`` over real sockets."""

    timeout = 20

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor

    def server(self, words: bytes, close: bool = False) -> bytes:
        """Listen, say ``words`` to whoever asks, and return the URL."""
        self.said = Said(words, close)
        factory = Factory.forProtocol(lambda: self.said)
        factory.noisy = False
        port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return b"http://127.0.0.1:%d/health" % port.getHost().port

    async def fetch(self, url: bytes) -> int:
        return await fetch_status(probing_agent(self.reactor), url)

    async def reason(self, words: bytes, close: bool = False) -> str | None:
        """Why a probe of such a server fails."""
        url = self.server(words, close)
        base, path = url[: -len("/health")].decode(), "/health"
        policy = Health(path=path, timeout=Seconds(0.2))
        tools = Tools(self.reactor, probing_agent(self.reactor), lambda health: None, Random(1))
        monitor = HealthMonitor([Service("samples", instances=(Instance(base),), health=policy)], tools)
        await monitor.start()
        monitor.stop()
        await self.said.gone
        return monitor.snapshot()[0].error

    async def test_answer(self) -> None:
        """A probe is a GET on a connection of its own, and its connection is closed after the answer."""
        url = self.server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.assertEqual(200, await self.fetch(url))
        self.assertTrue(self.said.request.startswith(b"GET /health HTTP/1.1\r\n"))
        self.assertIn(b"Connection: close\r\n", self.said.request)
        await self.said.gone

    async def test_withoutLength(self) -> None:
        """An answer that ends with its connection is complete."""
        self.assertEqual(302, await self.fetch(self.server(b"HTTP/1.0 302 Found\r\n\r\nelsewhere", close=True)))

    async def test_endless(self) -> None:
        """No more of an answer is read than is needed: the status counts, and the connection is closed."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
        self.assertEqual(200, await self.fetch(self.server(head + b"x" * (LARGEST_BODY + 1))))
        await self.said.gone

    async def test_stalled(self) -> None:
        """An answer that does not end in time is none."""
        stalled = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx"
        self.assertEqual("timed out after 0.2 s", await self.reason(stalled))

    async def test_silent(self) -> None:
        """A server that says nothing is timed out."""
        self.assertEqual("timed out after 0.2 s", await self.reason(b""))

    async def test_cut(self) -> None:
        """An answer that is cut off, before or in its body, is none."""
        words = "connection closed before the answer was complete"
        self.assertEqual(words, await self.reason(b"", close=True))
        self.assertEqual(words, await self.reason(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", close=True))

    async def test_garbage(self) -> None:
        """What is no HTTP is named as such."""
        self.assertEqual("not an HTTP answer", await self.reason(b"220 mail.example ESMTP\r\n\r\n"))
