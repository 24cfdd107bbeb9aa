"""What an injector does to the bytes of one direction, and where in a piece of them it does so."""

from __future__ import annotations

from typing import Literal

from attrs import fields, frozen

Deed = Literal["stall", "cut", "reset", "half_close"]


@frozen
class Tampering:
    """Faults of one direction; without arguments there are none.

    Positions (``..._after``, ``corrupt_at``) count bytes of one connection, from its begin or from when the fault was
    set, whichever is later; -1: never.
    """

    latency: float = 0.0
    """Seconds that each piece is held back."""
    jitter: float = 0.0
    """Seconds by which that varies, up or down; the order is kept."""
    rate: int = 0
    """Bytes a second; 0: as they come."""
    slice: int = 0
    """Most bytes that are sent at once; 0: as they come."""
    stall_after: int = -1
    """Nothing is passed on any more."""
    cut_after: int = -1
    """The connection is closed in an orderly way, on both sides."""
    reset_after: int = -1
    """It is reset, on both sides."""
    half_close_after: int = -1
    """This direction ends; the other goes on."""
    corrupt_at: int = -1
    """The bits of this byte are inverted."""
    replies: str = ""
    """For a door before Redis: what stands instead of some of its replies, such as ``-LOADING wait``."""
    replies_share: float = 0.1
    """Which share of them."""

    def __attrs_post_init__(self) -> None:
        for name in ("latency", "jitter", "rate", "slice"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, and cannot be negative")

    def deed(self, passed: int, length: int) -> tuple[int, Deed | None]:
        """After ``passed`` bytes: how many of the next ``length`` still pass, and what is done then, if anything."""
        deeds: tuple[tuple[int, Deed], ...] = (
            (self.stall_after, "stall"),
            (self.cut_after, "cut"),
            (self.reset_after, "reset"),
            (self.half_close_after, "half_close"),
        )
        due = [(max(place - passed, 0), deed) for place, deed in deeds if 0 <= place < passed + length]
        return min(due) if due else (length, None)

    def corrupted(self, passed: int, data: bytes) -> bytes:
        """``data`` as it goes on after ``passed`` bytes."""
        place = self.corrupt_at - passed
        if self.corrupt_at < 0 or not 0 <= place < len(data):
            return data
        return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


NAMES = tuple(field.name for field in fields(Tampering))
