"""Percentiles of what is known only by buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

SHOWN: Final = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


def quantile(bounds: Sequence[float], counts: Mapping[int, int], share: float) -> float | None:
    """The value that ``share`` of all values do not exceed; None when there are none.

    ``counts`` are by the index of a bucket, whose upper bounds are ``bounds`` in rising order; the index behind the
    last is that of the values beyond. Within a bucket the values are taken to lie evenly, and for one beyond the last
    bound that bound is given, as ``histogram_quantile`` of Prometheus does.
    """
    rank = share * sum(counts.values())
    if not rank:
        return None
    below = 0
    for index in sorted(counts):
        if index >= len(bounds):
            break
        if below + counts[index] >= rank:
            low = bounds[index - 1] if index else 0.0
            return low + (bounds[index] - low) * (rank - below) / counts[index]
        below += counts[index]
    return bounds[-1]


def in_milliseconds(bounds: Sequence[float], counts: Mapping[int, int]) -> dict[str, float | None]:
    """The percentiles that are shown, in milliseconds, of durations in seconds."""
    values = {name: quantile(bounds, counts, share) for name, share in SHOWN.items()}
    return {name: None if value is None else round(value * 1000, 3) for name, value in values.items()}
