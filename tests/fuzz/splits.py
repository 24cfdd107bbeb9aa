"""How a stream is cut into reads: the cuts follow from its bytes, so that what a fuzzer finds can be replayed."""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise

from tests.kit import byte_by_byte, whole


def splits(data: bytes) -> list[list[bytes]]:
    """Cut a stream in three ways: in one read, byte by byte, and at up to eight places."""
    return [whole(data), byte_by_byte(data), somewhere(data)]


def somewhere(data: bytes) -> list[bytes]:
    """Cut a stream at up to eight places that its own bytes choose."""
    digest = blake2b(data, digest_size=16).digest()
    places = {int.from_bytes(digest[at : at + 2], "big") % (len(data) + 1) for at in range(0, 16, 2)}
    edges = [0, *sorted(places), len(data)]
    return [piece for begin, end in pairwise(edges) if (piece := data[begin:end])]


def first_head(data: bytes) -> bytes:
    """All up to the first empty line, with it; if there is none, it is put at the end."""
    return (data + b"\r\n\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
