"""A long message in pieces that fit into the messages of a protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

PIECE: Final = 60_000
"""Bytes of one piece, below the 65535 of an AMP value."""
MOST: Final = 16 << 20
"""Bytes of a whole message; a longer one is dropped."""


def in_pieces(message: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the pieces in order, each with whether it is the last."""
    for start in range(0, max(len(message), 1), PIECE):
        yield message[start : start + PIECE], start + PIECE >= len(message)


class Assembly:
    """Puts one message after the other together from its pieces."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def take(self, piece: bytes, last: bool) -> bytes | None:
        """Take a piece; return the message when it is whole, and None before that or when it is too long."""
        self._size += len(piece)
        if self._size <= MOST:
            self._pieces.append(piece)
        else:
            self._pieces.clear()
        if not last:
            return None
        message = b"".join(self._pieces) if self._size <= MOST else None
        self._pieces.clear()
        self._size = 0
        return message
