"""Encoders of the content codings (RFC 9110 section 8.4.1, RFC 7932, RFC 8878): gzip, Brotli, Zstandard.

A window of 256 KiB (32 for gzip) and the bounds on the levels keep one encoder within about a megabyte: a worker has as
many of them as answers are under way. The libraries let go of the interpreter while they work, so that a thread gets a
CPU of its own.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tracseq_gateway.config.compression import ZSTD_MODULE, Compression

_WINDOW_BITS = 18
_GZIP_FORMAT = 16 + zlib.MAX_WBITS


class Encoder(Protocol):
    """Encodes one answer."""

    def encode(self, data: bytes, done: bool) -> bytes:
        """Take more of the answer and return all that a decoder needs to have it back; ``done`` ends it.

        Nothing given is nothing returned, unless it is the end. May be called in a thread, one call at a time.
        """


class GzipEncoder:
    """An :class:`Encoder` for ``gzip``."""

    __slots__ = ("_stream",)

    def __init__(self, level: int) -> None:
        self._stream = zlib.compressobj(level, zlib.DEFLATED, _GZIP_FORMAT)

    def encode(self, data: bytes, done: bool) -> bytes:
        """See :class:`Encoder`."""
        if not data and not done:
            return b""
        return self._stream.compress(data) + self._stream.flush(zlib.Z_FINISH if done else zlib.Z_SYNC_FLUSH)


class BrotliEncoder:
    """An :class:`Encoder` for ``br``."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Any) -> None:
        """``stream``: a ``brotli.Compressor``."""
        self._stream = stream

    def encode(self, data: bytes, done: bool) -> bytes:
        """See :class:`Encoder`."""
        if not data and not done:
            return b""
        begun: bytes = self._stream.process(data)
        rest: bytes = self._stream.finish() if done else self._stream.flush()
        return begun + rest


class ZstandardEncoder:
    """An :class:`Encoder` for ``zstd``."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Any) -> None:
        """``stream``: a ``ZstdCompressor`` of Python's ``compression.zstd``, or of its backport."""
        self._stream = stream

    def encode(self, data: bytes, done: bool) -> bytes:
        """See :class:`Encoder`."""
        if not data and not done:
            return b""
        encoded: bytes = self._stream.compress(data, self._stream.FLUSH_FRAME if done else self._stream.FLUSH_BLOCK)
        return encoded


def encoder_makers(settings: Compression) -> Mapping[bytes, Callable[[], Encoder]]:
    """What makes a new encoder for each coding that is configured, by its name, the preferred one first.

    Raises ImportError when a library is missing, which the check of a configuration finds out before.
    """
    return {name.encode("ascii"): _LIBRARIES[name](settings) for name in settings.encodings}


def _gzip(settings: Compression) -> Callable[[], Encoder]:
    level = settings.gzip_level
    return lambda: GzipEncoder(level)


def _brotli(settings: Compression) -> Callable[[], Encoder]:
    make, quality = importlib.import_module("brotli").Compressor, settings.brotli_quality
    return lambda: BrotliEncoder(make(quality=quality, lgwin=_WINDOW_BITS))


def _zstandard(settings: Compression) -> Callable[[], Encoder]:
    library = importlib.import_module(ZSTD_MODULE)
    parameter = library.CompressionParameter
    options = {parameter.compression_level: settings.zstd_level, parameter.window_log: _WINDOW_BITS}
    return lambda: ZstandardEncoder(library.ZstdCompressor(options=options))


_LIBRARIES: Mapping[str, Callable[[Compression], Callable[[], Encoder]]] = {
    "gzip": _gzip,
    "br": _brotli,
    "zstd": _zstandard,
}
