"""Spans in batches, whatever the collector does."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.tracing import Tracing
from tracseq_gateway.tracing.collector import Failure, Outcome
from tracseq_gateway.tracing.exporter import LONGEST_REST, REPORT_SECONDS, STOP_SECONDS, TRIED_SECONDS, SpanExporter
from tracseq_gateway.tracing.otlp import PartialSuccess

SETTINGS = Tracing(True, "http://collector/v1/traces", batch_spans=4, batch_seconds=Seconds(5.0), queue_spans=8)
BUSY = Failure("status 503", again=True)


class ExporterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sent: list[bytes] = []
        self.answers: list[Deferred[Outcome]] = []
        """Those that are awaited; answered at once with ``reply`` if there is one."""
        self.reply: Outcome | None = PartialSuccess()
        self.exporter = SpanExporter(self.clock, SETTINGS, self.seal, self.export, Random(1))
        self.said: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    @implementer(ILogObserver)
    def observe(self, event: LogEvent) -> None:
        if event["log_namespace"].startswith("tracseq_gateway.tracing"):
            self.said.append(event["log_format"].format(**event))

    def seal(self, spans: Sequence[bytes]) -> bytes:
        return b"".join(spans)

    def export(self, body: bytes) -> Deferred[Outcome]:
        self.sent.append(body)
        if self.reply is not None:
            return succeed(self.reply)
        self.answers.append(Deferred())
        return self.answers[-1]

    def add(self, letters: bytes) -> None:
        for letter in letters:
            self.exporter.add([b"%c" % letter])

    def counts(self) -> tuple[int, int, int]:
        counts = self.exporter.counts
        return counts["exported"], counts["dropped"], counts["failed"]

    def test_by_time(self) -> None:
        """A span waits for others, but not for long."""
        self.add(b"a")
        self.clock.advance(4)
        self.add(b"b")
        self.clock.advance(0.9)
        self.assertEqual(self.sent, [])
        self.clock.advance(0.1)
        self.assertEqual(self.sent, [b"ab"])
        self.assertEqual(self.counts(), (2, 0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_by_size(self) -> None:
        """A whole batch goes at once, and what is more begins another."""
        self.add(b"abcde")
        self.assertEqual(self.sent, [b"abcd"])
        self.clock.advance(5)
        self.assertEqual(self.sent, [b"abcd", b"e"])

    def test_one_at_a_time(self) -> None:
        """While one export is under way others wait, and go when it is over; what finds no room is dropped."""
        self.reply = None
        self.add(b"abcd")
        self.add(b"efghijklmn")
        self.assertEqual(self.sent, [b"abcd"])
        self.assertEqual(self.counts(), (0, 2, 0))
        self.answers.pop().callback(PartialSuccess())
        self.assertEqual(self.sent, [b"abcd", b"efgh"])
        self.answers.pop().callback(PartialSuccess())
        self.assertEqual(self.sent, [b"abcd", b"efgh", b"ijkl"])
        self.assertEqual(len([line for line in self.said if "dropped" in line]), 1)

    def test_spans_of_one_request(self) -> None:
        """The spans of one request are taken or dropped together."""
        self.reply = None
        self.add(b"abcd")
        self.add(b"efghijk")
        self.exporter.add([b"x", b"y"])
        self.assertEqual(self.counts(), (0, 2, 0))

    def test_again(self) -> None:
        """A collector that is busy gets the same batch again, after pauses that double, and then the next one."""
        self.reply = BUSY
        self.add(b"abcd")
        self.add(b"ef")
        for pause in (1, 2, 4, 8):
            self.clock.advance(pause * 0.89)
            before = len(self.sent)
            self.clock.advance(pause * 0.22)
            self.assertEqual(len(self.sent), before + 1, pause)
        self.reply = PartialSuccess()
        self.clock.advance(18)
        self.clock.advance(5)
        self.assertEqual(self.sent, [b"abcd"] * 6 + [b"ef"])
        self.assertEqual(self.counts(), (6, 0, 0))
        self.assertEqual([line.partition(" takes ")[2] for line in self.said], ["no spans: status 503", "spans again"])

    def test_given_up(self) -> None:
        """A batch that nobody takes is given up after a minute; memory stays bounded meanwhile, and all is counted."""
        self.reply = BUSY
        for _ in range(int(TRIED_SECONDS) * 3):
            self.add(b"abc")
            self.clock.advance(1)
        exported, dropped, failed = self.counts()
        self.assertEqual(exported, 0)
        self.assertIn(failed, (8, 12))
        self.assertIn(int(TRIED_SECONDS) * 9 - failed - dropped, (8, 12))
        self.assertLess(len(self.sent), 30)
        self.assertEqual(len([line for line in self.said if "takes no spans" in line]), 1)
        self.assertLessEqual(len(self.said), 1 + 1 + int(TRIED_SECONDS * 3 / REPORT_SECONDS))

    def test_as_long_as_it_asks(self) -> None:
        """A collector that says how long it wants to be left alone is, with this batch and with those behind it."""
        self.reply = Failure("status 429", again=True, after=20.0)
        self.add(b"abcd")
        self.clock.advance(19.9)
        self.assertEqual(len(self.sent), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.sent), 2)
        self.reply = Failure("status 429", again=True, after=100.0)
        self.clock.advance(20)
        self.assertEqual(self.counts(), (0, 0, 4))
        self.reply = PartialSuccess()
        self.add(b"efghij")
        self.clock.advance(99.9)
        self.assertEqual(len(self.sent), 3)
        self.clock.advance(0.1)
        self.assertEqual(self.sent[3:], [b"efgh"])

    def test_not_for_ever(self) -> None:
        """However long it asks for, it is asked again some time."""
        self.reply = Failure("status 503", again=True, after=1e9)
        self.add(b"abcd")
        self.reply = PartialSuccess()
        self.add(b"efgh")
        self.clock.advance(LONGEST_REST)
        self.assertEqual(self.sent, [b"abcd", b"efgh"])

    def test_refused(self) -> None:
        """What the collector refuses for good is not sent again."""
        self.reply = Failure("status 400")
        self.add(b"abcd")
        self.clock.advance(200)
        self.assertEqual((self.sent, self.counts()), ([b"abcd"], (0, 0, 4)))

    def test_partial_success(self) -> None:
        """Spans that the collector rejects have failed, the others not; that is said once in a while."""
        self.reply = PartialSuccess(3, "too old")
        self.add(b"abcdabcd")
        self.assertEqual(self.counts(), (2, 0, 6))
        self.assertEqual(len(self.said), 1)
        self.assertIn("rejects 3 of 4 spans: 'too old'", self.said[0])
        self.reply = PartialSuccess(99)
        self.add(b"abcd")
        self.assertEqual(self.counts(), (2, 0, 10))

    def test_broken(self) -> None:
        """An export that fails as none should is logged, and costs its batch only."""
        self.export = lambda body: fail(ZeroDivisionError())  # type: ignore[method-assign]
        exporter = SpanExporter(self.clock, SETTINGS, self.seal, self.export)
        exporter.add([b"a", b"b", b"c", b"d"])
        self.assertEqual(exporter.counts["failed"], 4)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stop(self) -> None:
        """A stop sends what waits, and takes no more."""
        self.reply = None
        self.add(b"abcdefg")
        stopped = self.exporter.stop()
        self.add(b"x")
        self.answers.pop().callback(PartialSuccess())
        self.assertNoResult(stopped)
        self.answers.pop().callback(PartialSuccess())
        self.successResultOf(stopped)
        self.assertEqual((self.sent, self.counts()), ([b"abcd", b"efg"], (7, 1, 0)))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_with_nothing(self) -> None:
        """A stop with nothing to send is over at once."""
        self.successResultOf(self.exporter.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_gives_up(self) -> None:
        """A stop does not wait for a collector that is slow."""
        self.reply = None
        self.add(b"abcdef")
        stopped = self.exporter.stop()
        self.clock.advance(STOP_SECONDS)
        self.successResultOf(stopped)
        self.assertEqual(self.counts(), (0, 0, 6))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_between_attempts(self) -> None:
        """A stop does not wait for a pause; what comes after the batch that paused gets its chance."""
        self.reply = BUSY
        self.add(b"abcdef")
        self.reply = PartialSuccess()
        self.successResultOf(self.exporter.stop())
        self.assertEqual((self.sent, self.counts()), ([b"abcd", b"ef"], (2, 0, 4)))
        self.assertEqual(self.clock.getDelayedCalls(), [])
