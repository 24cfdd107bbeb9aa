"""What parsers remember never changes what a head means, and a head in pieces means what it means whole."""

from __future__ import annotations

from typing import Any

from attrs import asdict
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import request, request_parser, slices
from tracseq_gateway.errors import AnswerRefused, RequestRefused
from tracseq_gateway.http.answer_head import AnswerParser
from tracseq_gateway.http.fields import KnownLines
from tracseq_gateway.http.forwarding import known_answer_lines, known_request_lines, outgoing_head
from tracseq_gateway.http.head_probe import HeadProbe
from tracseq_gateway.http.request_head import HeadLimits, RequestParser

LINES = st.sampled_from(
    [
        b"Host: gw.test",
        b"Host: other",
        b"host: gw.test",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: upgrade, x-one",
        b"Connection: date",
        b"Upgrade: websocket",
        b"Content-Length: 5",
        b"Content-Length: 0",
        b"Content-Length: x",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Expect: 100-continue",
        b"Expect: else",
        b"X-Request-Id: abc",
        b"X-User-Id: 1",
        b"X_User_Id: 1",
        b"x-one: 1",
        b"X-One:1 ",
        b"Authorization: Bearer x",
        b"Via: 1.1 gw",
        b"Max-Forwards: 0",
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT",
        b"Set-Cookie: a=b",
        b"X-Long: " + b"x" * 300,
        b"bad line",
        b"Bad : line",
        b" folded",
    ]
)
BLOCKS = st.lists(LINES, max_size=4).map(lambda lines: b"".join(line + b"\r\n" for line in lines) + b"\r\n")
REQUEST_LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.0",
        b"HEAD /a/../b?c HTTP/1.1",
        b"POST /a HTTP/1.1",
        b"POST /a HTTP/1.0",
        b"OPTIONS * HTTP/1.1",
        b"GET http://abs.test/x HTTP/1.1",
        b"GET http://abs.test/x HTTP/1.0",
        b'GET /"{}|^` HTTP/1.1',
        b"GET /%2f HTTP/1.1",
        b"GET http://[::1]:8/ HTTP/1.1",
        b"GET http://a!b/ HTTP/1.1",
        b"FOO / HTTP/1.1",
        b"GET / HTTP/2.0",
    ]
)
STATUS_LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 204 No Content",
        b"HTTP/1.1 304 Not Modified",
        b"HTTP/1.1 103 Early Hints",
        b"HTTP/1.1 404",
        b"HTTP/2.0 200 OK",
    ]
)


def meaning_of_request(parser: RequestParser, head: bytes) -> object:
    """All that a parser says of a request head, or how it refuses it."""
    try:
        read = parser.parse(head)
    except RequestRefused as refusal:
        return refusal.error
    return asdict(read, recurse=False) | {"fields": asdict(read.fields, recurse=False)}


def meaning_of_answer(parser: AnswerParser, head: bytes, method: bytes) -> object:
    """All that a parser says of an answer head, with what goes on to the client, or how it refuses it."""
    try:
        read = parser.parse(head, method)
    except AnswerRefused as refusal:
        return refusal.error
    block = outgoing_head(read, b"gw")
    return asdict(read, recurse=False) | {"outgoing": None}, block.pairs, block.lines(), block.dated


class RememberTests(SynchronousTestCase):
    @given(st.lists(BLOCKS, min_size=1, max_size=3), st.data())
    @settings(max_examples=150, deadline=None)
    def test_requests(self, blocks: list[bytes], data: st.DataObject) -> None:
        """Whatever a connection and its neighbours sent before, a head means what it means to a fresh parser."""
        known = known_request_lines()
        parsers = [RequestParser(HeadLimits(), known) for _ in range(2)]
        for _ in range(6):
            head = data.draw(REQUEST_LINES) + b"\r\n" + data.draw(st.sampled_from(blocks))
            parser = data.draw(st.sampled_from(parsers))
            self.assertEqual(meaning_of_request(parser, head), meaning_of_request(request_parser(), head))

    @given(st.lists(BLOCKS, min_size=1, max_size=3), st.data())
    @settings(max_examples=150, deadline=None)
    def test_answers(self, blocks: list[bytes], data: st.DataObject) -> None:
        """Whatever was answered before, to HEAD or to GET, an answer head means what it means to a fresh parser."""
        known = known_answer_lines()
        parser = AnswerParser(known)
        for _ in range(6):
            head = data.draw(STATUS_LINES) + b"\r\n" + data.draw(st.sampled_from(blocks))
            method = data.draw(st.sampled_from([b"GET", b"HEAD"]))
            fresh = AnswerParser(known_answer_lines())
            self.assertEqual(meaning_of_answer(parser, head, method), meaning_of_answer(fresh, head, method))

    def test_same_block_in_both_versions(self) -> None:
        """One block of fields in HTTP/1.0 and in HTTP/1.1 is two different things."""
        parser = request_parser()
        for version, kept in [(b"1.1", True), (b"1.0", False), (b"1.1", True), (b"1.0", False)]:
            head = parser.parse(request(b"/", version=b"HTTP/" + version))
            self.assertEqual(head.fields.keep_alive, kept)

    def test_refusals_are_not_remembered(self) -> None:
        """A good head after a bad one, and the bad one again, keep their verdicts."""
        parser = request_parser()
        good, bad = request(b"/"), request(b"/", b"Content-Length: x")
        for _ in range(2):
            self.assertRaises(RequestRefused, parser.parse, bad)
            self.assertEqual(parser.parse(good).fields.length, 0)


class KnownLinesTests(SynchronousTestCase):
    def test_reads_as_they_stand(self) -> None:
        """A line is split at its first colon; the name loses its case, the value the white space around it."""
        known = known_request_lines()
        read = known.read(b"A-b: 1:2 \r\nX-User-Id:3\r\nHost:\th\r\n\r\n")
        self.assertEqual([line[:2] for line in read], [(b"a-b", b"1:2"), (b"x-user-id", b"3"), (b"host", b"h")])
        self.assertEqual([line.passed_on for line in read], [b"a-b: 1:2\r\n", b"", b""])
        self.assertEqual(known.read(b"\r\n"), [])

    def test_bounded(self) -> None:
        """However many lines clients make up, what is kept stays bounded, and lines keep their meaning."""
        known = known_request_lines()
        for number in range(20_000):
            line = known[b"X-%d: y" % number]
            self.assertEqual(line.name, b"x-%d" % number)
        self.assertLessEqual(len(known), 4096)
        size = len(known)
        known.read(b"X-Long: %b\r\n\r\n" % (b"x" * 10_000))
        self.assertEqual(len(known), size)

    def test_secrets(self) -> None:
        """No line that carries a secret is kept beyond its request, whatever the case of its name."""
        known: KnownLines = known_request_lines()
        for name in (b"Authorization", b"AUTHORIZATION", b"Cookie", b"cookie", b"X-API-Key", b"Proxy-Authorization"):
            known.read(name + b": hunter2\r\n\r\n")
        self.assertEqual([line for line in known if b"hunter2" in line], [])
        answers = known_answer_lines()
        answers.read(b"Set-Cookie: hunter2\r\n\r\n")
        self.assertEqual(len(answers), 0)


class DifferentialTests(SynchronousTestCase):
    @given(
        REQUEST_LINES,
        st.lists(LINES, max_size=6),
        st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=2)), max_size=3),
    )
    @settings(max_examples=300, deadline=None)
    def test_fields_are_lines(self, line: bytes, lines: list[bytes], changes: list[tuple[int, bytes]]) -> None:
        """A head that is accepted has exactly the fields that its lines spell out, however it was damaged before."""
        head = mutated(b"\r\n".join([line, b"Host: gw.test", *lines, b"", b""]), changes)
        try:
            pairs = request_parser().parse(head).fields.pairs
        except RequestRefused:
            return
        spelt = [field.partition(b":") for field in head.split(b"\r\n")[1:-2]]
        self.assertEqual(pairs, [(name.lower(), value.strip(b" \t")) for name, _, value in spelt])
        for name, value in pairs:
            self.assertRegex(name, rb"\A[!#$%&'*+\-.^_`|~0-9a-z]+\Z")
            self.assertNotRegex(value, rb"[\x00-\x08\x0a-\x1f\x7f]")


def mutated(head: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    """Put bytes in the place of one byte each, and end at the first empty line."""
    damaged = bytearray(head)
    for at, put in changes:
        damaged[at % len(damaged) : at % len(damaged) + 1] = put
    damaged += b"\r\n\r\n"
    return bytes(damaged[: damaged.find(b"\r\n\r\n") + 4])


NASTY = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"\0",
        b" ",
        b"  ",
        b"\t",
        b":",
        b"/",
        b"#",
        b"\\",
        b"H",
        b"2",
        b"%",
        b"\xe9",
        b"",
        b",",
        b"\x7f",
        b"{",
    ]
)


class ProbeTests(SynchronousTestCase):
    """The probe sees each piece but the last, as the channel shows it; then the parser sees the whole."""

    def verdicts(self, pieces: list[bytes], **limits: Any) -> tuple[int, int]:
        """The statuses of a head in pieces and whole; 0 is good."""
        probe, so_far, whole = HeadProbe(HeadLimits(**limits)), b"", 0
        try:
            request_parser(**limits).parse(b"".join(pieces))
        except RequestRefused as refusal:
            whole = refusal.error.kind.status
        try:
            for piece in pieces[:-1]:
                so_far += piece
                probe.look(so_far)
        except RequestRefused as refusal:
            return refusal.error.kind.status, whole
        return whole, whole

    @given(
        REQUEST_LINES,
        st.lists(LINES, max_size=5),
        st.lists(st.tuples(st.integers(0, 300), NASTY), max_size=2),
        st.lists(st.integers(0, 400), max_size=8),
    )
    @settings(max_examples=400, deadline=None)
    def test_any_split(
        self, line: bytes, lines: list[bytes], changes: list[tuple[int, bytes]], cuts: list[int]
    ) -> None:
        """A damaged head is refused with the same status, and a good one accepted, however it is split."""
        head = mutated(b"\r\n".join([line, b"Host: gw.test", *lines, b"", b""]), changes)
        # An empty line before the request is the channel's to skip; neither probe nor parser is shown one.
        if head[:1] != b"\r":
            pieces, whole = self.verdicts(slices(head, cuts))
            self.assertEqual(pieces, whole, head)
            pieces, whole = self.verdicts([head[at : at + 1] for at in range(len(head))])
            self.assertEqual(pieces, whole, head)

    def test_limits(self) -> None:
        """At the limits, exactly and one beyond, a head in pieces and whole have one status."""
        limits = {"request_line": 40, "head": 200, "headers": 4}
        for line, status in ((b"/" + b"a" * 26, 0), (b"/" + b"a" * 27, 414), (b"/" + b"a" * 300, 414)):
            self.both(request(line), status, **limits)
        room = 200 - len(request(b"/", b"X: "))
        for size, status in ((room, 0), (room + 1, 431), (900, 431)):
            self.both(request(b"/", b"X: " + b"a" * size), status, **limits)
        for count, status in ((3, 0), (4, 431)):
            self.both(request(b"/", *[b"X: y"] * count), status, **limits)

    def both(self, data: bytes, status: int, **limits: Any) -> None:
        """Compare pieces of several sizes with the whole."""
        for size in (1, 2, 7, 40, 41, 199):
            pieces = [data[at : at + size] for at in range(0, len(data), size)]
            self.assertEqual(self.verdicts(pieces, **limits), (status, status), (size, data))

    def test_early(self) -> None:
        """What can never become a good head is refused before its end comes."""
        for start in (b"\x16\x03\x01", b"get ", b"GET  ", b"GET / HTTP/1.1x", b"GET / HTTP/1.1\n",
                      b"GET / HTTP/1.1\r\n ", b"GET / HTTP/1.1\r\nHost gw\r\n", b"G\0", b"PROXY TCP4 192.0.2.1",
                      b"GET / HTTP/2.0\r\n", b"GET " + b"/" * 9000):  # fmt: skip
            self.assertRaises(RequestRefused, HeadProbe(HeadLimits()).look, start)
