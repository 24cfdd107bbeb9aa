"""The watcher: when it looks, what it keeps, what it tells and what it writes to the log."""

from __future__ import annotations

from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config import Discovery, Instance, Seconds, Service
from tracseq_gateway.discovery.addresses import AddressSource
from tracseq_gateway.discovery.endpoint import EndpointSource
from tracseq_gateway.discovery.file import FileSource
from tracseq_gateway.discovery.locations import LocationSource
from tracseq_gateway.discovery.source import NotFound, Source
from tracseq_gateway.discovery.watcher import Tools, Watcher
from tracseq_gateway.discovery.watchers import SecureSource, Watchers, sources

SETTINGS = Discovery(srv="samples", interval=Seconds(10.0), timeout=Seconds(3.0))


def instances(*numbers: int) -> tuple[Instance, ...]:
    return tuple(Instance(f"http://10.0.0.{number}:80") for number in numbers)


class FakeSource:
    """Each look-up waits until the test answers it."""

    def __init__(self) -> None:
        self.looks: list[Deferred[tuple[Instance, ...]]] = []
        self.cancelled = 0

    def __str__(self) -> str:
        return "a source"

    def find(self) -> Deferred[tuple[Instance, ...]]:
        looking: Deferred[tuple[Instance, ...]] = Deferred(self._cancel)
        self.looks.append(looking)
        return looking

    def _cancel(self, looking: object) -> None:
        self.cancelled += 1

    def answer(self, *numbers: int) -> None:
        self.looks[-1].callback(instances(*numbers))

    def fail(self, why: str | Exception) -> None:
        self.looks[-1].errback(NotFound(why) if isinstance(why, str) else why)


class WatcherTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.source = FakeSource()
        self.told: list[tuple[str, tuple[Instance, ...]]] = []
        events: list[LogEvent] = []
        self.events = events
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.tools = Tools(cast(IReactorTime, self.clock), lambda *news: self.told.append(news), Random(7))
        self.watcher = Watcher("samples", self.source, SETTINGS, self.tools)

    def log(self) -> list[str]:
        """What was written since the last call."""
        lines = [formatEvent(event) for event in self.events if event["log_namespace"].startswith("tracseq_gateway")]
        self.events.clear()
        return lines

    def again(self) -> None:
        """Let the time pass until the next look-up."""
        before = len(self.source.looks)
        self.clock.advance(11.01)
        self.assertEqual(before + 1, len(self.source.looks))


class PaceTests(WatcherTestCase):
    """When it looks."""

    def test_interval(self) -> None:
        """It looks at once, and then by the interval, give or take a tenth, and not always by the same time."""
        self.watcher.start()
        gaps = []
        for _ in range(50):
            count = len(self.source.looks)
            self.clock.advance(0.5)
            self.source.answer(1)
            waited = 0.5
            while len(self.source.looks) == count:
                self.clock.advance(0.01)
                waited += 0.01
            gaps.append(waited)
        self.assertGreater(min(gaps), 8.99)
        self.assertLess(max(gaps), 11.02)
        self.assertGreater(max(gaps) - min(gaps), 1.0)

    def test_timeout(self) -> None:
        """A look-up that hangs is ended at its timeout, the last answer holds, and the next one comes in its time."""
        self.watcher.start()
        self.source.answer(1)
        self.again()
        self.clock.advance(2.9)
        self.assertEqual(0, self.source.cancelled)
        self.clock.advance(0.1)
        self.assertEqual((1, 2), (self.source.cancelled, len(self.source.looks)))
        self.assertEqual([("samples", instances(1))], self.told)
        self.assertIn("samples: a source: no answer within 3 s; its instances stay as they are", self.log())
        self.again()

    def test_neverTwoAtOnce(self) -> None:
        """A look-up that may take longer than the interval is waited for."""
        settings = Discovery(srv="samples", interval=Seconds(1.0), timeout=Seconds(5.0))
        Watcher("samples", self.source, settings, self.tools).start()
        self.clock.pump([0.5] * 9)
        self.assertEqual(1, len(self.source.looks))
        self.clock.pump([0.5, 0.0])
        self.assertEqual(2, len(self.source.looks))

    def test_stop(self) -> None:
        """Stopped in a look-up or between two, it tells nothing more and leaves nothing behind."""
        self.watcher.start()
        self.watcher.stop()
        self.assertEqual((1, []), (self.source.cancelled, self.clock.getDelayedCalls()))
        self.watcher.start()
        self.source.answer(1)
        self.watcher.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([("samples", instances(1))], self.told)
        self.assertEqual(1, len(self.log()))

    def test_stopWhenTold(self) -> None:
        """It may be stopped by who is told."""
        tools = Tools(cast(IReactorTime, self.clock), lambda service, found: self.watcher.stop(), Random(7))
        self.watcher = Watcher("samples", self.source, SETTINGS, tools)
        self.watcher.start()
        self.source.answer(1)
        self.assertEqual([], self.clock.getDelayedCalls())


class AnswerTests(WatcherTestCase):
    """What it keeps, and what it says."""

    def setUp(self) -> None:
        super().setUp()
        self.watcher.start()

    def test_changes(self) -> None:
        """The first answer is told, and each that differs from the one before; the order is none of it."""
        self.source.answer(1, 2)
        self.assertEqual(
            ["samples has 2 instances by a source: new http://10.0.0.1:80, http://10.0.0.2:80, gone none"], self.log()
        )
        for numbers in ((1, 2), (2, 1), (2, 2, 1)):
            self.again()
            self.source.answer(*numbers)
        self.assertEqual((1, []), (len(self.told), self.log()))
        self.again()
        self.source.answer(2, 3)
        self.assertEqual([instances(1, 2), instances(2, 3)], [found for _, found in self.told])
        self.assertEqual(
            ["samples has 2 instances by a source: new http://10.0.0.3:80, gone http://10.0.0.1:80"], self.log()
        )

    def test_weights(self) -> None:
        """Another weight is a change."""
        self.source.answer(1)
        self.again()
        self.source.looks[-1].callback((Instance("http://10.0.0.1:80", 2),))
        self.assertEqual([1, 2], [found[0].weight for _, found in self.told])

    def test_badAnswers(self) -> None:
        """Nothing, rubbish, errors and useless addresses leave the last good answer, and are logged once."""
        self.source.answer(1)
        self.log()
        for bad in ("no such name", OSError("no route"), ValueError("rubbish")):
            self.again()
            self.source.fail(bad)
        for found in ((), (Instance("http://0.0.0.0:80"), Instance("http://[ff02::1]:80")), (Instance("rubbish"),)):
            self.again()
            self.source.looks[-1].callback(found)
        self.assertEqual(["samples: a source: no such name; its instances stay as they are"], self.log())
        self.again()
        self.source.answer(1)
        self.assertEqual(["samples: a source answers again"], self.log())
        self.assertEqual([("samples", instances(1))], self.told)
        self.again()
        self.source.fail(OSError("no route"))
        self.assertEqual(["samples: a source: OSError: no route; its instances stay as they are"], self.log())

    def test_usefulAmongUseless(self) -> None:
        """Of an answer, what is useful is taken."""
        self.source.looks[-1].callback((Instance("http://0.0.0.0:80"), *instances(1)))
        self.assertEqual([("samples", instances(1))], self.told)

    def test_manyInTheLog(self) -> None:
        """A line of the log names five of those that came and of those that went."""
        self.source.answer(*range(1, 10))
        (line,) = self.log()
        self.assertIn("http://10.0.0.5:80, 4 more, gone none", line)

    def test_longReasons(self) -> None:
        """A reason is cut off before it floods the log."""
        self.source.fail("x" * 100_000)
        (line,) = self.log()
        self.assertLess(len(line), 400)

    def test_raises(self) -> None:
        """What those who are told raise is logged, and it looks on."""

        def refuse(service: str, found: tuple[Instance, ...]) -> None:
            raise RuntimeError("no")

        tools = Tools(cast(IReactorTime, self.clock), refuse, Random(7))
        Watcher("samples", self.source, SETTINGS, tools).start()
        self.source.answer(1)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.clock.advance(11.01)
        self.assertEqual(4, len(self.source.looks))


class WatchersTests(WatcherTestCase):
    """All watchers, and the sources that a configuration names."""

    def test_services(self) -> None:
        """Each service that has a discovery is watched, and no other; who is watched in the same way goes on so."""
        made: list[Discovery] = []

        def make(settings: Discovery, secure: bool) -> Source:
            made.append(settings)
            return self.source

        services = [
            Service("a", discovery=SETTINGS),
            Service("b", instances=instances(1)),
            Service("c", discovery=SETTINGS),
        ]
        watchers = Watchers(make, self.tools)
        watchers.watch(services)
        self.assertEqual([SETTINGS, SETTINGS], made)
        self.source.answer(2)
        self.assertEqual([("c", instances(2))], self.told)
        other = Discovery(srv="other")
        watchers.watch([services[0], Service("c", discovery=other), Service("d")])
        self.assertEqual(([SETTINGS, SETTINGS, other], 0), (made, self.source.cancelled))
        watchers.stop()
        self.assertEqual(2, self.source.cancelled)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_kinds(self) -> None:
        """Each kind has its source, which the log calls by what the configuration names."""
        reactor: Any = object()
        make = sources(reactor, cast(Any, None))
        kinds: dict[type[Source], tuple[Discovery, str]] = {
            AddressSource: (Discovery(dns="a", port=1), "DNS a"),
            LocationSource: (Discovery(srv="a"), "SRV a"),
            FileSource: (Discovery(file="a"), "file a"),
            EndpointSource: (Discovery(url="http://a"), "http://a"),
        }
        for kind, (settings, name) in kinds.items():
            source = make(settings, False)
            self.assertIsInstance(source, kind)
            self.assertEqual(name, str(source))
            secure = make(settings, True)
            self.assertTrue(isinstance(secure, SecureSource) or getattr(secure, "tls", False))
            self.assertEqual(name, str(secure))
