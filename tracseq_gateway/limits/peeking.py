"""Asks the limits without being counted: what a request would be told, were it to come now.

The stores and their arithmetic are those that requests are held to. From Redis the state is read by the same script,
with nothing asked for (see ``gcra``: ``q = 0`` asks without taking); the local state is a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from tracseq_gateway.limits import gcra
from tracseq_gateway.limits.gcra import Policy, decide
from tracseq_gateway.limits.limiter import Limiter, Store
from tracseq_gateway.limits.local_store import LocalStore
from tracseq_gateway.limits.question import Question


@frozen
class Peeked:
    """What one limit would have said."""

    key: bytes
    policy: Policy
    """In the worker's own store, its share of the limit."""
    units: float
    """What the request would take."""
    before: float
    """How far ahead the TAT is now, in microseconds."""
    after: float
    """And if the request came: as it is now, when it is refused."""
    wait: float
    """How many microseconds the request would have to wait because of this limit; 0: not at all."""
    alone: bool
    """Whether this worker alone decided, because Redis is away."""


class PeekingLimiter(Limiter):
    """Stands in for a limiter: what is asked of it is answered as there, and changes nothing there.

    What it was asked is in :attr:`peeked`, and what it came to in :attr:`outcomes`.
    """

    def __init__(self, limiter: Limiter, store: Store, reader: Store) -> None:
        """``store`` is the one that all workers share, ``reader`` another way to what is in it, that nobody counts."""
        self.peeked: list[Peeked] = []
        self.remembered: list[tuple[bytes, float]] = []
        """Keys that were found refused without asking, and for how many seconds they still are."""
        local = _PeekedLocal(limiter.seconds, self.peeked)
        local.take_over(limiter.local)
        super().__init__(_PeekedStore(store, reader, self.peeked), local, limiter.seconds)
        self._refused = dict(limiter._refused)

    def refused(self, keys: Sequence[bytes]) -> list[tuple[int, float]]:
        """See :class:`Limiter`."""
        found = super().refused(keys)
        self.remembered += [(keys[index], left / 1e6) for index, left in found]
        return found


class _PeekedStore:
    """The shared store, of which nothing is taken."""

    def __init__(self, store: Store, reader: Store, peeked: list[Peeked]) -> None:
        self._store = store
        self._reader = reader
        self._peeked = peeked

    @property
    def usable(self) -> bool:
        return self._store.usable

    @property
    def sound(self) -> bool:
        return self._store.sound

    def ask(self, question: Question) -> None:
        self._reader.ask(_Unpaid(question, question.policies, self._peeked, alone=False))


class _PeekedLocal(LocalStore):
    """A copy of the worker's own store."""

    def __init__(self, seconds: Callable[[], float], peeked: list[Peeked]) -> None:
        super().__init__(seconds)
        self._peeked = peeked

    def ask(self, question: Question) -> None:
        shares = [self.share(policy) for policy in question.policies]
        super().ask(_Unpaid(question, shares, self._peeked, alone=True))


class _Unpaid:
    """A question that takes nothing: it only learns how far ahead the TATs are, and decides here."""

    def __init__(self, question: Question, held_to: Sequence[Policy], peeked: list[Peeked], *, alone: bool) -> None:
        self._question = question
        self._held_to = held_to
        self._peeked = peeked
        self._alone = alone
        self.keys, self.policies = question.keys, question.policies
        self.units = (0,) * len(question.keys)

    def decided(self, wait: float, ahead: Sequence[float]) -> None:
        units = self._question.units
        longest, after = decide(self._held_to, ahead, units)
        self._peeked += [
            Peeked(key, policy, count, now, then, gcra.wait(policy, now, count), self._alone)
            for key, policy, count, now, then in zip(self.keys, self._held_to, units, ahead, after, strict=True)
        ]
        self._question.decided(longest, after)

    def undecided(self) -> None:
        self._question.undecided()


class Untouched:
    """A shared store in which nothing was counted yet, for limits that are explained while no gateway runs."""

    usable = sound = True

    def ask(self, question: Question) -> None:
        """See :class:`tracseq_gateway.limits.limiter.Store`."""
        question.decided(0.0, [0.0] * len(question.keys))
