"""WebSocket as an intermediary meets it (RFC 6455): the handshake, and where frames end."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

from tracseq_gateway.errors import BAD_REQUEST, UPGRADE_REQUIRED, GatewayError
from tracseq_gateway.http.request_head import RequestHead

WEBSOCKET: Final = b"websocket"


def close_frame(status: int, reason: bytes = b"") -> bytes:
    """A Close frame as a server sends it (section 5.5.1); ``reason`` has at most 123 bytes of UTF-8."""
    payload = status.to_bytes(2, "big") + reason
    return b"\x88%c%b" % (len(payload), payload)


GOING_AWAY: Final = close_frame(1001)
"""The endpoint is going away (section 7.4.1)."""
POLICY_VIOLATION: Final = 1008
"""The status for which there is none that fits better: whoever speaks may not do so, or not any more."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_CLOSE: Final = 8
"""The opcode of a Close frame."""

_SHORT: Final = 2
"""Bytes of a frame's head that say how long the head is."""


def handshake_fault(head: RequestHead) -> GatewayError | None:
    """What is wrong with a request to open a WebSocket (section 4.2.1); None when nothing is."""
    if head.method != b"GET":
        return GatewayError(BAD_REQUEST, "a WebSocket is opened with GET")
    versions = _values(head, b"sec-websocket-version")
    if versions != [b"13"]:
        return GatewayError(UPGRADE_REQUIRED, "only version 13 of WebSocket is spoken here")
    keys = _values(head, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return GatewayError(BAD_REQUEST, "a WebSocket needs one Sec-WebSocket-Key of 16 bytes in base64")
    return None


def accept_of(head: RequestHead) -> bytes:
    """What Sec-WebSocket-Accept must say to a request whose handshake is sound (section 4.2.2)."""
    key = head.get(b"sec-websocket-key") or b""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _values(head: RequestHead, name: bytes) -> list[bytes]:
    return [line.value for line in head.fields.received if line.name == name]


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


class FrameEnds:
    """Follows one direction of a WebSocket so far that it is known where a frame ends: a Close may be put there."""

    __slots__ = ("_head", "_left", "closed")

    def __init__(self) -> None:
        self.closed = False
        """Whether a Close frame has begun: nothing may follow it."""
        self._head = b""
        """What has come of the head of the frame that begins."""
        self._left = 0
        """Bytes of payload that are still to come."""

    @property
    def between(self) -> bool:
        """Whether the last byte was the end of a frame, or none has begun."""
        return not self._left and not self._head

    def feed(self, data: bytes, *, to_end: bool = False) -> int:
        """Follow ``data``; return how many bytes of it: all, or with ``to_end`` those up to the end of a frame."""
        position, size = 0, len(data)
        while position < size:
            if self._left:
                step = min(self._left, size - position)
                self._left -= step
                position += step
            elif not self._head and position + 1 < size and data[position + 1] < 126:
                # Short and not masked, as most of a server's are.
                self.closed = self.closed or data[position] & 0x0F == _CLOSE
                self._left = data[position + 1]
                position += _SHORT
            else:
                position += self._take_head(data, position)
            if to_end and self.between:
                break
        return position

    def _take_head(self, data: bytes, position: int) -> int:
        """Take bytes of a frame's head, as many as there are and are needed; return how many."""
        taken = 0
        while True:
            head = self._head
            missing = _head_size(head) - len(head)
            if not missing:
                self._head, self._left = b"", _payload_size(head)
                self.closed = self.closed or head[0] & 0x0F == _CLOSE
                return taken
            piece = data[position + taken : position + taken + missing]
            if not piece:
                return taken
            self._head = head + piece
            taken += len(piece)


def _head_size(head: bytes) -> int:
    """Bytes of a frame's head, as far as its first two tell (section 5.2)."""
    if len(head) < _SHORT:
        return _SHORT
    length = head[1] & 0x7F
    return _SHORT + (8 if length == 127 else 2 if length == 126 else 0) + (4 if head[1] & 0x80 else 0)


def _payload_size(head: bytes) -> int:
    length = head[1] & 0x7F
    if length < 126:
        return length
    return int.from_bytes(head[2:10] if length == 127 else head[2:4], "big")
