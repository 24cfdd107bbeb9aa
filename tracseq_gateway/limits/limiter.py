"""Where a worker asks whether something may be admitted, and what it remembers itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from tracseq_gateway.limits.gcra import Policy, wait
from tracseq_gateway.limits.local_store import LocalStore
from tracseq_gateway.limits.question import Question

MOST_REFUSED = 10_000
"""Keys of refused clients that are remembered; beyond it all are forgotten, and Redis is asked again."""

WhenDown = Literal["local", "open", "closed"]


class Store(Protocol):
    """Who decides for all workers."""

    @property
    def usable(self) -> bool:
        """Whether there is somebody to ask."""

    @property
    def sound(self) -> bool:
        """Whether what was asked last was answered."""

    def ask(self, question: Question) -> None:
        """Answer soon, or say that there is no answer."""


class Limiter:
    """One worker's access to the limits that all workers share.

    A key that was refused is remembered until it may come again, so that a flood from one client costs no call.
    """

    def __init__(self, shared: Store, local: LocalStore, seconds: Callable[[], float]) -> None:
        """``seconds`` is a clock that never goes back."""
        self._shared = shared
        self.local = local
        self.seconds = seconds
        self._refused: dict[bytes, float] = {}
        self.outcomes: Counter[str] = Counter()
        """What became of requests: ``admitted`` or ``refused`` by all workers' limits, ``remembered`` (refused without
        asking); when Redis was away, decided by this worker's own limits (``local``), or let pass (``open``) or refused
        (``closed``) without any."""

    @property
    def shared(self) -> bool:
        """Whether the workers agree at the moment."""
        return self._shared.sound

    def ask(self, question: Question) -> None:
        """Ask for all workers; the question is told when that is not possible."""
        if self._shared.usable:
            self._shared.ask(question)
        else:
            question.undecided()

    def refused(self, keys: Sequence[bytes]) -> list[tuple[int, float]]:
        """The keys that are known to be refused: where they stand, and for how many microseconds."""
        refused = self._refused
        if not refused:
            return []
        found = []
        for index, key in enumerate(keys):
            until = refused.get(key)
            if until is not None:
                left = until - self.seconds()
                if left <= 0:
                    del refused[key]
                else:
                    found.append((index, left * 1e6))
        return found

    def remember(self, question: Question, ahead: Sequence[float]) -> None:
        """Remember which limits refused a question, until they admit one request again."""
        for key, policy, units, reset in zip(question.keys, question.policies, question.units, ahead, strict=True):
            microseconds = wait(policy, reset, 1)
            if units > 0 and microseconds > 0:
                if len(self._refused) >= MOST_REFUSED:
                    self._refused.clear()
                self._refused[key] = self.seconds() + microseconds / 1e6

    def forget(self, keys: Sequence[bytes]) -> None:
        """Ask again for these keys: something was given back."""
        for key in keys:
            self._refused.pop(key, None)


class Charge:
    """A question that nobody waits for: what came later is charged, whether it fits or not, or given back."""

    __slots__ = ("_limiter", "keys", "policies", "units")

    def __init__(
        self, limiter: Limiter, keys: Sequence[bytes], policies: Sequence[Policy], units: Sequence[int]
    ) -> None:
        self._limiter = limiter
        self.keys = keys
        self.policies = [policy.debt for policy in policies]
        self.units = units

    def decided(self, wait: float, ahead: Sequence[float]) -> None:
        """See :class:`Question`: it is charged."""

    def undecided(self) -> None:
        """See :class:`Question`: the worker's own limits take it."""
        self._limiter.local.ask(_Noted(self))


class _Noted:
    """The same, asked of a store that always decides."""

    __slots__ = ("keys", "policies", "units")

    def __init__(self, charge: Charge) -> None:
        self.keys, self.policies, self.units = charge.keys, charge.policies, charge.units

    def decided(self, wait: float, ahead: Sequence[float]) -> None:
        """Done."""

    def undecided(self) -> None:
        """Never called."""
