"""The encoders, held against decoders."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.compression_kit import DECODE, partial_decoder, samples
from tests.kit_client import slices
from tracseq_gateway.compression.encoders import encoder_makers
from tracseq_gateway.config.compression import Compression

MAKERS = encoder_makers(Compression())
CODINGS = st.sampled_from(list(MAKERS))


class EncoderTests(SynchronousTestCase):
    def test_order(self) -> None:
        """There is an encoder for each coding that is configured, in their order."""
        self.assertEqual([b"zstd", b"br", b"gzip"], list(MAKERS))
        self.assertEqual([b"gzip", b"br"], list(encoder_makers(Compression(encodings=("gzip", "br")))))

    @settings(deadline=None)
    @given(CODINGS, st.binary(max_size=5000), st.lists(st.integers(0, 5000), max_size=8))
    def test_anySplit(self, coding: bytes, data: bytes, cuts: list[int]) -> None:
        """However an answer is cut into pieces, it is decoded to the same bytes, and each piece at once."""
        encoder, decode = MAKERS[coding](), partial_decoder(coding)
        taken = encoded = decoded = b""
        for piece in slices(data, cuts):
            taken += piece
            out = encoder.encode(piece, False)
            encoded += out
            decoded += decode(out)
            self.assertEqual(taken, decoded)
        encoded += encoder.encode(b"", True)
        self.assertEqual(data, DECODE[coding](encoded))

    def test_nothing(self) -> None:
        """Nothing taken is nothing given, until the end; an empty answer has an encoding, too."""
        for coding, make in MAKERS.items():
            encoder = make()
            self.assertEqual(b"", encoder.encode(b"", False))
            self.assertEqual(b"", DECODE[coding](encoder.encode(b"", True)))

    def test_noEnd(self) -> None:
        """Without its end what came out is not a whole answer."""
        for coding, make in MAKERS.items():
            out = make().encode(samples(5000), False)
            self.assertRaises(ValueError, DECODE[coding], out)

    def test_smaller(self) -> None:
        """A JSON document of 10 kB becomes a fifth of that, or less."""
        data = samples(10_000)
        for coding, make in MAKERS.items():
            self.assertLess(len(make().encode(data, True)), len(data) / 5, coding)

    def test_levels(self) -> None:
        """Levels are what the configuration says."""
        data = samples(60_000)
        fast = encoder_makers(Compression(gzip_level=1, brotli_quality=0, zstd_level=1))
        slow = encoder_makers(Compression(gzip_level=9, brotli_quality=6, zstd_level=6))
        for coding in MAKERS:
            made = {makers[coding]().encode(data, True) for makers in (slow, fast)}
            self.assertEqual(2, len(made), coding)
            self.assertEqual({data}, set(map(DECODE[coding], made)))
