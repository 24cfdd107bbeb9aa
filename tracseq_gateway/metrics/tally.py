"""What requests cost to count: a few steps on plain numbers, which go to prometheus-client all at once every second.

Its own values are shared between processes by files; each ``inc`` looks at the process id, packs two numbers and writes
them, and a histogram does so twice. That would be the dearest thing that happens to a request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from prometheus_client import Histogram

Label = TypeVar("Label", bound=Hashable)


class Tally(dict[Label, int], Generic[Label]):
    """Counts by label since it was last read."""

    def __missing__(self, label: Label) -> int:
        return 0

    def taken(self) -> Iterator[tuple[Label, int]]:
        """Yield what was counted, and begin anew."""
        counts = list(self.items())
        self.clear()
        yield from counts


class Spread:
    """Observations since they were last read, by the buckets of a histogram."""

    __slots__ = ("_bounds", "_counts", "_histogram", "total")

    def __init__(self, histogram: Histogram, bounds: Sequence[float]) -> None:
        """``histogram`` is the child for its labels, with these upper ``bounds``, infinity not among them."""
        self._histogram = histogram
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Take one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def flush(self) -> None:
        """Hand over what was observed.

        prometheus-client has no way to observe many values at once; these two attributes of its histograms are what
        its own ``observe`` works on, and a test holds them to that.
        """
        counts, self._counts = self._counts, [0] * len(self._counts)
        total, self.total = self.total, 0.0
        if any(counts):
            self._histogram._sum.inc(total)
            for bucket, count in zip(self._histogram._buckets, counts, strict=True):
                if count:
                    bucket.inc(count)
