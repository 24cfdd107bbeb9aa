"""The generic cell rate algorithm (GCRA, ITU-T I.371): the arithmetic, for both stores.

A limit is a rate and a burst. One number is kept for a key: the theoretical arrival time (TAT), the moment at which all
that was admitted will have been paid for. With T the microseconds that one unit takes and B the burst, a request of
``q`` units at time ``now`` is admitted if

    max(now, TAT) + T * min(q, B) <= now + T * B        and then        TAT := max(now, TAT) + T * q

so that in any interval of length ``t`` at most ``B + t / T`` units are admitted. A request larger than the burst needs
the whole burst, and what it took beyond it is paid off before the next one. ``q = 0`` asks without taking; a negative
``q`` gives back.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from attrs import field, frozen

MINUTE = 60_000_000
"""Microseconds."""
ROUNDING = 1.0
"""Microseconds that nobody waits for: what doubles, and the three decimals in Redis, are off by at most."""
_AT_ONCE = 100
"""Bodies whose length was not known and that may come at once before what they owe is taken for a clock set back."""
_ENDLESS = 1e18
"""Microseconds that no TAT is ever ahead."""


@frozen(eq=False)
class Policy:
    """One limit: what it is called and how much it allows."""

    name: str
    """As clients see it in RateLimit-Policy."""
    per_minute: float
    burst: float
    unit: str = "requests"
    """``requests`` or ``bytes``."""
    largest: float = 0
    """The most units that one request can have, if that is more than the burst."""
    interval: float = field(init=False)
    """T: microseconds for one unit."""
    tolerance: float = field(init=False)
    """T * B: how far ahead of the time the TAT may be."""
    arguments: tuple[bytes, bytes, bytes] = field(init=False)
    """T, T * B, and how far ahead of the time the TAT can be at most, as the script in Redis takes them."""
    alone: tuple[bytes, ...] = field(init=False)
    """All that the script takes for one unit of this limit and no other."""

    def __attrs_post_init__(self) -> None:
        interval = MINUTE / self.per_minute
        object.__setattr__(self, "interval", interval)
        object.__setattr__(self, "tolerance", interval * self.burst)
        most = self.tolerance + interval * self.largest * _AT_ONCE
        arguments = (_exact(interval), _exact(self.tolerance), _exact(most))
        object.__setattr__(self, "arguments", arguments)
        object.__setattr__(self, "alone", (b"1", *arguments, b"1"))

    def remaining(self, reset: float) -> int:
        """How many units are left when the TAT is ``reset`` microseconds ahead."""
        return max(0, int((self.tolerance - reset + 2 * ROUNDING) / self.interval))

    @cached_property
    def debt(self) -> Policy:
        """The same limit for what has happened already: it is charged, however far ahead the TAT is."""
        return Policy(self.name, self.per_minute, _ENDLESS / self.interval, self.unit)

    def share(self, workers: int) -> Policy:
        """The part of it that one of several workers may give out by itself."""
        return Policy(self.name, self.per_minute / workers, max(1.0, self.burst / workers), self.unit, self.largest)


def _exact(number: float) -> bytes:
    """A double as text that reads as the same double."""
    return repr(float(number)).encode("ascii")


def wait(policy: Policy, ahead: float, units: float) -> float:
    """How many microseconds ``units`` must wait when the TAT is ``ahead`` of the time; 0 or less: not at all."""
    if units <= 0:
        return 0.0
    microseconds = ahead + min(policy.interval * units, policy.tolerance) - policy.tolerance
    return microseconds if microseconds > ROUNDING else 0.0


def decide(policies: Sequence[Policy], ahead: Sequence[float], units: Sequence[float]) -> tuple[float, list[float]]:
    """Decide about ``units`` of each limit, whose TATs are so far ``ahead``: all of them admit them, or none does.

    Returns how many microseconds they must wait (0: they are admitted), and how far ahead the TATs are then.
    """
    longest = max(map(wait, policies, ahead, units), default=0.0)
    if longest > 0:
        return longest, list(ahead)
    return 0.0, [
        max(0.0, reset + policy.interval * count) for policy, reset, count in zip(policies, ahead, units, strict=True)
    ]
