"""OTLP as it is written here, read with the published classes of OpenTelemetry; and the other way round."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span as PublishedSpan
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags, Status
from twisted.trial.unittest import SynchronousTestCase

from tests.otlp_kit import read_export
from tracseq_gateway.tracing.otlp import (
    CLIENT,
    LONGEST_TEXT,
    SERVER,
    Envelope,
    PartialSuccess,
    Span,
    attribute,
    event,
    number,
    read_answer,
    read_refusal,
    text,
)
from tracseq_gateway.tracing.wire import block, fields, integer, varint

ENVELOPE = Envelope({"service.name": "gw", "process.pid": 70000}, "tracseq-gateway", "1.2.3")
KEY = attribute("k")


class ExportTests(SynchronousTestCase):
    def test_spans(self) -> None:
        """Every part of a span comes out as it was put in, in the order of the published fields."""
        server = Span("a" * 32, "b" * 16, "c" * 16, True, SERVER, "GET /samples", 1, 2**63, [text(KEY, "é")], (), "bad")
        client = Span(
            "a" * 32,
            "d" * 16,
            "b" * 16,
            False,
            CLIENT,
            "GET",
            5,
            9,
            [number(KEY, 200)],
            [event(6, "e1"), event(7, "e2")],
        )
        first = Span("1" * 32, "2" * 16, "", False, SERVER, "PUT", 1, 2, [], (), "")
        one, two, three = read_export(ENVELOPE.seal([each.encode() for each in (server, client, first)]))
        self.assertEqual(one.ids, ("a" * 32, "b" * 16, "c" * 16))
        self.assertEqual((one.span.name, one.attributes), ("GET /samples", {"k": "é"}))
        self.assertEqual(
            (one.span.kind, two.span.kind), (PublishedSpan.SPAN_KIND_SERVER, PublishedSpan.SPAN_KIND_CLIENT)
        )
        self.assertEqual((one.span.start_time_unix_nano, one.span.end_time_unix_nano), (1, 2**63))
        self.assertEqual((one.span.status.code, one.span.status.message), (Status.STATUS_CODE_ERROR, "bad"))
        self.assertEqual((two.attributes, two.span.status.code), ({"k": 200}, Status.STATUS_CODE_UNSET))
        self.assertEqual([(each.time_unix_nano, each.name) for each in two.span.events], [(6, "e1"), (7, "e2")])
        self.assertEqual(three.ids, ("1" * 32, "2" * 16, ""))
        self.assertEqual((three.span.status.code, three.span.status.message), (Status.STATUS_CODE_ERROR, ""))
        remote = SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
        self.assertEqual([bool(each.span.flags & remote) for each in (one, two, three)], [True, False, False])
        self.assertEqual({each.span.flags & ~remote for each in (one, two, three)}, {0x101})
        self.assertEqual((one.resource, one.scope), ({"service.name": "gw", "process.pid": 70000}, "tracseq-gateway"))

    def test_empty(self) -> None:
        """An export of nothing is one that can be read."""
        self.assertEqual(read_export(ENVELOPE.seal([])), [])

    @given(st.text(), st.integers(0, 2**63 - 1))
    def test_values(self, words: str, count: int) -> None:
        """Any text and any size comes out as it was put in, but for what is cut off and what is no character."""
        span = Span("a" * 32, "b" * 16, "", False, SERVER, "n", 1, 2, [text(attribute("t"), words), number(KEY, count)])
        (read,) = read_export(ENVELOPE.seal([span.encode()]))
        expected = words[:LONGEST_TEXT].encode("utf-8", "replace").decode()
        self.assertEqual(read.attributes, {"t": expected, "k": count})

    def test_cut(self) -> None:
        """What is too long is cut at a character."""
        span = Span("a" * 32, "b" * 16, "", False, SERVER, "n", 1, 2, [text(KEY, "é" * 9999)], (), "ü" * 9999)
        (read,) = read_export(ENVELOPE.seal([span.encode()]))
        self.assertEqual((read.attributes["k"], read.span.status.message), ("é" * 1024, "ü" * 1024))


class AnswerTests(SynchronousTestCase):
    def test_partial_success(self) -> None:
        """What a collector did not take is read with its reason; nothing said is all taken."""
        answer = ExportTraceServiceResponse()
        self.assertEqual(read_answer(answer.SerializeToString()), PartialSuccess())
        answer.partial_success.rejected_spans = 300
        answer.partial_success.error_message = "trop"
        self.assertEqual(read_answer(answer.SerializeToString()), PartialSuccess(300, "trop"))

    def test_refusal(self) -> None:
        """The words of a Status are read."""
        self.assertEqual(read_refusal(integer(1, 8) + block(2, b"quota")), "quota")
        self.assertEqual(read_refusal(b""), "")

    def test_nonsense(self) -> None:
        """What is no message is said to be none."""
        for wrong in (b"\x80", b"\x0a", b"\x0a\x05abc", b"\x08\x01", b"\x0b", b"\xff" * 11, b"\x09abc", b"<html>"):
            self.assertRaises(ValueError, read_answer, wrong)
        self.assertRaises(ValueError, read_refusal, b"\x10\x01")

    @given(st.binary(max_size=60))
    def test_anything(self, message: bytes) -> None:
        """Whatever comes is read in one pass or refused."""
        try:
            read = list(fields(message))
        except ValueError:
            return
        self.assertLessEqual(len(read), len(message))

    @given(st.integers(0, 2**64 - 1))
    def test_integers(self, count: int) -> None:
        """An integer that was written is read again."""
        self.assertEqual(list(fields(b"\x08" + varint(count))), [(1, count)])
