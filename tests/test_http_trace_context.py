"""W3C Trace Context: what is read of a request's fields, and what a service is told."""

from __future__ import annotations

import re
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.http.fields import FieldLine
from tracseq_gateway.http.trace_context import (
    MOST_MEMBERS,
    MOST_STATE,
    TraceContext,
    Tracer,
    least_sampled,
    read_traceparent,
    read_tracestate,
)

TRACE = "12345678901234567890123456789012"
PARENT = "1234567890123456"
GOOD = f"00-{TRACE}-{PARENT}-01"
WRITTEN = re.compile(rb"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-0([0-3])\r\n(?:tracestate: ([!-~ ]+)\r\n)?")


def place(tracer: Tracer, *lines: tuple[str, str], peer: str = "192.0.2.7") -> tuple[TraceContext, re.Match[bytes]]:
    """A request's place, and what a service reads of it."""
    received = [FieldLine(name.encode(), value.encode("latin-1"), False, b"") for name, value in lines]
    context, written = tracer.place(received, peer)
    match = WRITTEN.fullmatch(written)
    assert match is not None, written
    return context, match


class TraceparentTests(SynchronousTestCase):
    """The cases of the test suite of the W3C, and their neighbours."""

    def test_good(self) -> None:
        """Ids and flags are read; of a later version what 00 has."""
        self.assertEqual(read_traceparent(GOOD.encode()), (TRACE, PARENT, 1))
        self.assertEqual(read_traceparent(f"00-{TRACE}-{PARENT}-ff".encode()), (TRACE, PARENT, 255))
        for later in (f"cc-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like"):
            self.assertEqual(read_traceparent(later.encode()), (TRACE, PARENT, 1), later)

    def test_bad(self) -> None:
        """Anything else is none."""
        for bad in (
            "",
            f"ff-{TRACE}-{PARENT}-01",
            f"{GOOD}.",
            f"{GOOD}-",
            f"{GOOD}-what-the-future-will-be-like",
            f"cc-{TRACE}-{PARENT}-01.what-the-future-will-be-like",
            f".0-{TRACE}-{PARENT}-01",
            f"0.-{TRACE}-{PARENT}-01",
            f"000-{TRACE}-{PARENT}-01",
            f"0-{TRACE}-{PARENT}-01",
            f"00-{'0' * 32}-{PARENT}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-.{TRACE[1:]}-{PARENT}-01",
            f"00-{TRACE[1:]}.-{PARENT}-01",
            f"00-{TRACE}3-{PARENT}-01",
            f"00-{TRACE[1:]}-{PARENT}-01",
            f"00-{TRACE}-{PARENT}7-01",
            f"00-{TRACE}-{PARENT[1:]}-01",
            f"00-{TRACE}-.{PARENT[1:]}-01",
            f"00-{TRACE}-{PARENT}-.0",
            f"00-{TRACE}-{PARENT}-0.",
            f"00-{TRACE}-{PARENT}-001",
            f"00-{TRACE}-{PARENT}-1",
            f"00-{TRACE[:-1]}A-{PARENT}-01",
            f"00-{TRACE[:-1]}\u00b2-{PARENT}-01",
            f" {GOOD}",
            f"{GOOD}\n",
        ):
            self.assertIsNone(read_traceparent(bad.encode("latin-1")), bad)

    @given(st.binary(max_size=80))
    def test_anything(self, value: bytes) -> None:
        """Whatever comes, the ids that are read are hex digits and not all zero."""
        parent = read_traceparent(value)
        if parent is not None:
            self.assertTrue(re.fullmatch("[0-9a-f]{32}", parent.trace_id) and parent.trace_id.strip("0"))
            self.assertTrue(re.fullmatch("[0-9a-f]{16}", parent.parent) and parent.parent.strip("0"))


class TracestateTests(SynchronousTestCase):
    def test_kept(self) -> None:
        """Members keep their order over several fields, and lose only the white space around them."""
        for values, state in (
            ([b"foo=1,bar=2", b"rojo=1,congo=2", b"baz=3"], b"foo=1,bar=2,rojo=1,congo=2,baz=3"),
            ([b"foo=1 \t , \t bar=2, \t baz=3"], b"foo=1,bar=2,baz=3"),
            ([b"", b"foo=1", b""], b"foo=1"),
            ([b"foo=1,,"], b"foo=1"),
            ([b"0t-*/_@v=a b!~"], b"0t-*/_@v=a b!~"),
            ([b"foo=1", b"z" * 256 + b"=1"], b"foo=1," + b"z" * 256 + b"=1"),
            ([b"t" * 241 + b"@" + b"v" * 14 + b"=1"], b"t" * 241 + b"@" + b"v" * 14 + b"=1"),
            ([b""], b""),
            ([], b""),
        ):
            self.assertEqual(read_tracestate(values), state, values)

    def test_dropped(self) -> None:
        """One member that is malformed, one key twice, or more than 32 members: nothing of it goes on."""
        many = [b"bar%02d=1" % number for number in range(MOST_MEMBERS + 1)]
        self.assertEqual(read_tracestate([b",".join(many[:-1])]), b",".join(many[:-1]))
        for values in (
            [b",".join(many)],
            [b"foo=1,foo=1"],
            [b"foo=1", b"foo=2"],
            [b"foo =1"],
            [b"FOO=1"],
            [b"foo.bar=1"],
            [b"foo@=1,bar=2"],
            [b"@foo=1,bar=2"],
            [b"foo@@bar=1,bar=2"],
            [b"foo@bar@baz=1,bar=2"],
            [b"foo=1", b"z" * 257 + b"=1"],
            [b"foo=1", b"t" * 242 + b"@v=1"],
            [b"foo=1", b"t@" + b"v" * 15 + b"=1"],
            [b"foo=bar=baz"],
            [b"foo=,bar=3"],
            [b"foo"],
            [b"foo=\xe9"],
            [b"foo=a\x01b"],
        ):
            self.assertEqual(read_tracestate(values), b"", values)

    def test_too_long(self) -> None:
        """Beyond 512 bytes the long members go first, then the last; no member is cut."""
        short = [b"k%02d=" % number + b"v" * 56 for number in range(12)]  # 60 bytes each
        self.assertEqual(read_tracestate([b",".join(short)]), b",".join(short[:8]))
        long = b"long=" + b"v" * 200
        self.assertEqual(read_tracestate([long, b",".join(short[:6])]), b",".join(short[:6]))
        self.assertEqual(read_tracestate([long, short[0]]), long + b"," + short[0])

    @given(st.lists(st.binary(max_size=200), max_size=8))
    def test_anything(self, values: list[bytes]) -> None:
        """Whatever comes, what goes on is bounded, is no line break, and is read again as the same."""
        state = read_tracestate(values)
        self.assertLessEqual(len(state), MOST_STATE)
        self.assertNotIn(b"\n", state)
        self.assertNotIn(b"\r", state)
        self.assertEqual(read_tracestate([state]), state)


class TracerTests(SynchronousTestCase):
    def test_begins(self) -> None:
        """Without a traceparent a trace begins, with a random id that says so, and whatever state came is not its."""
        tracer = Tracer(1.0)
        ids = set()
        for lines in ((), (("tracestate", GOOD),), (("trace-parent", GOOD),), (("trace.parent", GOOD),)):
            context, written = place(tracer, *lines)
            self.assertEqual((context.parent, context.sampled), ("", True))
            self.assertEqual((written[1].decode(), written[2].decode()), (context.trace_id, context.upstream_id))
            self.assertEqual((written[3], written[4]), (b"3", None))
            ids |= {context.trace_id, context.span_id, context.upstream_id}
        self.assertEqual(len(ids), 12)

    def test_begins_anew(self) -> None:
        """A traceparent that is bad or there twice is not continued, and its state is dropped."""
        for lines in (
            [("traceparent", GOOD + "-x")],
            [("traceparent", GOOD), ("traceparent", GOOD)],
            [("traceparent", GOOD), ("traceparent", "")],
        ):
            context, written = place(Tracer(0.5), *lines, ("tracestate", "foo=1"))
            self.assertNotEqual(context.trace_id, TRACE)
            self.assertEqual((context.parent, written[4]), ("", None))

    def test_continues(self) -> None:
        """A good one is continued: its trace, a new span below the caller's, its state, and its random flag."""
        for flags, random in (("00", 0), ("01", 0), ("02", 2), ("ff", 2)):
            context, written = place(
                Tracer(0.0),
                ("traceparent", f"00-{TRACE}-{PARENT}-{flags}"),
                ("tracestate", "a=1"),
                ("tracestate", "b=2"),
            )
            self.assertEqual((context.trace_id, context.parent), (TRACE, PARENT))
            self.assertEqual(written.groups()[:1] + written.groups()[2:], (TRACE.encode(), b"%d" % random, b"a=1,b=2"))
            self.assertNotIn(PARENT, (context.span_id, context.upstream_id))

    def test_spans(self) -> None:
        """The gateway's two spans differ, and so do those of two requests of one trace."""
        spans = [place(Tracer(0.0), ("traceparent", GOOD))[0] for _ in range(3)]
        self.assertEqual(len({name for span in spans for name in (span.span_id, span.upstream_id)}), 6)

    def test_ratio(self) -> None:
        """About the share of traces is kept that was asked for: none of them at 0, all at 1."""
        for ratio, least, most in ((0.0, 0, 0), (1e-18, 0, 0), (0.1, 350, 650), (0.5, 2300, 2700), (1.0, 5000, 5000)):
            tracer = Tracer(ratio, bits=Random(7).getrandbits)
            for lines in ((), (("traceparent", GOOD),)):
                kept = sum(place(tracer, *lines)[0].sampled for _ in range(5000))
                self.assertTrue(least <= kept <= most, (ratio, lines, kept))

    def test_by_the_trace(self) -> None:
        """Whether a trace that begins here is kept follows from its id, and what a ratio keeps a greater one keeps."""
        for number in (0, 1, 2**56 - 1, 2**55, 2**55 - 1, 2**188 - 1, 0xABCDEF << 60):
            verdicts = [
                place(Tracer(ratio, bits=lambda bits, number=number: number % 2**bits))[0]  # type: ignore[misc]
                for ratio in (0.0, 0.01, 0.3, 0.5, 0.999, 1.0)
            ]
            kept = [context.sampled for context in verdicts]
            self.assertEqual(kept, sorted(kept))
            self.assertEqual(kept[3], int(verdicts[3].trace_id[18:], 16) >= 2**55)

    def test_least(self) -> None:
        """The bound is a number of 56 bits."""
        self.assertEqual(
            [least_sampled(ratio) for ratio in (1.0, 0.5, 0.25)], [b"0" * 14, b"8" + b"0" * 13, b"c" + b"0" * 13]
        )
        self.assertEqual(least_sampled(1e-30), b"f" * 14)
        self.assertLess(b"f" * 14, least_sampled(0.0))

    def test_strangers_do_not_decide(self) -> None:
        """Neither the flag nor the trace id of a stranger makes his requests kept, or others not."""
        for flags in ("00", "01"):
            for trace in ("f" * 32, "1".zfill(32)):
                tracer = Tracer(0.1, lambda peer: False, Random(3).getrandbits)
                line = ("traceparent", f"00-{trace}-{PARENT}-{flags}")
                kept = sum(place(tracer, line)[0].sampled for _ in range(2000))
                self.assertTrue(120 < kept < 280, (flags, trace, kept))

    def test_trusted_parents_decide(self) -> None:
        """The flag of a peer who may decide holds, whatever the ratio."""
        for ratio in (0.0, 1.0):
            tracer = Tracer(ratio, {"192.0.2.1"}.__contains__)
            for flags, kept in (("00", False), ("01", True), ("02", False), ("03", True)):
                line = ("traceparent", f"00-{TRACE}-{PARENT}-{flags}")
                context, written = place(tracer, line, peer="192.0.2.1")
                self.assertEqual((context.sampled, written[3].decode()), (kept, flags[1]))
                self.assertEqual(place(tracer, line)[0].sampled, bool(ratio))
