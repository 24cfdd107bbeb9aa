"""The limiter of one worker alone: exact within it, for as long as the workers cannot agree."""

from __future__ import annotations

from collections.abc import Callable

from tracseq_gateway.limits.gcra import Policy, decide
from tracseq_gateway.limits.question import Question

MOST_KEYS = 100_000
"""Keys that are remembered; beyond it those that were written first are forgotten."""


class LocalStore:
    """Keeps the TATs of one worker, which gives out its share of each limit."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """``seconds`` is a clock that never goes back."""
        self._workers = 1
        self._seconds = seconds
        self._tats: dict[bytes, float] = {}
        self._shares: dict[Policy, Policy] = {}

    def __len__(self) -> int:
        return len(self._tats)

    def share_among(self, workers: int) -> None:
        """Give out only the share of one of so many workers."""
        if workers != self._workers:
            self._workers = workers
            self._shares.clear()

    def ask(self, question: Question) -> None:
        """Decide at once."""
        now = self._seconds() * 1e6
        shares = [self.share(policy) for policy in question.policies]
        before = [max(0.0, self._tats.get(key, now) - now) for key in question.keys]
        longest, ahead = decide(shares, before, question.units)
        if not longest:
            for key, reset in zip(question.keys, ahead, strict=True):
                self._keep(key, now + reset, now)
        question.decided(longest, ahead)

    def share(self, policy: Policy) -> Policy:
        """The part of a limit that this worker gives out."""
        share = self._shares.get(policy)
        if share is None:
            share = self._shares[policy] = policy.share(self._workers)
        return share

    def _keep(self, key: bytes, tat: float, now: float) -> None:
        tats = self._tats
        if key not in tats and len(tats) >= MOST_KEYS:
            self._tats = tats = {key: tat for key, tat in tats.items() if tat > now}
            while len(tats) >= MOST_KEYS:
                del tats[next(iter(tats))]
        tats[key] = tat

    def take_over(self, other: LocalStore) -> None:
        """Go on from where another one is, which stays as it is."""
        self._workers, self._tats = other._workers, dict(other._tats)

    def clear(self) -> None:
        """Forget everything: the workers agree again."""
        self._tats.clear()
