"""The chunked transfer coding, read strictly (RFC 9112 section 7.1).

Rules:

1. Exactly CRLF ends a line; nothing else does, and a size is hex digits at once followed by CRLF or an extension.
2. Extensions are checked for syntax (no white space, which RFC 9112 calls bad), bounded, and dropped.
3. Trailer fields are checked for syntax, bounded, and dropped: none is ever merged into the head.
4. What the decoder holds back between two calls is bounded by the longest line that it accepts.
"""

from __future__ import annotations

import re

MAX_SIZE_DIGITS = 15
"""Chunks below 2**60 bytes."""
MAX_EXTENSION = 1024
"""Bytes of one chunk's extensions."""
MAX_EXTENSIONS = 16 * 1024
"""Bytes of all extensions of a message."""
MAX_TRAILERS = 100
MAX_TRAILER_BYTES = 64 * 1024

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,%d})((?:;%b(?:=(?:%b|%b))?)*)" % (MAX_SIZE_DIGITS, _TOKEN, _TOKEN, _QUOTED)
).fullmatch
_TRAILER_LINE = re.compile(rb"%b:[\t \x21-\x7e\x80-\xff]*" % _TOKEN).fullmatch

_MAX_LINE = MAX_SIZE_DIGITS + MAX_EXTENSION

_SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)


class BadChunk(ValueError):
    """The coding is broken; the text says how. The message cannot be trusted further."""


class ChunkedDecoder:
    """Decodes one message body.

    :meth:`feed` takes bytes in any split and returns the body bytes among them. Once ``done``, ``surplus`` holds what
    came after the message.
    """

    __slots__ = ("_extension_bytes", "_left", "_pending", "_state", "_trailer_bytes", "_trailers", "done", "surplus")

    def __init__(self) -> None:
        self.done = False
        self.surplus = b""
        self._state = _SIZE
        self._left = 0
        self._pending = b""
        self._extension_bytes = 0
        self._trailers = 0
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """Decode more bytes; raises :class:`BadChunk`."""
        if self._pending:
            data = self._pending + data
            self._pending = b""
        body: list[bytes] = []
        at = 0
        end = len(data)
        while at < end and self._state is not _DONE:
            if self._state is _DATA:
                taken = min(self._left, end - at)
                body.append(data[at : at + taken])
                at += taken
                self._left -= taken
                if self._left:
                    break
                self._state = _DATA_END
            elif self._state is _DATA_END:
                if end - at < 2:
                    if data[at:] != b"\r":
                        raise BadChunk("a chunk's data does not end where its size says")
                    break
                if data[at : at + 2] != b"\r\n":
                    raise BadChunk("a chunk's data does not end where its size says")
                at += 2
                self._state = _SIZE
            else:
                found = data.find(b"\r\n", at)
                if found < 0:
                    self._check_partial(data[at:])
                    break
                self._line(data[at:found])
                at = found + 2
        if self._state is _DONE:
            self.done = True
            self.surplus = data[at:]
        elif at < end:
            self._pending = data[at:]
        return body[0] if len(body) == 1 else b"".join(body)

    def _line(self, line: bytes) -> None:
        """Take one whole line: a chunk's size or a trailer field."""
        if self._state is _TRAILER:
            self._trailer(line)
            return
        match = _SIZE_LINE(line) if len(line) <= _MAX_LINE else None
        if match is None:
            raise BadChunk("a malformed chunk size or extension")
        self._extension_bytes += len(match[2])
        if len(match[2]) > MAX_EXTENSION or self._extension_bytes > MAX_EXTENSIONS:
            raise BadChunk("chunk extensions too large")
        self._left = int(match[1], 16)
        self._state = _DATA if self._left else _TRAILER

    def _trailer(self, line: bytes) -> None:
        if not line:
            self._state = _DONE
            return
        self._trailers += 1
        self._trailer_bytes += len(line) + 2
        if self._trailers > MAX_TRAILERS or self._trailer_bytes > MAX_TRAILER_BYTES:
            raise BadChunk("too many trailer fields")
        if _TRAILER_LINE(line) is None:
            raise BadChunk("a malformed trailer field")

    def _check_partial(self, line: bytes) -> None:
        """Refuse at once a line that no further byte can make good, so that garbage is not waited for."""
        if self._state is _TRAILER:
            if len(line) + self._trailer_bytes > MAX_TRAILER_BYTES:
                raise BadChunk("too many trailer fields")
        elif len(line) > _MAX_LINE + line.endswith(b"\r"):
            raise BadChunk("chunk extensions too large")
        elif line[:1] not in _HEX:
            raise BadChunk("a malformed chunk size or extension")
        if b"\n" in line or b"\r" in line[:-1]:
            raise BadChunk("a line that does not end with CRLF")


_HEX = frozenset(bytes((byte,)) for byte in b"0123456789abcdefABCDEF")
