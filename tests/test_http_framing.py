"""How long a body is: the rows of RFC 9112 section 6.3, read from the fields alone and from whole heads."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import request_parser
from tracseq_gateway.errors import AnswerRefused, RequestRefused
from tracseq_gateway.http.answer_head import AnswerHead, AnswerParser
from tracseq_gateway.http.forwarding import known_answer_lines
from tracseq_gateway.http.framing import CHUNKED, UNTIL_CLOSE, BadFraming, body_length, content_length

# Values of a Content-Length line that are not a plain decimal number below 10**18.
BAD_LENGTHS = [
    b"", b" ", b"+5", b"-5", b"-0", b"0x5", b"1_0", b"5.0", b"5e1", b'"5"', b"five", b"5;", b"5,", b",5", b"5, 5",
    b"5,6", b"5 5", b"\xd9\xa5", b"\xb2", b"1" + b"0" * 18, b"9" * 400,
]  # fmt: skip

# Transfer-Encoding values and the status of a request that has one.
BAD_CODINGS = {
    b"gzip": 501,
    b"gzip, chunked": 501,
    b"chunked, gzip": 400,
    b"chunked, chunked": 400,
    b"chunked, identity": 400,
    b"identity": 501,
    b"chunkedx": 501,
    b"chunked;q=1": 400,
    b'"chunked"': 400,
    b", chunked": 400,
    b"chunked,": 400,
    b"": 400,
    b"chunk ed": 400,
    b"\x0bchunked": 400,
    b"chunked\x00": 400,
    b"chunked\x80": 400,
}


def request_length(*lines: bytes, version: bytes = b"1.1", method: bytes = b"POST") -> int:
    """Read a request head with these field lines; return the length of its body."""
    head = b"\r\n".join([b"%b / HTTP/%b" % (method, version), b"Host: a", *lines, b"", b""])
    return request_parser().parse(head).fields.length


def answer_head(status: bytes, *lines: bytes, version: bytes = b"1.1", method: bytes = b"GET") -> AnswerHead:
    """Read an answer head with these field lines."""
    head = b"\r\n".join([b"HTTP/%b %b Reason" % (version, status), *lines, b"", b""])
    return AnswerParser(known_answer_lines()).parse(head, method)


class FieldTests(SynchronousTestCase):
    def test_content_length(self) -> None:
        """A Content-Length is ASCII digits below 10**18; leading zeros do not change it."""
        for value, length in {b"0": 0, b"5": 5, b"007": 7, b"9" * 18: 10**18 - 1, b"0" * 18: 0}.items():
            self.assertEqual(content_length(value), length)
        for value in BAD_LENGTHS:
            self.assertRaises(BadFraming, content_length, value)

    @given(st.binary(max_size=20))
    @settings(deadline=None)
    def test_any_content_length(self, value: bytes) -> None:
        """Whatever is read as a Content-Length is digits, and means what they mean."""
        try:
            length = content_length(value)
        except BadFraming:
            return
        self.assertRegex(value, rb"\A[0-9]{1,18}\Z")
        self.assertEqual(length, int(value.decode("ascii")))

    def test_table(self) -> None:
        """Neither field: nothing said; one Content-Length: a number; one ``chunked``: chunks."""
        self.assertIsNone(body_length([], [], 1))
        self.assertIsNone(body_length([], [], 0))
        self.assertEqual(body_length([b"12"], [], 0), 12)
        self.assertEqual(body_length([b"12"], [], 1), 12)
        for coding in (b"chunked", b"Chunked", b"CHUNKED"):
            self.assertEqual(body_length([], [coding], 1), CHUNKED)

    def test_contradictions(self) -> None:
        """Both fields, either of them twice, and chunks in HTTP/1.0 are refused, not repaired."""
        for lengths, codings, minor in [
            ([b"5"], [b"chunked"], 1),
            ([b"5", b"5"], [], 1),
            ([b"5", b"6"], [], 1),
            ([], [b"chunked", b"chunked"], 1),
            ([], [b"gzip", b"chunked"], 1),
            ([], [b"chunked"], 0),
        ]:
            self.assertRaises(BadFraming, body_length, lengths, codings, minor)


class RequestTests(SynchronousTestCase):
    def refused(self, *lines: bytes, **head: Any) -> int:
        """The status with which a request is refused."""
        refusal: RequestRefused = self.assertRaises(RequestRefused, request_length, *lines, **head)
        return refusal.error.kind.status

    def test_rows(self) -> None:
        """Rows 4, 6 and 7 of section 6.3: chunks, a number, or no body, for every method alike."""
        for method in (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"):
            self.assertEqual(request_length(method=method), 0)
            self.assertEqual(request_length(version=b"1.0", method=method), 0)
            self.assertEqual(request_length(b"Content-Length: 9", method=method), 9)
            self.assertEqual(request_length(b"Content-Length: 9", version=b"1.0", method=method), 9)
            self.assertEqual(request_length(b"Transfer-Encoding: chunked", method=method), CHUNKED)

    def test_optional_white_space(self) -> None:
        """Spaces and tabs around a value do not count."""
        self.assertEqual(request_length(b"Content-Length:\t 9 \t"), 9)
        self.assertEqual(request_length(b"Transfer-Encoding: \t chunked  "), CHUNKED)

    def test_both(self) -> None:
        """Row 3: Transfer-Encoding and Content-Length together are refused, in either order."""
        both = [b"Content-Length: 5", b"Transfer-Encoding: chunked"]
        self.assertEqual(self.refused(*both), 400)
        self.assertEqual(self.refused(*reversed(both)), 400)
        self.assertEqual(self.refused(b"Content-Length: 0", both[1]), 400)

    def test_codings(self) -> None:
        """Row 4: a coding that is not implemented is 501; ``chunked`` that is not last, or is misspelt, 400."""
        for value, status in BAD_CODINGS.items():
            self.assertEqual(self.refused(b"Transfer-Encoding: " + value), status, value)
        self.assertEqual(self.refused(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400)
        self.assertEqual(self.refused(b"Transfer-Encoding: chunked", version=b"1.0"), 400)

    def test_lengths(self) -> None:
        """Row 5: an invalid Content-Length is refused, and so is one that comes twice."""
        for value in BAD_LENGTHS:
            self.assertEqual(self.refused(b"Content-Length: " + value), 400, value)
        self.assertEqual(self.refused(b"Content-Length: 5", b"Content-Length: 5"), 400)


class AnswerTests(SynchronousTestCase):
    def test_no_body(self) -> None:
        """Row 1: answers to HEAD, 1xx, 204 and 304 end with their head, whatever they declare."""
        for line in ([], [b"Content-Length: 9"], [b"Transfer-Encoding: chunked"]):
            for status in (b"100", b"103", b"204", b"304"):
                self.assertEqual(answer_head(status, *line).length, 0, (status, line))
            self.assertEqual(answer_head(b"200", *line, method=b"HEAD").length, 0, line)

    def test_declared(self) -> None:
        """What a client is told of the length: the Content-Length, also on HEAD and 304, never on 1xx and 204."""
        line = b"Content-Length: 9"
        self.assertEqual(answer_head(b"200", line).declared, 9)
        self.assertEqual(answer_head(b"200", line, method=b"HEAD").declared, 9)
        self.assertEqual(answer_head(b"304", line).declared, 9)
        for status in (b"100", b"204"):
            self.assertIsNone(answer_head(status, line).declared)
        self.assertIsNone(answer_head(b"200", b"Transfer-Encoding: chunked").declared)
        self.assertIsNone(answer_head(b"200").declared)

    def test_rows(self) -> None:
        """Rows 4, 6 and 8: chunks, a number, or until the connection closes."""
        self.assertEqual(answer_head(b"200", b"Transfer-Encoding: chunked").length, CHUNKED)
        self.assertEqual(answer_head(b"200", b"Content-Length: 9").length, 9)
        self.assertEqual(answer_head(b"404", b"Content-Length: 0").length, 0)
        self.assertEqual(answer_head(b"200").length, UNTIL_CLOSE)
        self.assertEqual(answer_head(b"200", version=b"1.0").length, UNTIL_CLOSE)

    def test_until_close_is_not_kept(self) -> None:
        """A connection whose end is the end of the answer serves no other, whatever it says."""
        for version in (b"1.0", b"1.1"):
            self.assertFalse(answer_head(b"200", b"Connection: keep-alive", version=version).keep_alive)
        self.assertTrue(answer_head(b"200", b"Content-Length: 9").keep_alive)
        self.assertFalse(answer_head(b"200", b"Content-Length: 9", version=b"1.0").keep_alive)
        self.assertTrue(answer_head(b"200", b"Content-Length: 9", b"Connection: Keep-Alive", version=b"1.0").keep_alive)
        self.assertFalse(answer_head(b"200", b"Content-Length: 9", b"Connection: x, Close").keep_alive)

    def test_refused(self) -> None:
        """Rows 3 to 5: contradictory, doubled, malformed and unknown framing is refused."""
        chunked = b"Transfer-Encoding: chunked"
        bad = [[b"Content-Length: 5", chunked], [chunked, chunked], [b"Content-Length: 5", b"Content-Length: 5"]]
        bad += [[b"Transfer-Encoding: " + value] for value in BAD_CODINGS]
        bad += [[b"Content-Length: " + value] for value in BAD_LENGTHS]
        for lines in bad:
            self.assertRaises(AnswerRefused, answer_head, b"200", *lines)
        self.assertRaises(AnswerRefused, answer_head, b"200", chunked, version=b"1.0")
