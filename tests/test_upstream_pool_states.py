"""The pool under any sequence of events: its books agree with what really happened."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryService, ServiceConnection
from tests.test_upstream_pool import CLOSING, Visitor
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.upstream import Connections, Timeouts
from tracseq_gateway.http.forwarding import known_answer_lines
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.upstream.pool import Pool

MAX = 3
QUEUE = 4
ANY = st.integers(0, 100)


class PoolMachine(RuleBasedStateMachine):
    """Visitors come and go, attempts to connect end this way or that, the service answers, closes or does not."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.service = MemoryService(None)
        self.service.hold = True
        limits = Connections(max=MAX, queue=QUEUE, queue_seconds=Seconds(5.0), idle_seconds=Seconds(4.0))
        self.pool = Pool("a", 80, limits, Timeouts(), Deadlines(self.clock), self.service.connect, known_answer_lines())
        self.visitors: list[Visitor] = []
        self.fresh: list[Visitor] = []

    # What is so.

    @property
    def waiting(self) -> list[Visitor]:
        return [visitor for visitor in self.visitors if visitor.waits]

    @property
    def served(self) -> list[Visitor]:
        return [visitor for visitor in self.visitors if visitor.connection is not None]

    @property
    def open(self) -> list[ServiceConnection]:
        return [one for one in self.service.connections if not one.lost and not one.transport.closed]

    # What happens.

    @rule(fresh=st.booleans())
    def come(self, fresh: bool) -> None:
        visitor = Visitor()
        connection = self.pool.take(visitor, fresh=fresh)
        if connection is not None:
            visitor.connected(connection)
        self.visitors.append(visitor)
        if fresh:
            self.fresh.append(visitor)

    @precondition(lambda self: self.waiting)
    @rule(which=ANY)
    def leave_the_queue(self, which: int) -> None:
        visitor = self.waiting[which % len(self.waiting)]
        self.pool.leave(visitor)
        self.visitors.remove(visitor)

    @precondition(lambda self: self.served)
    @rule(which=ANY)
    def leave_the_exchange(self, which: int) -> None:
        visitor = self.served[which % len(self.served)]
        assert visitor.connection is not None
        visitor.connection.abort()
        self.visitors.remove(visitor)

    @precondition(lambda self: self.service.held)
    @rule()
    def connect(self) -> None:
        self.service.admit()

    @precondition(lambda self: self.service.held)
    @rule()
    def fail_to_connect(self) -> None:
        self.service.turn_away(ConnectionRefusedError())

    @precondition(lambda self: self.open)
    @rule(which=ANY, data=st.sampled_from([OK, OK, CLOSING, b"nonsense"]))
    def say(self, which: int, data: bytes) -> None:
        """The service answers, or speaks unasked if the connection is idle."""
        self.open[which % len(self.open)].answer(data)

    @precondition(lambda self: self.open)
    @rule(which=ANY, reset=st.booleans())
    def close(self, which: int, reset: bool) -> None:
        self.open[which % len(self.open)].close(reset=reset)

    @rule()
    def settle(self) -> None:
        self.service.run()

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds * 10))

    # What must hold.

    @invariant()
    def books_agree(self) -> None:
        """Busy, idle, opening and waiting are what really is, within their limits."""
        busy, idle = len(self.served), len(self.open) - len(self.served)
        opening, waiting = len(self.service.held), len(self.waiting)
        assert repr(self.pool) == f"<Pool a:80: {busy} busy, {idle} idle, {opening} opening, {waiting} waiting>"
        assert busy + idle + opening <= MAX
        assert waiting <= QUEUE + opening

    @invariant()
    def connections_are_private(self) -> None:
        """No connection serves two."""
        connections = [visitor.connection for visitor in self.served]
        assert len(set(connections)) == len(connections)

    @invariant()
    def nobody_is_stranded(self) -> None:
        """Who waits has an attempt to wait for, unless there is no room for one."""
        room = MAX - len(self.open)
        assert len(self.service.held) >= min(len(self.waiting), room)

    @invariant()
    def nobody_waits_beside_an_idle_connection(self) -> None:
        """Unless he asked for a new one."""
        if len(self.open) > len(self.served):
            assert all(visitor in self.fresh for visitor in self.waiting)

    @invariant()
    def fresh_is_fresh(self) -> None:
        """Who asked for a new connection got no other."""
        assert not any(visitor.was_used for visitor in self.fresh)


class PoolStateTests(SynchronousTestCase):
    def test_any_sequence(self) -> None:
        """Whatever comes in whatever order, no connection and no visitor is lost, doubled or forgotten."""
        run_state_machine_as_test(
            PoolMachine, settings=settings(max_examples=100, stateful_step_count=40, deadline=None)
        )
