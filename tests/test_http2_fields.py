"""Header blocks, coded with what is remembered of others: the same fields as hpack's own coding gives."""

from __future__ import annotations

import tracemalloc

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_http2 import Fields
from tracseq_gateway.server.h2_fields import AnswerFields, RequestBlocks

NAMES = st.sampled_from([b":path", b"accept", b"authorization", b"x-own", b"cookie", b"x-request-id", b"date", b"etag"])
VALUES = st.one_of(st.sampled_from([b"", b"/", b"same", b"GET", b"v" * 200]), st.binary(max_size=20))
LISTS = st.lists(st.lists(st.tuples(NAMES, VALUES), max_size=6), min_size=1, max_size=12)


class RequestBlockTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(LISTS, st.lists(st.booleans(), min_size=8, max_size=8), st.booleans())
    def test_decoded(self, blocks: list[Fields], secret: list[bool], huffman: bool) -> None:
        """Whatever a client's encoder makes of fields, and however often they come, the same fields come out."""
        encoder, decoder = Encoder(), RequestBlocks(65536)
        for fields in [*blocks, *blocks]:
            marked = [
                NeverIndexedHeaderTuple(name, value) if secret[place % 8] else (name, value)
                for place, (name, value) in enumerate(fields)
            ]
            self.assertEqual(list(decoder.decode(encoder.encode(marked, huffman), raw=True)), [])
            self.assertEqual(decoder.fields, fields)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.binary(max_size=30), min_size=1, max_size=5))
    def test_any_bytes(self, blocks: list[bytes]) -> None:
        """Bytes that may be no block at all are decoded, or refused, as hpack does it."""
        ours, theirs = RequestBlocks(200), Decoder(200)
        for block in blocks:
            try:
                expected = [(name, value) for name, value in theirs.decode(block, raw=True)]
            except (HPACKError, IndexError) as error:
                self.assertRaises(type(error), ours.decode, block, raw=True)
                return
            ours.decode(block, raw=True)
            self.assertEqual(ours.fields, expected)

    def test_bombs(self) -> None:
        """A few bytes that stand for many are refused, also when they were said before."""
        encoder, decoder = Encoder(), RequestBlocks(10_000)
        decoder.decode(encoder.encode([(b"x-own", b"v" * 3000)]))
        for _ in range(3):
            decoder.decode(b"\xbe" * 3)
            self.assertEqual(len(decoder.fields), 3)
            self.assertRaises(OversizedHeaderListError, RequestBlocks.decode, decoder, b"\xbe" * 4)

    def test_many_fields(self) -> None:
        """Blocks of many fields are not kept: a client that made them up could fill memory with next to nothing."""
        decoder = RequestBlocks(131_072)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(32):
            # The size of the table that it has, so that hpack decodes it; then an index of one byte a thousand times.
            decoder.decode(b"\x3f\xe1\x1f" + bytes((0x82 + number,)) + b"\x82" * 1000)
            self.assertEqual(len(decoder.fields), 1001)
        after, _ = tracemalloc.get_traced_memory()
        self.assertLess(after - before, 262_144)


class AnswerFieldTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(LISTS, st.lists(st.sampled_from([0, 60, 200, 4096]), min_size=24, max_size=24))
    def test_encoded(self, blocks: list[Fields], sizes: list[int]) -> None:
        """A client's decoder gets the same fields, whatever size of table it wants meanwhile."""
        encoder, decoder = AnswerFields(), Decoder()
        for fields, size in zip([*blocks, *blocks], sizes, strict=False):
            encoder.header_table_size = size
            encoder.further = [*fields, (b"Connection", b"close"), (b"transfer-encoding", b"chunked")]
            block = encoder.encode([(b":status", b"200")])
            self.assertEqual(list(decoder.decode(block, raw=True)), [(b":status", b"200"), *fields])

    def test_table_is_bounded(self) -> None:
        """However large a table the client offers, ours is no larger than it would be without that."""
        encoder, decoder = AnswerFields(), Decoder()
        encoder.header_table_size = 2**32 - 1
        for number in range(200):
            for _ in range(2):
                field = b"x-number", b"%d" % number + bytes(200)
                block = encoder.encode([(b":status", b"200"), field])
                self.assertEqual(list(decoder.decode(block, raw=True))[-1], field)
        self.assertLessEqual(len(encoder.header_table.dynamic_entries), 4096 // 200)

    def test_said_twice(self) -> None:
        """A smaller table that is asked for twice before the next answer is said to be so (RFC 7541 section 4.2)."""
        encoder = AnswerFields()
        for _ in range(2):
            encoder.header_table_size = 60
        self.assertEqual(encoder.encode([(b":status", b"200")]), b"\x3f\x1d\x88")

    def test_short(self) -> None:
        """What is said with every answer takes a byte from its third time on; secrets are never put in the table."""
        encoder = AnswerFields()
        sizes = [len(encoder.encode([(b":status", b"200"), (b"x-content-type-options", b"nosniff")])) for _ in range(4)]
        self.assertEqual(sizes[2:], [2, 2])
        for _ in range(3):
            block = encoder.encode([(b"set-cookie", b"session=1")])
        self.assertEqual(block[0] & 0xF0, 0x10)
        self.assertNotIn(b"set-cookie", dict(encoder.header_table.dynamic_entries))
