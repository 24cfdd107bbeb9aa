"""What the tests of compression share: decoders, and answers to compress."""

from __future__ import annotations

import importlib
import json
import zlib
from collections.abc import Callable
from typing import Any

import brotli

from tracseq_gateway.config.compression import ZSTD_MODULE

ZSTD = importlib.import_module(ZSTD_MODULE)


def gunzip(data: bytes) -> bytes:
    """Decode a whole gzip stream; raises ValueError for one without its end."""
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    decoded = decoder.decompress(data) + decoder.flush()
    if not decoder.eof or decoder.unused_data:
        raise ValueError("not one whole gzip stream")
    return decoded


def unbrotli(data: bytes) -> bytes:
    """Decode a whole Brotli stream; raises ValueError for one without its end."""
    decoder = brotli.Decompressor()
    decoded: bytes = decoder.process(data)
    if not decoder.is_finished():
        raise ValueError("not one whole Brotli stream")
    return decoded


def unzstd(data: bytes) -> bytes:
    """Decode a whole Zstandard frame; raises ValueError for one without its end."""
    decoder = ZSTD.ZstdDecompressor()
    decoded: bytes = decoder.decompress(data)
    if not decoder.eof or decoder.unused_data:
        raise ValueError("not one whole Zstandard frame")
    return decoded


DECODE: dict[bytes, Callable[[bytes], bytes]] = {b"gzip": gunzip, b"br": unbrotli, b"zstd": unzstd}
"""By the name of the coding."""


def partial_decoder(coding: bytes) -> Callable[[bytes], bytes]:
    """What decodes piece by piece, and gives all that can be had of what came."""
    if coding == b"gzip":
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress
    decoder: Any = brotli.Decompressor() if coding == b"br" else ZSTD.ZstdDecompressor()
    decode: Callable[[bytes], bytes] = decoder.process if coding == b"br" else decoder.decompress
    return decode


def samples(size: int) -> bytes:
    """A JSON document of about so many bytes, as the services give them."""
    one = {"sample_type": "DNA", "status": "validated", "concentration": 12.5, "unit": "ng/uL", "notes": None}
    listed = [{"id": number, "barcode": f"TS-{number * 7919 % 99991:05d}", **one} for number in range(size // 115 + 1)]
    return json.dumps({"samples": listed}).encode("ascii")


JSON = (b"content-type", b"application/json")
