"""The circuit breaker of a service: while all of its instances fail, requests are refused at once.

What can happen to a circuit is a table. It is total: every event has a row in every state. What its actions mean is
done here too, and needs no reactor: an open circuit is found to be due when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Literal, get_args

State = Literal["closed", "open", "half_open", "trying"]
"""``half_open``: the next request may try. ``trying``: one request is doing so, and the others are refused."""

Event = Literal["tripped", "due", "probed", "admitted", "succeeded", "failed", "withdrawn", "told_open", "told_closed"]
"""``tripped``: every instance has failed as often as it may. ``due``: the time of an open circuit is over. ``probed``:
an active probe of an instance has passed. ``admitted``: a request asks to be the one that tries; how it ends is
``succeeded``, ``failed`` or ``withdrawn`` (its client left). ``told_open``, ``told_closed``: another worker's news."""

Action = Literal["nothing", "open", "follow", "close", "forget"]
"""``open``: refuse for the configured time, and tell the other workers. ``follow``: refuse because another worker does,
a little longer than that one, which tries first. ``close``: serve, and tell. ``forget``: serve; nobody need be told."""

TABLE: dict[tuple[State, Event], tuple[State, Action]] = {
    ("closed", "tripped"): ("open", "open"),
    ("closed", "due"): ("closed", "nothing"),
    ("closed", "probed"): ("closed", "nothing"),
    ("closed", "admitted"): ("closed", "nothing"),
    ("closed", "succeeded"): ("closed", "nothing"),
    ("closed", "failed"): ("closed", "nothing"),
    ("closed", "withdrawn"): ("closed", "nothing"),
    ("closed", "told_open"): ("open", "follow"),
    ("closed", "told_closed"): ("closed", "nothing"),
    # What began before the circuit opened says nothing about now.
    ("open", "tripped"): ("open", "nothing"),
    ("open", "due"): ("half_open", "nothing"),
    ("open", "probed"): ("half_open", "nothing"),
    ("open", "admitted"): ("open", "nothing"),
    ("open", "succeeded"): ("open", "nothing"),
    ("open", "failed"): ("open", "nothing"),
    ("open", "withdrawn"): ("open", "nothing"),
    ("open", "told_open"): ("open", "follow"),
    ("open", "told_closed"): ("closed", "forget"),
    ("half_open", "tripped"): ("half_open", "nothing"),
    ("half_open", "due"): ("half_open", "nothing"),
    ("half_open", "probed"): ("half_open", "nothing"),
    ("half_open", "admitted"): ("trying", "nothing"),
    ("half_open", "succeeded"): ("half_open", "nothing"),
    ("half_open", "failed"): ("half_open", "nothing"),
    ("half_open", "withdrawn"): ("half_open", "nothing"),
    ("half_open", "told_open"): ("open", "follow"),
    ("half_open", "told_closed"): ("closed", "forget"),
    ("trying", "tripped"): ("trying", "nothing"),
    ("trying", "due"): ("trying", "nothing"),
    ("trying", "probed"): ("trying", "nothing"),
    ("trying", "admitted"): ("trying", "nothing"),
    ("trying", "succeeded"): ("closed", "close"),
    ("trying", "failed"): ("open", "open"),
    ("trying", "withdrawn"): ("half_open", "nothing"),
    # Our own trial decides for us; its end is news for the others.
    ("trying", "told_open"): ("trying", "nothing"),
    ("trying", "told_closed"): ("closed", "forget"),
}

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)

FOLLOWER_SECONDS = 1.0
"""How much longer a circuit stays open in a worker that was told to open it."""


class Breaker:
    """One service's circuit in one worker."""

    def __init__(
        self,
        open_seconds: float,
        now: Callable[[], float],
        changed: Callable[[bool], None],
    ) -> None:
        """``now`` gives seconds of a clock that never goes back; ``changed`` is told when this worker opens (True) or
        closes (False) the circuit by what it has seen itself."""
        self.state: State = "closed"
        self.closed = True
        """Whether requests are let through without question."""
        self._seconds = open_seconds
        self._until = 0.0
        self._now = now
        self._changed = changed

    def __repr__(self) -> str:
        return f"<Breaker {self.state}>"

    def rehearsal(self) -> Breaker:
        """One that goes on as this one would, and tells nobody."""
        twin = copy(self)
        twin._changed = lambda opened: None
        return twin

    def hear(self, event: Event, seconds: float = 0.0) -> None:
        """Take an event; ``seconds`` is how long another worker's circuit is still open."""
        self.state, action = TABLE[self.state, event]
        self.closed = self.state == "closed"
        if action == "open":
            self._until = self._now() + self._seconds
            self._changed(True)
        elif action == "follow":
            self._until = self._now() + seconds + FOLLOWER_SECONDS
        elif action == "close":
            self._changed(False)

    def admits(self) -> bool:
        """Whether a request may try what a circuit that is not closed leads to; then its end must be told."""
        if self.state == "open" and self._now() >= self._until:
            self.hear("due")
        admitted = self.state == "half_open"
        self.hear("admitted")
        return admitted

    @property
    def seconds_left(self) -> float:
        """How long the circuit stays open at least."""
        return max(0.0, self._until - self._now()) if self.state == "open" else 0.0
