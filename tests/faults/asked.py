"""What a client asked and what came of it: plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import astuple, frozen

LONGEST = 5.0
"""Seconds from when a request was due: who has no whole answer by then has met an error."""


@frozen
class Asked:
    """One request of the load. All times are monotonic seconds, the same clock in all processes of a machine."""

    id: str
    method: str
    due: float
    """When it was to be sent; latency counts from here."""
    done: float
    """When the answer was whole, or the trouble there."""
    status: int = 0
    """Of the answer; 0 if there was none."""
    trouble: str = ""
    """What went wrong, in a few words; empty: the expected answer, whole and right, within :data:`LONGEST`."""
    fresh: bool = False
    """Whether it was sent on a connection of its own."""
    retry_after: bool = False
    """Whether the answer said when to come again."""

    @property
    def seconds(self) -> float:
        """From when it was due to when it was over."""
        return self.done - self.due

    @property
    def good(self) -> bool:
        """Whether the expected answer came."""
        return not self.trouble


@frozen
class Told:
    """Everything that a load has to tell at its end."""

    begun: float
    asked: tuple[Asked, ...]
    not_connected: tuple[tuple[float, str], ...]
    """When a connection could not be made, and why."""
    unasked: int
    """Times that bytes came on a connection on which nothing had been asked."""

    def packed(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "begun": self.begun,
            "asked": [astuple(one) for one in self.asked],
            "not_connected": self.not_connected,
            "unasked": self.unasked,
        }

    @classmethod
    def unpacked(cls, told: dict[str, Any]) -> Told:
        """From what :meth:`packed` made."""
        return cls(
            told["begun"],
            tuple(Asked(*one) for one in told["asked"]),
            tuple((when, why) for when, why in told["not_connected"]),
            told["unasked"],
        )


def between(asked: Sequence[Asked], begin: float, end: float) -> list[Asked]:
    """Those that were due from ``begin`` until ``end``."""
    return [one for one in asked if begin <= one.due < end]
