"""Many deadlines at the price of few timers.

A gateway sets a deadline several times for each request and hardly ever meets one. Here setting one later is an
assignment: the timer stays in the slot where it is, and moves on when that slot comes due. One reactor timer turns
the wheel. Deadlines are met up to one tick late, never early.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_NEVER = float("inf")
_HAIR = 1e-6
"""A part of a tick, for the rounding of clocks."""


class Deadlines:
    """A wheel of slots, each one tick long; ``clock`` gives and measures the time."""

    log = Logger()

    def __init__(self, clock: IReactorTime, tick: float = 0.025) -> None:
        self.clock = clock
        self.now: Callable[[], float] = clock.seconds
        self.tick = tick
        self._slots: dict[int, dict[Timer, None]] = {}
        self._turned = self._slot_of(clock.seconds())
        self._call = self._schedule(clock.seconds())

    def _slot_of(self, when: float) -> int:
        # The clock may show a hair less than the boundary at which it was asked to call.
        return int(when / self.tick + 2 * _HAIR)

    def _schedule(self, now: float) -> IDelayedCall:
        """Turn again at the next boundary between two slots."""
        return self.clock.callLater(max(0.0, (self._turned + 1 - _HAIR) * self.tick - now), self._turn)

    def stop(self) -> None:
        """Turn no further."""
        if self._call.active():
            self._call.cancel()

    def enter(self, timer: Timer, slot: int) -> None:
        """Look at ``timer`` when ``slot`` comes due."""
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = {timer: None}
        else:
            waiting[timer] = None

    def leave(self, timer: Timer, slot: int) -> None:
        """``timer`` has no deadline any more, for good: keep nothing of it until its slot comes due."""
        waiting = self._slots.get(slot)
        if waiting is not None:
            waiting.pop(timer, None)

    def _turn(self) -> None:
        now = self.now()
        first, self._turned = self._turned + 1, max(self._turned, self._slot_of(now))
        self._call = self._schedule(now)
        for slot in range(first, self._turned + 1):
            for timer in self._slots.pop(slot, ()):
                try:
                    timer.look(now, slot)
                except Exception:
                    self.log.failure("a deadline's callback failed")


class Timer:
    """One deadline; calls ``expired`` when it passes. Starting it again moves it."""

    __slots__ = ("_expired", "_slot", "_soon_enough", "_wheel", "_when")

    def __init__(self, wheel: Deadlines, expired: Callable[[], None]) -> None:
        self._wheel = wheel
        self._expired: Callable[[], None] | None = expired
        self._when = _NEVER
        self._slot = 0
        self._soon_enough = _NEVER
        """Deadlines from here on need no earlier slot than the one that this timer waits in."""

    def start(self, seconds: float) -> None:
        """Set the deadline ``seconds`` from now; 0 means none."""
        if not seconds:
            self._when = _NEVER
            return
        self._when = when = self._wheel.now() + seconds
        if when < self._soon_enough:
            self._enter(when)

    def _enter(self, when: float) -> None:
        wheel = self._wheel
        # The slot that comes due next after the deadline, with more to spare than clocks are rounded by.
        self._slot = slot = int(when / wheel.tick + 4 * _HAIR) + 1
        self._soon_enough = (slot - 1) * wheel.tick
        wheel.enter(self, slot)

    def stop(self) -> None:
        """Forget the deadline."""
        self._when = _NEVER

    def close(self) -> None:
        """Forget the deadline and what it would have called, for good."""
        self._when = _NEVER
        self._expired = None
        if self._soon_enough is not _NEVER:
            self._soon_enough = _NEVER
            self._wheel.leave(self, self._slot)

    @property
    def running(self) -> bool:
        """Whether a deadline is set."""
        return self._when is not _NEVER

    @property
    def left(self) -> float:
        """Seconds until the deadline; 0 when none is set."""
        return max(0.0, self._when - self._wheel.now()) if self.running else 0.0

    def look(self, now: float, slot: int) -> None:
        """Called by the wheel when a slot comes due in which this timer was entered."""
        if slot != self._slot:
            return
        self._soon_enough = _NEVER
        when = self._when
        if when == _NEVER:
            return
        if when > now:
            self._enter(when)
            return
        self._when = _NEVER
        if self._expired is not None:
            self._expired()
