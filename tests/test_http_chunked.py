"""The chunked coding: what is refused, what is bounded, and that the verdict does not depend on the split."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import slices
from tracseq_gateway.http.chunked import (
    MAX_EXTENSION,
    MAX_EXTENSIONS,
    MAX_SIZE_DIGITS,
    MAX_TRAILER_BYTES,
    MAX_TRAILERS,
    BadChunk,
    ChunkedDecoder,
)

END = b"0\r\n\r\n"
TOKEN = st.from_regex(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,8}", fullmatch=True)
QUOTED = st.from_regex(rb'"([\t !#-\[\]-~\x80-\xff]|\\[\t !-~\x80-\xff]){0,8}"', fullmatch=True)
EXTENSION = st.builds(lambda name, value: b";" + name + value, TOKEN, st.just(b"") | (TOKEN | QUOTED).map(b"=".__add__))
CHUNK = st.tuples(st.binary(min_size=1, max_size=40), st.integers(0, 3), EXTENSION | st.just(b""))
TRAILER = st.builds(b"%b:%b\r\n".__mod__, st.tuples(TOKEN, st.from_regex(rb"[\t -~\x80-\xff]{0,20}", fullmatch=True)))
CUTS = st.lists(st.integers(0, 400), max_size=12)

BAD_SIZES = [
    b"", b" ", b"0x5", b"+5", b"-5", b"0_5", b"5 ", b" 5", b"\t5", b"5g", b"g", b"5,", b"5.", b"5\x00", b"5\xb2",
    b"\xd9\xa5", b"f" * 16, b"0" * 16, b"5;", b"5; a", b"5;=", b"5;=1", b"5;a=", b"5;a ", b'5;a="', b'5;a="b',
    b'5;a="\\"', b"5;a=b c", b"5;;", b"5 ;a", b"5;a\x00", b'5;a="\x01"',
]  # fmt: skip
BAD_LINE_ENDS = [
    b"5\nhello\r\n" + END, b"5\rhello\r\n" + END, b"5\r\rhello\r\n" + END, b"5;a\nb\r\nhello\r\n" + END,
    b"5;a\rb\r\nhello\r\n" + END, b'5;a="\n"\r\nhello\r\n' + END, b"5\r\nhello\n" + END, b"5\r\nhelloXX" + END,
    b"5\r\nhello" + END, b"5\r\nhell\r\n" + END, b"5\r\nhello!\r\n" + END, b"5\r\nhello\r\r\n" + END, b"0\n\r\n",
    b"0\r\n\n", b"0\r\nA: b\n\r\n", b"0\r\nA: b\r\r\n\r\n", b"\r\n5\r\nhello\r\n" + END,
]  # fmt: skip
BAD_TRAILERS = [
    b"no colon", b": x", b"A B: x", b"A : x", b" A: x", b"A: x\r\n fold", b"A: \x00", b"A: \x7f", b"A: \x0b",
    b"\xe9: x",
]  # fmt: skip


def encode(chunks: list[tuple[bytes, int, bytes]], trailers: list[bytes]) -> bytes:
    """Encode chunks of (data, leading zeros, extensions)."""
    coded = b"".join(b"0" * zeros + b"%X%b\r\n%b\r\n" % (len(data), more, data) for data, zeros, more in chunks)
    return coded + b"0\r\n" + b"".join(trailers) + b"\r\n"


def decode(pieces: list[bytes]) -> tuple[bytes, bytes] | str:
    """Decode: body and surplus, ``more`` if it has no end, ``bad`` if it was refused."""
    decoder = ChunkedDecoder()
    body = surplus = b""
    for piece in pieces:
        if decoder.done:
            surplus += piece
            continue
        try:
            body += decoder.feed(piece)
        except BadChunk:
            return "bad"
        surplus = decoder.surplus
    return (body, surplus) if decoder.done else "more"


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


class StrictTests(SynchronousTestCase):
    def verdict(self, data: bytes) -> tuple[bytes, bytes] | str:
        """The verdict on ``data``, which is the same whole and byte by byte."""
        whole = decode([data])
        self.assertEqual(whole, decode(byte_by_byte(data)), data[:80])
        return whole

    def test_accepted(self) -> None:
        """Sizes in any case, with leading zeros and well-formed extensions; what follows the end is surplus."""
        for data, body in {
            END: b"",
            b"000\r\n\r\n": b"",
            b"5\r\nhello\r\n" + END: b"hello",
            b"A\r\n0123456789\r\n" + END: b"0123456789",
            b"a\r\n0123456789\r\n" + END: b"0123456789",
            b"00000000000000a\r\n0123456789\r\n" + END: b"0123456789",
            b"2;a\r\n\r\n\r\n" + END: b"\r\n",
            b'2;a=b;c="d; \\"e";f\r\nok\r\n' + END: b"ok",
            b"2\r\nok\r\n0;last=1\r\nX-Sum: 1\r\nY:\r\n\r\n": b"ok",
        }.items():
            self.assertEqual(self.verdict(data), (body, b""), data)
        self.assertEqual(self.verdict(END + b"GET / HTTP/1.1\r\n"), (b"", b"GET / HTTP/1.1\r\n"))

    def test_sizes(self) -> None:
        """A size is 1 to 15 hex digits, and nothing around them."""
        for size in BAD_SIZES:
            self.assertEqual(self.verdict(size + b"\r\nhello\r\n" + END), "bad", size)

    def test_line_ends(self) -> None:
        """Only CRLF ends a line, in sizes, extensions, data and trailers."""
        for data in BAD_LINE_ENDS:
            self.assertEqual(self.verdict(data + b"tail\r\n"), "bad", data)

    def test_trailers(self) -> None:
        """A trailer is a field: a token, a colon, a value without control characters; folds are refused."""
        for line in BAD_TRAILERS:
            self.assertEqual(self.verdict(b"0\r\n%b\r\n\r\n" % line), "bad", line)

    def test_incomplete(self) -> None:
        """No prefix of a good body is a whole body, or a bad one."""
        good = b'5;a="b"\r\nhello\r\n00\r\nX: y\r\n\r\n'
        for end in range(len(good)):
            self.assertEqual(self.verdict(good[:end]), "more", good[:end])

    def test_garbage_is_not_waited_for(self) -> None:
        """A line that no further byte can make good is refused before it ends."""
        for start in (b"GET / HTTP/1.1", b" ", b"\r", b"5;a\n", b"5" * 2000, b"5\r\nhelloX", b"0\r\n" + b"x" * 70_000):
            self.assertEqual(decode([start]), "bad", start[:20])


class LimitTests(SynchronousTestCase):
    def test_size_digits(self) -> None:
        """Fifteen digits are read, sixteen refused, even if they are zeros."""
        self.assertEqual(decode([b"0" * (MAX_SIZE_DIGITS - 1) + b"1\r\nx\r\n" + END]), (b"x", b""))
        self.assertEqual(decode([b"0" * MAX_SIZE_DIGITS + b"1\r\nx\r\n" + END]), "bad")

    def test_one_extension(self) -> None:
        """The extensions of one chunk may have 1,024 bytes, not one more."""
        for size, verdict in ((MAX_EXTENSION, (b"x", b"")), (MAX_EXTENSION + 1, "bad")):
            data = b"1;%b\r\nx\r\n" % (b"a" * (size - 1)) + END
            self.assertEqual(decode([data]), verdict)
            self.assertEqual(decode(byte_by_byte(data)), verdict)

    def test_longest_size_line_in_any_split(self) -> None:
        """The longest line that is allowed, 15 digits and 1,024 bytes of extensions, may end in two reads."""
        data = b"000000000000001;%b\r\nx\r\n" % (b"a" * (MAX_EXTENSION - 1)) + END
        self.assertEqual(decode([data]), (b"x", b""))
        self.assertEqual(decode(byte_by_byte(data)), (b"x", b""))

    def test_all_extensions(self) -> None:
        """All extensions of a message may have 16 KiB, not one byte more."""
        chunk = b"1;%b\r\nx\r\n" % (b"a" * 1023)
        most = chunk * (MAX_EXTENSIONS // 1024)
        self.assertEqual(decode([most + END]), (b"x" * (MAX_EXTENSIONS // 1024), b""))
        self.assertEqual(decode([most + b"1;a\r\nx\r\n" + END]), "bad")
        self.assertEqual(decode([most + b"0;a\r\n\r\n"]), "bad")

    def test_trailers(self) -> None:
        """Trailers are bounded in number and in bytes."""
        self.assertEqual(decode([b"0\r\n" + b"a:\r\n" * MAX_TRAILERS + b"\r\n"]), (b"", b""))
        self.assertEqual(decode([b"0\r\n" + b"a:\r\n" * (MAX_TRAILERS + 1) + b"\r\n"]), "bad")
        for size, verdict in ((MAX_TRAILER_BYTES, (b"", b"")), (MAX_TRAILER_BYTES + 1, "bad")):
            data = b"0\r\na:%b\r\n\r\n" % (b"x" * (size - 4))
            self.assertEqual(decode([data]), verdict)
            self.assertEqual(decode([data[at : at + 999] for at in range(0, len(data), 999)]), verdict)

    def test_what_is_held_back(self) -> None:
        """Between two reads a decoder holds back no more than an unfinished line, whatever the chunk's size."""
        decoder = ChunkedDecoder()
        taken = decoder.feed(b"fffffff\r\n" + b"x" * 100_000)
        self.assertEqual(len(taken), 100_000)
        self.assertEqual(decoder._pending, b"")


class SplitTests(SynchronousTestCase):
    @given(st.lists(CHUNK, max_size=6), st.lists(TRAILER, max_size=3), st.binary(max_size=20), CUTS)
    @settings(max_examples=150, deadline=None)
    def test_good(
        self, chunks: list[tuple[bytes, int, bytes]], trailers: list[bytes], rest: bytes, cuts: list[int]
    ) -> None:
        """Any encoding of any body, in any split, gives the body and what follows it."""
        data = encode(chunks, trailers) + rest
        self.assertEqual(decode(slices(data, cuts)), (b"".join(data for data, _, _ in chunks), rest))

    @given(
        st.lists(CHUNK, max_size=4),
        st.lists(TRAILER, max_size=2),
        st.lists(st.tuples(st.integers(0, 400), st.sampled_from(b'\r\n\0 ;="\\0aG:\xff'), st.booleans()), max_size=3),
        CUTS,
    )
    @settings(max_examples=300, deadline=None)
    def test_mutated(
        self,
        chunks: list[tuple[bytes, int, bytes]],
        trailers: list[bytes],
        changes: list[tuple[int, int, bool]],
        cuts: list[int],
    ) -> None:
        """A damaged encoding has one verdict, however it is split."""
        data = bytearray(encode(chunks, trailers))
        for at, byte, inserted in changes:
            data[at % len(data) : at % len(data) + (not inserted)] = bytes((byte,))
        whole = decode([bytes(data)])
        self.assertEqual(decode(slices(bytes(data), cuts)), whole)
        self.assertEqual(decode(byte_by_byte(bytes(data))), whole)
