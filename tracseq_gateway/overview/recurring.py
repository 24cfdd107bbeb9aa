"""What happened again and again in the last five minutes: errors by kind, clients that were refused."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

SLOT_SECONDS: Final = 10.0
SLOTS: Final = 30
MOST_KEYS: Final = 200
"""Different things that are told apart within ten seconds; beyond it, what is new is not counted."""

Key = tuple[str, str]


class Recurring:
    """Counts by key, forgotten after five minutes, in steps of ten seconds."""

    def __init__(self) -> None:
        self._slots: deque[tuple[float, Counter[Key]]] = deque(maxlen=SLOTS)

    def add(self, counts: Iterable[tuple[str, str, int]], now: float) -> None:
        """Take what was counted, by two words each, up to ``now``."""
        slot = now // SLOT_SECONDS
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append((slot, Counter()))
        counter = self._slots[-1][1]
        for one, other, count in counts:
            if (one, other) in counter or len(counter) < MOST_KEYS:
                counter[one, other] += count

    def most(self, number: int, now: float) -> list[tuple[Key, int]]:
        """What came up most often, with how often, the most frequent first."""
        together: Counter[Key] = Counter()
        for slot, counter in self._slots:
            if slot > now // SLOT_SECONDS - SLOTS:
                together.update(counter)
        return together.most_common(number)
