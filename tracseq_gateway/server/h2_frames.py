"""Cuts what a connection receives into frames (RFC 9113 section 4), and bounds them before anybody looks inside.

h2 waits for the whole of a frame before it says that the frame is too long, and takes up all frames that it is given
at once. It is given one at a time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from h2.errors import ErrorCodes

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with (RFC 9113 section 3.4)."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4

LONGEST_FRAME = 16384
"""Bytes of a frame's payload, as SETTINGS_MAX_FRAME_SIZE says from the start."""
_FRAME_HEAD = 9


FAULTS: Final = (
    ErrorCodes.PROTOCOL_ERROR,
    ErrorCodes.FLOW_CONTROL_ERROR,
    ErrorCodes.SETTINGS_TIMEOUT,
    ErrorCodes.STREAM_CLOSED,
    ErrorCodes.FRAME_SIZE_ERROR,
    ErrorCodes.COMPRESSION_ERROR,
    ErrorCodes.ENHANCE_YOUR_CALM,
)
"""Why connections are ended that are not in order."""


class ConnectionFault(Exception):
    """The client broke a rule of the connection, which ends with this error code (RFC 9113 section 5.4.1)."""

    def __init__(self, code: ErrorCodes, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Frame(NamedTuple):
    """A whole frame."""

    kind: int
    flags: int
    stream: int
    size: int
    """Bytes of its payload."""
    raw: bytes


class FrameReader:
    """Takes bytes as they come, and gives frames."""

    __slots__ = ("_at", "_block", "_data", "_most_block", "_preface")

    def __init__(self, most_block: int) -> None:
        """``most_block``: bytes of a header block, over all frames that it is sent in."""
        self._most_block = most_block
        self._preface = PREFACE
        self._data = b""
        self._at = 0
        """Where in the data the next frame begins."""
        self._block = 0
        """Bytes of the header block that is not whole yet, its frames' heads counted as well; 0: none."""

    @property
    def in_head(self) -> bool:
        """Whether the beginning of a header block has come, and not yet its end."""
        at = self._at + 3
        return self._block > 0 or self._data[at : at + 1] in (b"\1", b"\x09")

    def add(self, data: bytes) -> None:
        """More bytes came."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0
        if self._preface:
            self._take_preface()

    def _take_preface(self) -> None:
        size = min(len(self._preface), len(self._data))
        if self._data[:size] != self._preface[:size]:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "no HTTP/2 preface")
        self._preface = self._preface[size:]
        self._at = size

    def take(self) -> Frame | None:
        """Return the next frame, or None if it is not whole; raises :class:`ConnectionFault`."""
        data, at = self._data, self._at
        body = at + _FRAME_HEAD
        if len(data) < body:
            return None
        size = int.from_bytes(data[at : at + 3], "big")
        if size > LONGEST_FRAME:
            raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
        end = body + size
        if len(data) < end:
            return None
        kind, flags = data[at + 3], data[at + 4]
        stream = int.from_bytes(data[at + 5 : body], "big") & 0x7FFFFFFF
        if kind in (HEADERS, CONTINUATION):
            self._bound_block(flags, size + _FRAME_HEAD)
        self._at = end
        return Frame(kind, flags, stream, size, data[at:end])

    def _bound_block(self, flags: int, size: int) -> None:
        self._block += size
        if self._block > self._most_block:
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "a header block without an end")
        if flags & END_HEADERS:
            self._block = 0


def goaway(last_stream: int, code: int = ErrorCodes.NO_ERROR) -> bytes:
    """A GOAWAY frame (RFC 9113 section 6.8). That of h2 ends the connection; this one lets open streams go on."""
    return b"\0\0\x08\x07\0\0\0\0\0%b%b" % (last_stream.to_bytes(4, "big"), code.to_bytes(4, "big"))
