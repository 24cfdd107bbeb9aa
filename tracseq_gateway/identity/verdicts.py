"""What a worker remembers of tokens: verdicts by the SHA-256 of the exact bytes, the least recently used forgotten.

One spelling, one entry: a token that differs in case or padding is another one. The rules for tokens are the same for
all routes of a gateway; what a route demands of who calls is looked at after this.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from copy import copy

from attrs import define

from tracseq_gateway.identity.tokens import Claims
from tracseq_gateway.interfaces import Identity


@define(eq=False)
class Verdict:
    """A token that was found good. Times are in seconds since the epoch."""

    identity: Identity
    claims: Claims
    begins: float
    """From when it holds: with a clock that was set back it may not hold yet."""
    fresh: float
    """Until when it holds without a further question, at most the token's end."""
    stale: float
    """Until when it holds while nobody can be asked."""
    era: int = 0
    """The :attr:`Verdicts.era` that it is of: with other keys it says nothing."""


class Verdicts:
    """Good tokens and bad ones, apart: a flood of bad ones displaces no good one."""

    def __init__(self, most: int, bad_seconds: float) -> None:
        """Keep ``most`` of each kind; a bad token is remembered for ``bad_seconds``."""
        self._most = most
        self._bad_seconds = bad_seconds
        self.era = 0
        """Changes when everything is forgotten: what was found out before says nothing any more."""
        self._good: OrderedDict[bytes, Verdict] = OrderedDict()
        self._bad: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._good)

    def __iter__(self) -> Iterator[tuple[bytes, Verdict]]:
        return iter(list(self._good.items()))

    def find(self, digest: bytes) -> Verdict | None:
        """The verdict on a good token, whatever its times say."""
        verdict = self._good.get(digest)
        if verdict is not None:
            self._good.move_to_end(digest)
        return verdict

    def is_bad(self, digest: bytes, now: float) -> bool:
        """Whether a token was found bad a short time ago."""
        until = self._bad.get(digest)
        return until is not None and until - self._bad_seconds <= now < until

    def keep(self, digest: bytes, verdict: Verdict) -> None:
        """Remember a good token, and nothing bad of it."""
        self._bad.pop(digest, None)
        self._good[digest] = verdict
        self._good.move_to_end(digest)
        if len(self._good) > self._most:
            self._good.popitem(last=False)

    def keep_bad(self, digest: bytes, now: float) -> None:
        """Remember a bad token, and nothing good of it."""
        self._good.pop(digest, None)
        self._bad[digest] = now + self._bad_seconds
        self._bad.move_to_end(digest)
        if len(self._bad) > self._most:
            self._bad.popitem(last=False)

    def rehearsal(self) -> Verdicts:
        """The same for who only wants to see what would be: what he changes is changed for him alone."""
        twin = _Rehearsed(self._most, self._bad_seconds)
        twin.era, twin._good, twin._bad = self.era, self._good.copy(), self._bad.copy()
        return twin

    def clear(self) -> None:
        """Forget everything: the keys are others now."""
        self.era += 1
        self._good.clear()
        self._bad.clear()


class _Rehearsed(Verdicts):
    """Verdicts of which whoever finds one has a copy."""

    def find(self, digest: bytes) -> Verdict | None:
        verdict = super().find(digest)
        if verdict is not None:
            verdict = self._good[digest] = copy(verdict)
        return verdict
