"""Which instance takes a request. A policy is one method over the instances that may take one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Candidate(Protocol):
    """What a policy knows of an instance."""

    weight: int
    in_flight: int
    """Requests under way to it from this worker."""
    current_weight: int
    """Kept by the smooth weighted policy."""


class Policy(Protocol):
    """Chooses among candidates."""

    def choose(self, candidates: Sequence[Candidate]) -> int:
        """Return the index of one; there is at least one."""


class RoundRobin:
    """One after the other."""

    def __init__(self) -> None:
        self._turn = -1

    def choose(self, candidates: Sequence[Candidate]) -> int:
        """See :class:`Policy`."""
        self._turn = turn = (self._turn + 1) % len(candidates)
        return turn


class SmoothWeighted:
    """By weight, spread evenly over time (nginx's algorithm): 5, 1, 1 gives a a b a c a a.

    Each choice raises every candidate by its weight, takes the highest, and lowers that one by the sum.
    """

    def choose(self, candidates: Sequence[Candidate]) -> int:
        """See :class:`Policy`."""
        total = 0
        best = 0
        for index, candidate in enumerate(candidates):
            candidate.current_weight += candidate.weight
            total += candidate.weight
            if candidate.current_weight > candidates[best].current_weight:
                best = index
        candidates[best].current_weight -= total
        return best


class LeastConnections:
    """The one with the fewest requests under way for its weight; equals take turns."""

    def __init__(self) -> None:
        self._turn = -1

    def choose(self, candidates: Sequence[Candidate]) -> int:
        """See :class:`Policy`."""
        count = len(candidates)
        self._turn = first = (self._turn + 1) % count
        best = first
        for step in range(1, count):
            index = (first + step) % count
            candidate, leader = candidates[index], candidates[best]
            if candidate.in_flight * leader.weight < leader.in_flight * candidate.weight:
                best = index
        return best


POLICIES: dict[str, Callable[[], Policy]] = {
    "round_robin": RoundRobin,
    "weighted_round_robin": SmoothWeighted,
    "least_connections": LeastConnections,
}
"""By the name that the configuration uses."""
