"""The limiter of one worker alone: exact within it, for as long as the workers cannot agree."""

from __future__ import annotations

from collections.abc import Callable

from tracseq_gateway.limits.gcra import Policy, wait
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
        shares = [self._share(policy) for policy in question.policies]
        ahead = [max(0.0, self._tats.get(key, now) - now) for key in question.keys]
        longest = max(map(wait, shares, ahead, question.units), default=0.0)
        if longest <= 0:
            for index, (key, share, units) in enumerate(zip(question.keys, shares, question.units, strict=True)):
                ahead[index] = max(0.0, ahead[index] + share.interval * units)
                self._keep(key, now + ahead[index], now)
        question.decided(max(0.0, longest), ahead)

    def _share(self, policy: Policy) -> Policy:
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

    def clear(self) -> None:
        """Forget everything: the workers agree again."""
        self._tats.clear()
