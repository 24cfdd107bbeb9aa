"""When a dead worker's successor may start: at once, unless it dies young again and again."""

from __future__ import annotations

from typing import Final

YOUNG: Final = 5.0
"""A worker that served for less than this many seconds, or never, died young: that is a crash."""
PROVEN: Final = 60.0
"""A worker that served for this many seconds clears the record."""
LONGEST: Final = 30.0
"""The longest pause in seconds."""


class Backoff:
    """The crash record of one place.

    One crash alone is an accident, and its successor starts at once. Before the further ones there are pauses of
    1, 2, 4, 8, 16 and then 30 seconds.
    """

    def __init__(self) -> None:
        self.crashes = 0

    def died(self, served: float | None) -> float:
        """Record a death and return the seconds to wait before the next start.

        ``served`` is how long the process served, in seconds; None when it never became ready.
        """
        if served is None or served < YOUNG:
            self.crashes += 1
            return 0.0 if self.crashes == 1 else min(2.0 ** min(self.crashes - 2, 5), LONGEST)
        if served >= PROVEN:
            self.crashes = 0
        return 0.0
