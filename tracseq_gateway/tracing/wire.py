"""The little of Protocol Buffers that OTLP needs (https://protobuf.dev/programming-guides/encoding/), and no more.

A message is the bytes of its fields, one after the other; a tag is a field's number and the kind of its value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_FIXED = {_FIXED64: 8, _FIXED32: 4}

_pack_64 = struct.Struct("<Q").pack
_pack_32 = struct.Struct("<I").pack


def varint(number: int) -> bytes:
    """Write an integer of at least 0."""
    if number < 0x80:
        return b"%c" % number
    if number < 0x4000:
        return b"%c%c" % (number & 0x7F | 0x80, number >> 7)
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def tag(field: int, kind: int = _BYTES) -> bytes:
    """Write the tag of a field; for bytes, text and messages if nothing else is said."""
    return varint(field << 3 | kind)


def sized(data: bytes) -> bytes:
    """Write bytes, text or a message behind its tag: with the length in front."""
    return varint(len(data)) + data


def integer(field: int, number: int) -> bytes:
    """Write a field of an integer or an enumeration, at least 0."""
    return tag(field, _VARINT) + varint(number)


def fixed64(field: int, number: int) -> bytes:
    """Write a field of 64 bits."""
    return tag(field, _FIXED64) + _pack_64(number)


def fixed32(field: int, number: int) -> bytes:
    """Write a field of 32 bits."""
    return tag(field, _FIXED32) + _pack_32(number)


def block(field: int, data: bytes) -> bytes:
    """Write a field of bytes, text or a message."""
    return tag(field) + sized(data)


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Read a message: the number of each field and its value, fixed ones as bytes. Raises ValueError for nonsense."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            number, at = _read_varint(message, at)
            yield key >> 3, number
            continue
        if kind == _BYTES:
            length, at = _read_varint(message, at)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise ValueError(f"a field of kind {kind}")
        if at + length > len(message):
            raise ValueError("a field beyond the end of its message")
        yield key >> 3, message[at : at + length]
        at += length


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = 0
    for place, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    raise ValueError("an integer without an end")
