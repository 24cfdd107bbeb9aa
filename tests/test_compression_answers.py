"""The filter that encodes one answer: what it hands on, when it lets others wait, and how it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.compression_kit import DECODE, JSON, samples
from tests.kit_client import request_parser, slices
from tracseq_gateway.compression.answer import OFF_LOOP_BYTES, CompressedAnswer, Compressor
from tracseq_gateway.compression.encoders import encoder_makers
from tracseq_gateway.compression.media_types import MediaTypes
from tracseq_gateway.compression.off_loop import OffLoop
from tracseq_gateway.config.compression import Compression
from tracseq_gateway.errors import GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead


class Threads:
    """Threads that do their work when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], bytes], Deferred[bytes]]] = []

    def start(self, work: Callable[[], bytes]) -> Deferred[bytes]:
        ended: Deferred[bytes] = Deferred()
        self.jobs.append((work, ended))
        return ended

    def finish(self) -> None:
        """Let the work end that was begun first."""
        work, ended = self.jobs.pop(0)
        try:
            result = work()
        except Exception:
            ended.errback(Failure())
        else:
            ended.callback(result)

    def finish_all(self) -> None:
        while self.jobs:
            self.finish()


class Sink:
    """What goes to the client."""

    def __init__(self) -> None:
        self.head: OutgoingHead | None = None
        self.pieces: list[bytes] = []
        self.done = self.aborted = False
        self.taken: Callable[[], None] | None = None
        """Called once, when the next piece was taken."""

    def begin(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        assert self.head is None
        self.head = head
        self.send(data, done)

    def send(self, data: bytes, done: bool) -> None:
        assert self.head is not None and not self.done and not self.aborted
        self.pieces.append(data)
        self.done = done
        taken, self.taken = self.taken, None
        if taken is not None:
            taken()

    def abort(self) -> None:
        assert not self.done and not self.aborted
        self.aborted = True

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def values(self, name: bytes) -> list[bytes]:
        assert self.head is not None
        return [value for key, value in self.head.pairs if key == name]


@define(eq=False)
class Asked:
    """The part of a request that the filter knows."""

    head: Any
    holds: int = 0
    finished: bool = False
    error: GatewayError | None = None
    broken_off: list[GatewayError] = field(factory=list)
    filter: CompressedAnswer | None = None

    def hold_answer(self) -> None:
        self.holds += 1

    def release_answer(self) -> None:
        self.holds -= 1

    def break_off(self, error: GatewayError) -> None:
        self.broken_off.append(error)
        assert self.filter is not None
        self.filter.abort()


class BrokenEncoder:
    def encode(self, data: bytes, done: bool) -> bytes:
        raise MemoryError("no memory for an encoder")


class FilterTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.threads = Threads()
        self.off_loop = OffLoop(self.threads.start)
        self.counts: Counter[str] = Counter()
        self.compressor = Compressor(
            encoder_makers(Compression()), MediaTypes(Compression().types), 1024, 2, self.off_loop
        )

    def ask(self, accept: bytes = b"gzip", *fields: bytes, method: bytes = b"GET") -> tuple[CompressedAnswer, Sink]:
        """The filter for a client that accepts this; what it knows of the request is ``self.asked``."""
        lines = b"".join(line + b"\r\n" for line in (b"Host: a", b"Accept-Encoding: " + accept, *fields))
        sink = Sink()
        self.asked = Asked(request_parser().parse(b"%b / HTTP/1.1\r\n%b\r\n" % (method, lines)))
        made = self.asked.filter = CompressedAnswer(self.compressor, self.counts, self.asked, sink)  # type: ignore[arg-type]
        return made, sink

    def head(self, length: int | None = None, *pairs: tuple[bytes, bytes]) -> OutgoingHead:
        return OutgoingHead(200, b"OK", [JSON, *pairs], length)


class WholeTests(FilterTestCase):
    def test_wholeAtOnce(self) -> None:
        """An answer that is there as a whole is encoded as a whole, and says how long it is then."""
        for coding in DECODE:
            for length in (None, len(samples(10_000))):
                answer, sink = self.ask(coding)
                answer.begin(self.head(length), samples(10_000), True)
                assert sink.head is not None
                self.assertEqual((1, True, len(sink.body)), (len(sink.pieces), sink.done, sink.head.length))
                self.assertEqual(samples(10_000), DECODE[coding](sink.body))
                self.assertEqual([coding], sink.values(b"content-encoding"))
        self.assertEqual(0, self.compressor.streams)
        self.assertEqual(6 * len(samples(10_000)), self.counts["in"])
        self.assertLess(0, self.counts["out"])
        self.assertLess(self.counts["out"], self.counts["in"] / 5)

    def test_short(self) -> None:
        """A short answer stays as it is, and says nothing of a choice that nobody has."""
        for length, done in ((None, True), (1023, True), (1023, False)):
            given, (answer, sink) = self.head(length), self.ask()
            answer.begin(given, b"x" * 1023, done)
            self.assertIs(given, sink.head)
            self.assertEqual(b"x" * 1023, sink.body)

    def test_notWanted(self) -> None:
        """Who wants no coding gets the answer as it is, piece by piece, and is told that others do not."""
        for accept, *fields in ((b"",), (b"deflate",), (b"gzip;q=0",), (b"gzip", b"Cache-Control: no-transform")):
            answer, sink = self.ask(accept, *fields)
            answer.begin(self.head(2000), b"x" * 1000, False)
            answer.send(b"y" * 1000, True)
            assert sink.head is not None
            self.assertEqual((b"x" * 1000 + b"y" * 1000, True), (sink.body, sink.done))
            self.assertEqual(([], [b"accept-encoding"]), (sink.values(b"content-encoding"), sink.values(b"vary")))
            self.assertEqual(2000, sink.head.length)

    def test_notEncodable(self) -> None:
        """What is not to be encoded passes untouched."""
        given, (answer, sink) = self.head(5000, (b"content-encoding", b"br")), self.ask()
        answer.begin(given, b"x" * 5000, True)
        self.assertIs(given, sink.head)
        self.assertEqual(b"x" * 5000, sink.body)

    def test_head(self) -> None:
        """HEAD is told what GET would be, but for the length that only encoding would show."""
        for length in (5000, None):
            answer, sink = self.ask(b"br", method=b"HEAD")
            answer.begin(self.head(length, (b"etag", b'"a"')), b"", True)
            assert sink.head is not None
            self.assertEqual([b"br"], sink.values(b"content-encoding"))
            self.assertEqual([b'W/"a"'], sink.values(b"etag"))
            self.assertEqual([b"accept-encoding"], sink.values(b"vary"))
            self.assertEqual((None, b"", True), (sink.head.length, sink.body, sink.done))
        answer, sink = self.ask(b"br", method=b"HEAD")
        answer.begin(self.head(10), b"", True)
        assert sink.head is not None
        self.assertEqual(([JSON], 10), (sink.head.pairs, sink.head.length))

    def test_notModified(self) -> None:
        """A 304 answers with the tag that it was asked for."""
        answer, sink = self.ask(b"br", b'If-None-Match: W/"a"')
        answer.begin(OutgoingHead(304, b"", [(b"etag", b'"a"')]), b"", True)
        self.assertEqual([b'W/"a"'], sink.values(b"etag"))


class StreamTests(FilterTestCase):
    def test_atOnce(self) -> None:
        """Each piece goes on as soon as it came, and can be decoded then; the head does not wait for the body."""
        for coding in DECODE:
            answer, sink = self.ask(coding)
            answer.begin(self.head(None), b"", False)
            assert sink.head is not None
            self.assertEqual((b"", None), (sink.body, sink.head.length))
            for number in range(1, 4):
                answer.send(b'{"n": 1}\n', False)
                self.assertEqual(1 + number, len(list(filter(None, [b"head", *sink.pieces]))))
            answer.send(b"", True)
            self.assertEqual(b'{"n": 1}\n' * 3, DECODE[coding](sink.body))

    def test_knownLength(self) -> None:
        """The length that the service said is not that of what is sent."""
        answer, sink = self.ask()
        answer.begin(self.head(3000), b"x" * 1000, False)
        answer.send(b"x" * 2000, True)
        assert sink.head is not None
        self.assertIsNone(sink.head.length)
        self.assertEqual(b"x" * 3000, DECODE[b"gzip"](sink.body))

    def test_mostStreams(self) -> None:
        """So many answers are encoded at a time, and no more; each makes room when it ends, in whatever way."""

        def begin() -> tuple[CompressedAnswer, Sink]:
            answer, sink = self.ask()
            answer.begin(self.head(None), b"x", False)
            return answer, sink

        (first, _), (second, _), (_, third) = begin(), begin(), begin()
        self.assertEqual(([], [b"accept-encoding"]), (third.values(b"content-encoding"), third.values(b"vary")))
        whole, sink = self.ask()
        whole.begin(self.head(None), b"x" * 2000, True)  # which needs no more than a moment
        self.assertEqual([b"gzip"], sink.values(b"content-encoding"))
        first.send(b"", True)
        second.gone()
        self.assertEqual(0, self.compressor.streams)
        third_answer, sink = begin()
        self.assertEqual([b"gzip"], sink.values(b"content-encoding"))
        third_answer.abort()
        third_answer.gone()
        self.assertEqual(0, self.compressor.streams)

    def test_abort(self) -> None:
        """An answer that breaks off has no end, so that it cannot be taken for whole."""
        for coding in DECODE:
            answer, sink = self.ask(coding)
            answer.begin(self.head(None), samples(5000), False)
            answer.abort()
            self.assertTrue(sink.aborted)
            self.assertRaises(ValueError, DECODE[coding], sink.body)


LARGE = samples(OFF_LOOP_BYTES + 1000)


class ThreadTests(FilterTestCase):
    def test_large(self) -> None:
        """A large answer is encoded in a thread; nothing is sent before that is done."""
        answer, sink = self.ask()
        answer.begin(self.head(len(LARGE)), LARGE, True)
        self.assertIsNone(sink.head)
        self.threads.finish()
        assert sink.head is not None
        self.assertEqual((LARGE, len(sink.body)), (DECODE[b"gzip"](sink.body), sink.head.length))

    def test_order(self) -> None:
        """What comes behind a large piece waits for it, whoever answers is held meanwhile, and order is kept."""
        answer, sink = self.ask()
        answer.begin(self.head(None), b"first", False)
        answer.send(LARGE, False)
        self.assertEqual(0, self.asked.holds)
        answer.send(b"small", False)
        answer.send(b"smaller", False)
        self.assertEqual((1, 1), (self.asked.holds, len(sink.pieces)))
        self.threads.finish()
        self.assertEqual((0, 3), (self.asked.holds, len(sink.pieces)))
        answer.send(LARGE, False)
        answer.send(LARGE, False)
        answer.send(b"last", True)
        self.threads.finish()
        self.assertEqual(1, self.asked.holds)
        self.threads.finish()
        self.assertEqual((0, True, []), (self.asked.holds, sink.done, self.threads.jobs))
        self.assertEqual(b"first" + LARGE + b"smallsmaller" + LARGE * 2 + b"last", DECODE[b"gzip"](sink.body))

    def test_orderWithinACall(self) -> None:
        """What comes while a piece is being handed on still goes behind what waits."""
        answer, sink = self.ask()
        answer.begin(self.head(None), LARGE, False)
        answer.send(b"waits", False)
        sink.taken = lambda: answer.send(b"comes", False)
        self.threads.finish()
        answer.send(b"", True)
        self.assertEqual((0, LARGE + b"waitscomes"), (self.asked.holds, DECODE[b"gzip"](sink.body)))

    @settings(deadline=None, max_examples=50)
    @given(
        st.sampled_from(list(DECODE)),
        st.lists(st.integers(0, 300_000), max_size=6),
        st.lists(st.booleans(), max_size=12),
    )
    def test_anyTimes(self, coding: bytes, cuts: list[int], turns: list[bool]) -> None:
        """However an answer is cut, and whenever threads end, the same bytes arrive, once and in order."""
        self.setUp()
        data, (answer, sink) = samples(200_000), self.ask(coding)
        first, *rest = slices(data, cuts)
        answer.begin(self.head(None), first, not rest)
        for number, piece in enumerate(rest, 1):
            if self.threads.jobs and turns and turns.pop():
                self.threads.finish()
            answer.send(piece, number == len(rest))
        self.threads.finish_all()
        self.assertEqual((0, 0, True), (self.asked.holds, self.compressor.streams, sink.done))
        self.assertEqual(data, DECODE[coding](sink.body))

    def test_few(self) -> None:
        """Two threads at most are at work; the rest waits for its turn, the first one first."""
        asked = [self.ask() for _ in range(4)]
        for answer, _ in asked:
            answer.begin(self.head(None), LARGE, True)
        self.assertEqual((2, 2), (len(self.threads.jobs), self.off_loop.running))
        self.threads.finish()
        self.assertEqual(2, len(self.threads.jobs))
        self.assertEqual([True, False, False, False], [sink.done for _, sink in asked])
        self.threads.finish_all()
        self.assertEqual([True] * 4, [sink.done for _, sink in asked])
        self.assertEqual(0, self.off_loop.running)

    def test_gone(self) -> None:
        """The client leaves while a thread is at work: what comes of it is thrown away."""
        answer, sink = self.ask()
        answer.begin(self.head(None), LARGE, False)
        answer.send(b"more", False)
        answer.gone()
        self.assertEqual(0, self.compressor.streams)
        self.threads.finish_all()
        self.assertEqual((None, 0), (sink.head, self.off_loop.running))

    def test_abort(self) -> None:
        """The service breaks off while a thread is at work: so does the answer."""
        answer, sink = self.ask()
        answer.begin(self.head(None), b"x", False)
        answer.send(LARGE, False)
        answer.abort()
        self.threads.finish_all()
        self.assertEqual((True, 1), (sink.aborted, len(sink.pieces)))


class FailureTests(FilterTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.compressor.makers = {b"gzip": BrokenEncoder}

    def test_broken(self) -> None:
        """An encoder that fails, on the loop or in a thread, breaks the request off, and that is logged."""
        for piece in (samples(2000), LARGE):
            answer, sink = self.ask()
            answer.begin(self.head(None), piece, False)
            self.threads.finish_all()
            (error,) = self.asked.broken_off
            self.assertEqual((500, True), (error.kind.status, sink.aborted))
            self.assertEqual(0, self.compressor.streams)
            self.assertEqual(1, len(self.flushLoggedErrors(MemoryError)))

    def test_brokenAtTheEnd(self) -> None:
        """When the service has done its part already, the answer alone is cut, with the reason."""
        answer, sink = self.ask()
        self.asked.finished = True
        answer.begin(self.head(None), LARGE, True)
        self.threads.finish_all()
        self.assertTrue(sink.aborted)
        assert self.asked.error is not None
        self.assertEqual(500, self.asked.error.kind.status)
        self.assertEqual(1, len(self.flushLoggedErrors(MemoryError)))
