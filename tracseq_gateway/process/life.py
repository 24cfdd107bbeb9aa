"""What can happen to one worker process: a table, and nothing else.

House rules:

1. The table is total: every event has a row in every state, so that no order of events is a surprise.
2. A row names one action. Actions are done by the caller (``worker_process``); this file does no I/O.
3. ``gone`` is final. A worker is never revived: its slot starts another.
"""

from __future__ import annotations

from typing import Literal, get_args

State = Literal["starting", "serving", "leaving", "stuck", "dying", "gone"]
"""``leaving``: it has closed, or soon will close, its listening socket and finishes what is open.
``stuck``: it answers no more, and gets a moment to write its stack to the log before it is killed.
``dying``: SIGKILL is sent and its exit is awaited."""

Event = Literal["ready", "drain", "farewell", "detached", "silent", "condemned", "exited"]
"""``ready``: it accepts connections. ``drain``: we want it to leave. ``farewell``: it says that it leaves of itself.
``detached``: its control connection is lost, which most often is the first sign of its death. ``silent``: it has not
answered the watchdog for too long. ``condemned``: a deadline has passed, or somebody lost patience. ``exited``: the
kernel says so."""

Action = Literal["nothing", "announce", "ask", "await", "succeed", "question", "kill", "bury"]
"""``announce``: tell that it serves. ``ask``: send Drain and set or move the deadline. ``await``: set a deadline.
``succeed``: tell that its place is free while it finishes, and set a deadline. ``question``: ask the process, not its
reactor, for its stack, and set a deadline. ``bury``: tell that it is gone."""

TABLE: dict[tuple[State, Event], tuple[State, Action]] = {
    ("starting", "ready"): ("serving", "announce"),
    ("starting", "drain"): ("leaving", "ask"),
    ("starting", "farewell"): ("leaving", "succeed"),
    ("starting", "detached"): ("dying", "kill"),
    # The watchdog watches only who serves: before and after, there is a deadline for all of it.
    ("starting", "silent"): ("starting", "nothing"),
    ("starting", "condemned"): ("dying", "kill"),
    ("starting", "exited"): ("gone", "bury"),
    ("serving", "ready"): ("serving", "nothing"),
    ("serving", "drain"): ("leaving", "ask"),
    ("serving", "farewell"): ("leaving", "succeed"),
    # No successor yet: whether it starts at once depends on how this one ends.
    ("serving", "detached"): ("leaving", "await"),
    ("serving", "silent"): ("stuck", "question"),
    ("serving", "condemned"): ("dying", "kill"),
    ("serving", "exited"): ("gone", "bury"),
    # Drain may overtake the answer to Serve; the worker reads both in order, so it still serves its backlog.
    ("leaving", "ready"): ("leaving", "nothing"),
    # Asked again, or after its farewell: the answer to each Drain is the same count.
    ("leaving", "drain"): ("leaving", "ask"),
    ("leaving", "farewell"): ("leaving", "nothing"),
    ("leaving", "detached"): ("leaving", "nothing"),
    ("leaving", "silent"): ("leaving", "nothing"),
    ("leaving", "condemned"): ("dying", "kill"),
    ("leaving", "exited"): ("gone", "bury"),
    # It is past asking, and what it says now changes nothing: its end is near in any case.
    ("stuck", "ready"): ("stuck", "nothing"),
    ("stuck", "drain"): ("stuck", "nothing"),
    ("stuck", "farewell"): ("stuck", "nothing"),
    ("stuck", "detached"): ("stuck", "nothing"),
    ("stuck", "silent"): ("stuck", "nothing"),
    ("stuck", "condemned"): ("dying", "kill"),
    ("stuck", "exited"): ("gone", "bury"),
    ("dying", "ready"): ("dying", "nothing"),
    ("dying", "drain"): ("dying", "nothing"),
    ("dying", "farewell"): ("dying", "nothing"),
    ("dying", "detached"): ("dying", "nothing"),
    ("dying", "silent"): ("dying", "nothing"),
    ("dying", "condemned"): ("dying", "nothing"),
    ("dying", "exited"): ("gone", "bury"),
    # The control connection and the exit are seen in either order.
    ("gone", "ready"): ("gone", "nothing"),
    ("gone", "drain"): ("gone", "nothing"),
    ("gone", "farewell"): ("gone", "nothing"),
    ("gone", "detached"): ("gone", "nothing"),
    ("gone", "silent"): ("gone", "nothing"),
    ("gone", "condemned"): ("gone", "nothing"),
    ("gone", "exited"): ("gone", "nothing"),
}

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)


def step(state: State, event: Event) -> tuple[State, Action]:
    """The state that follows ``event``, and what is to be done on the way."""
    return TABLE[state, event]
