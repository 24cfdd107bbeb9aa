"""Which instance takes a request. A policy is one method over the instances that may take one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from math import exp
from typing import Protocol

from tracseq_gateway.interfaces import Request

FULL_SCAN = 8
"""Below so many candidates all are looked at: of two random ones out of two, the busier is taken in a quarter of the
cases."""
DECAY_SECONDS = 10.0
"""How fast an average of latencies forgets."""


class Candidate(Protocol):
    """What a policy knows of an instance."""

    url: str
    weight: int
    in_flight: int
    """Requests under way to it from this worker."""
    current_weight: int
    """Kept by the smooth weighted policy."""
    latency: float
    """The moving average, in seconds; 0 before the first answer."""
    measured: float
    """When ``latency`` was last brought up to date."""


class Policy(Protocol):
    """Chooses among candidates."""

    def choose(self, candidates: Sequence[Candidate], request: Request | None = None) -> int:
        """Return the index of one; there is at least one. ``request`` is None for the gateway's own errands."""


def copied(policy: Policy, random: Callable[[], float]) -> Policy:
    """One that chooses as ``policy`` would from now on, with its own numbers from ``random``; that one stays as it is.

    A policy keeps its state in its attributes: what it counts, where it draws, and policies that it leans on.
    """
    twin = copy(policy)
    for name, value in vars(policy).items():
        if name == "_random":
            setattr(twin, name, random)
        elif hasattr(value, "choose"):
            setattr(twin, name, copied(value, random))
    return twin


class RoundRobin:
    """One after the other."""

    def __init__(self) -> None:
        self._turn = -1

    def choose(self, candidates: Sequence[Candidate], request: Request | None = None) -> int:
        """See :class:`Policy`."""
        self._turn = turn = (self._turn + 1) % len(candidates)
        return turn


class SmoothWeighted:
    """By weight, spread evenly over time (nginx's algorithm): 5, 1, 1 gives a a b a c a a.

    Each choice raises every candidate by its weight, takes the highest, and lowers that one by the sum.
    """

    def choose(self, candidates: Sequence[Candidate], request: Request | None = None) -> int:
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

    def choose(self, candidates: Sequence[Candidate], request: Request | None = None) -> int:
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


class PowerOfTwo:
    """Of two at random the one with fewer requests under way for its weight; of few, the best of all.

    Mitzenmacher, The Power of Two Choices in Randomized Load Balancing (2001).
    """

    def __init__(self, random: Callable[[], float]) -> None:
        """``random`` gives a number from 0 to 1, 1 excluded."""
        self._random = random
        self._scan = LeastConnections()

    def choose(self, candidates: Sequence[Candidate], request: Request | None = None) -> int:
        """See :class:`Policy`."""
        if len(candidates) < FULL_SCAN:
            return self._scan.choose(candidates)
        one, other = two_of(len(candidates), self._random)
        first, second = candidates[one], candidates[other]
        return other if (second.in_flight + 1) * first.weight < (first.in_flight + 1) * second.weight else one


class Ewma:
    """The one whose answers come soonest: by its average latency, times the requests that it has under way.

    An average fades while nobody measures, so that an instance that was slow is tried again. Who has none yet counts
    as the fastest of the others.
    """

    def __init__(self, random: Callable[[], float], now: Callable[[], float]) -> None:
        """``random`` gives a number from 0 to 1, 1 excluded; ``now`` seconds of a clock that never goes back."""
        self._random = random
        self._now = now
        self._turn = -1

    def choose(self, candidates: Sequence[Candidate], request: Request | None = None) -> int:
        """See :class:`Policy`."""
        count = len(candidates)
        if count < FULL_SCAN:
            self._turn = first = (self._turn + 1) % count
            chosen = [(first + step) % count for step in range(count)]
        else:
            chosen = list(two_of(count, self._random))
        now = self._now()
        faded = {index: fade(candidates[index], now) for index in chosen}
        unknown = min((latency for latency in faded.values() if latency), default=1.0)
        return min(
            chosen,
            key=lambda index: (faded[index] or unknown) * (candidates[index].in_flight + 1) / candidates[index].weight,
        )


def fade(candidate: Candidate, now: float) -> float:
    """A candidate's average latency, as it has faded since it was measured; 0 if it never was."""
    return candidate.latency * exp((candidate.measured - now) / DECAY_SECONDS)


def measure(candidate: Candidate, seconds: float, now: float) -> None:
    """Take a latency into a candidate's average: what was measured later counts more, by e for ten seconds."""
    if candidate.latency:
        kept = exp((candidate.measured - now) / DECAY_SECONDS)
        candidate.latency = candidate.latency * kept + seconds * (1 - kept)
    else:
        candidate.latency = seconds
    candidate.measured = now


def two_of(count: int, random: Callable[[], float]) -> tuple[int, int]:
    """Draw two different indexes."""
    one = int(random() * count)
    other = int(random() * (count - 1))
    return one, other + (other >= one)
