"""Just enough of RFC 6455 for a load: short text messages, each in one frame, whose mask is four zeros.

A mask of zeros leaves the text as it is (section 5.3), so that neither the clients nor the service of the benchmark
spend their time on it; to who passes frames on it is a mask like any other.
"""

from __future__ import annotations

import base64
import hashlib

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
LONGEST = 125
TEXT = 0x81
MASKED = 0x80
NO_MASK = bytes(4)


def accept_of(key: bytes) -> bytes:
    """What Sec-WebSocket-Accept says to a key (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + MAGIC).digest())


def message(text: bytes) -> bytes:
    """A client's frame; ValueError for a text of more than 125 bytes."""
    if len(text) > LONGEST:
        raise ValueError(f"a message of {len(text)} bytes: at most {LONGEST} fit in a short frame")
    return bytes((TEXT, MASKED | len(text))) + NO_MASK + text


def echoed(data: bytes) -> tuple[bytes, bytes]:
    """The service's frames with the messages that ``data`` begins with, and what is left of it.

    ValueError for what :func:`message` did not make.
    """
    answer = b""
    while len(data) >= 6:
        size = data[1] & ~MASKED
        if data[0] != TEXT or data[1] < MASKED or size > LONGEST or data[2:6] != NO_MASK:
            raise ValueError(f"a frame that begins with {data[:6].hex()} is none of the benchmark's")
        if len(data) < 6 + size:
            break
        answer += bytes((TEXT, size)) + data[6 : 6 + size]
        data = data[6 + size :]
    return answer, data
