"""Admission control: a service that fails often gets fewer requests, before any of them is tried.

Client-side throttling as in Google's Site Reliability Engineering, chapter 21, with Envoy's formula: of ``n`` requests
of which ``ok`` succeeded, ``((n - ok / success) / (n + 1)) ** (1 / aggression)`` are refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import copy

from tracseq_gateway.config.upstream import Admission

SLICES = 10
"""Parts of the window: it moves on by one of them at a time."""


class AdmissionControl:
    """One service's, in one worker."""

    def __init__(self, settings: Admission, now: Callable[[], float], random: Callable[[], float]) -> None:
        """``now`` gives seconds of a clock that never goes back; ``random`` a number from 0 to 1."""
        self._settings = settings
        self._now = now
        self._random = random
        self._slices: deque[list[float]] = deque()  # each: when it began, requests, successes
        self._requests = 0.0
        self._successes = 0.0

    def rehearsal(self, random: Callable[[], float]) -> AdmissionControl:
        """One that goes on as this one would, and counts nothing here."""
        twin = copy(self)
        twin._random = random
        twin._slices = deque(list(piece) for piece in self._slices)
        return twin

    def admits(self) -> bool:
        """Whether a request is let through."""
        share = self.refused_share()
        return share <= 0.0 or self._random() >= share

    def refused_share(self) -> float:
        """The share of requests that is refused now."""
        settings = self._settings
        self._forget(self._now())
        excess = self._requests - self._successes / settings.success
        if excess <= 0:
            return 0.0
        share: float = (excess / (self._requests + 1)) ** (1 / settings.aggression)
        return min(share, settings.max_refused)

    def ended(self, succeeded: bool) -> None:
        """A request that was let through has ended."""
        now = self._now()
        self._forget(now)
        if not self._slices or now - self._slices[-1][0] >= self._settings.window / SLICES:
            self._slices.append([now, 0.0, 0.0])
        piece = self._slices[-1]
        piece[1] += 1
        piece[2] += succeeded
        self._requests += 1
        self._successes += succeeded

    def _forget(self, now: float) -> None:
        while self._slices and now - self._slices[0][0] > self._settings.window:
            _, requests, successes = self._slices.popleft()
            self._requests -= requests
            self._successes -= successes
