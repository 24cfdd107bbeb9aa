"""Figures that were measured, and whether they are what was promised."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from attrs import frozen

from tests.faults.asked import Asked

ABSENT = float("nan")


@frozen
class Figure:
    """One measured value, beside its limit if there is one."""

    what: str
    value: float | str
    unit: str = ""
    limit: str = ""
    """In words; empty: it is published only."""
    kept: bool = True
    """Whether the value is within the limit."""

    @property
    def text(self) -> str:
        """The value and its unit."""
        value = self.value if isinstance(self.value, str) else f"{self.value:.4g}"
        return f"{value} {self.unit}".strip()


def at_most(what: str, value: float, limit: float, unit: str = "") -> Figure:
    """A value that may not be larger; one that could not be measured (NaN) is too large."""
    return Figure(what, value, unit, f"≤ {limit:.4g} {unit}".strip(), value <= limit)


def at_least(what: str, value: float, limit: float, unit: str = "") -> Figure:
    """A value that may not be smaller; one that could not be measured (NaN) is too small."""
    return Figure(what, value, unit, f"≥ {limit:.4g} {unit}".strip(), value >= limit)


def none(what: str, count: int) -> Figure:
    """Something that may not happen."""
    return Figure(what, count, "", "0", count == 0)


def true(what: str, is_true: bool, promise: str = "yes") -> Figure:
    """Something that must be so."""
    return Figure(what, "yes" if is_true else "no", "", promise, is_true)


def noted(what: str, value: float | str, unit: str = "") -> Figure:
    """A value to publish."""
    return Figure(what, value, unit)


def percentile(asked: Sequence[Asked], share: float) -> float:
    """Seconds that at least ``share`` of these requests did not exceed (nearest rank); NaN without requests."""
    ordered = sorted(one.seconds for one in asked)
    if not ordered:
        return ABSENT
    return ordered[max(0, -(-round(share * 1000) * len(ordered) // 1000) - 1)]


def milliseconds(asked: Sequence[Asked], share: float) -> float:
    """The same in milliseconds."""
    return percentile(asked, share) * 1e3


def troubled(asked: Sequence[Asked]) -> list[Asked]:
    """Those that were errors."""
    return [one for one in asked if not one.good]


def worst(values: Sequence[float]) -> float:
    """The largest; NaN if there is none, or one could not be measured."""
    return max(values) if values and not any(map(math.isnan, values)) else ABSENT


def share(part: int, whole: int) -> float:
    """In percent; 0 of nothing."""
    return 100 * part / whole if whole else 0.0


def kinds_of_trouble(asked: Sequence[Asked]) -> str:
    """What went wrong and how often, most frequent first."""
    counts = Counter(one.trouble for one in asked if not one.good)
    return "; ".join(f"{count} x {trouble}" for trouble, count in counts.most_common(6)) or "none"
