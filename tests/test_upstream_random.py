"""The whole request path under any sequence of events: answers reach who asked, nothing acts twice, nothing is left."""

from __future__ import annotations

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryClient, MemoryGateway, ServiceConnection
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.upstream import Connections, Instance, Timeouts

ANY = st.integers(0, 100)
HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"
BODIES = {
    b"GET": (b"", b"", b""),
    b"PUT": (b"Content-Length: 4\r\n", b"abcd", b""),
    b"POST": (b"Content-Length: 4\r\n", b"abcd", b""),
    b"PATCH": (b"Content-Length: 4\r\n", b"ab", b"cd"),
    b"DELETE": (b"Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n", b"2\r\ncd\r\n0\r\n\r\n"),
}
"""Methods, and how their bodies are framed and sent: at once, and later."""


@define(eq=False)
class Caller:
    """A client, what it has asked, and what it has still to send."""

    client: MemoryClient
    asked: list[tuple[bytes, bytes]] = field(factory=list)
    """Method and number of each request."""
    rest: bytes = b""

    @property
    def alive(self) -> bool:
        return not self.client.lost and not self.client.closed


@define(eq=False)
class Answering:
    """A service's side of a connection: how many requests it has answered, and what is left of its present answer."""

    connection: ServiceConnection
    answered: int = 0
    rest: list[bytes] = field(factory=list)
    until_close: bool = False

    @property
    def reads(self) -> bool:
        return not self.connection.lost and self.connection.transport.reading

    @property
    def asked(self) -> bytes | None:
        """The number of the request that waits for an answer."""
        requests = self.connection.requests
        return requests[self.answered].target[1:] if len(requests) > self.answered else None


def body_for(number: bytes, large: bool) -> bytes:
    return b"<%b>" % number * (20000 if large else 1)


class GatewayMachine(RuleBasedStateMachine):
    """Clients and services do what they like."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway = MemoryGateway(
            answer=None,
            instances=(Instance("http://127.0.0.1:9001"), Instance("http://127.0.0.1:9002")),
            balance="least_connections",
            connections=Connections(max=2, queue=6, queue_seconds=Seconds(5.0), idle_seconds=Seconds(4.0)),
            timeouts=Timeouts(response=Seconds(10.0), idle=Seconds(10.0), total=Seconds(60.0)),
        )
        self.service = self.gateway.service
        self.callers: list[Caller] = []
        self.sides: list[Answering] = []
        self.numbers = 0

    def caller(self, which: int) -> Caller | None:
        alive = [caller for caller in self.callers if caller.alive]
        return alive[which % len(alive)] if alive else None

    def side(self, which: int, *, asked: bool = False) -> Answering | None:
        """Choose a connection that is read; ``asked``: one on which a request waits for its answer, if there is one."""
        known = {id(side.connection) for side in self.sides}
        self.sides += [Answering(one) for one in self.service.connections if id(one) not in known]
        sides = [side for side in self.sides if side.reads and (side.asked is not None or not asked)]
        return sides[which % len(sides)] if sides else None

    # Clients.

    @rule(method=st.sampled_from(sorted(BODIES)))
    def a_client_comes(self, method: bytes) -> None:
        caller = Caller(self.gateway.client())
        self.callers.append(caller)
        self.ask(caller, method)

    @rule(which=ANY, method=st.sampled_from(sorted(BODIES)))
    def a_client_asks_more(self, which: int, method: bytes) -> None:
        """Without waiting for the answer before, perhaps."""
        caller = self.caller(which)
        if caller is not None and not caller.rest:
            self.ask(caller, method)

    def ask(self, caller: Caller, method: bytes) -> None:
        self.numbers += 1
        framing, body, caller.rest = BODIES[method]
        number = b"%d" % self.numbers
        caller.asked.append((method, number))
        caller.client.send(b"%b /%b HTTP/1.1\r\nHost: a\r\n%b\r\n%b" % (method, number, framing, body))

    @rule(which=ANY)
    def a_client_ends_its_body(self, which: int) -> None:
        caller = self.caller(which)
        if caller is not None and caller.client.transport.reading:
            rest, caller.rest = caller.rest, b""
            caller.client.send(rest)

    @rule(which=ANY)
    def a_client_leaves(self, which: int) -> None:
        caller = self.caller(which)
        if caller is not None:
            caller.client.leave()

    @rule(which=ANY, stalled=st.booleans())
    def a_client_stops_reading_or_reads_on(self, which: int, stalled: bool) -> None:
        caller = self.caller(which)
        if caller is not None and stalled:
            caller.client.transport.stalled = True
        elif caller is not None:
            caller.client.transport.drain()

    # Services.

    @rule(hold=st.booleans())
    def connecting_takes_its_time(self, hold: bool) -> None:
        """Or does not; what has been held is let in."""
        self.service.hold = hold
        while not hold and self.service.held:
            self.service.admit()

    @precondition(lambda self: self.service.held)
    @rule()
    def connect(self) -> None:
        self.service.admit()

    @precondition(lambda self: self.service.held)
    @rule()
    def fail_to_connect(self) -> None:
        self.service.turn_away(ConnectionRefusedError())

    @rule(
        which=ANY,
        framing=st.sampled_from(["length", "length", "chunks", "last", "close"]),
        large=st.booleans(),
        pieces=st.integers(0, 3),
    )
    def a_service_answers(self, which: int, framing: str, large: bool, pieces: int) -> None:
        """With so many pieces of its body at once."""
        side = self.side(which, asked=True)
        if side is None or side.rest or side.asked is None:
            return
        body = body_for(side.asked, large)
        half = len(body) // 2
        fields = {
            "length": b"Content-Length: %d\r\n" % len(body),
            "last": b"Content-Length: %d\r\nConnection: close\r\n" % len(body),
            "chunks": b"Transfer-Encoding: chunked\r\n",
            "close": b"",
        }[framing]
        side.rest = [body[:half], body[half:]]
        if framing == "chunks":
            side.rest = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in side.rest] + [b"0\r\n\r\n"]
        side.until_close = framing == "close"
        side.connection.answer(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")
        self.go_on(side, pieces)

    @rule(which=ANY, pieces=st.integers(1, 3))
    def a_service_goes_on(self, which: int, pieces: int) -> None:
        side = self.side(which)
        if side is not None:
            self.go_on(side, pieces)

    def go_on(self, side: Answering, pieces: int) -> None:
        for _ in range(pieces):
            if side.rest and side.reads:
                side.connection.answer(side.rest.pop(0))
                side.answered += not side.rest
        if side.until_close and not side.rest and side.reads:
            side.connection.close()

    @rule(which=ANY, data=st.sampled_from([HINTS, HINTS, HINTS, b"nonsense", b"H"]))
    def a_service_says_something_else(self, which: int, data: bytes) -> None:
        side = self.side(which)
        if side is not None and not side.rest:
            side.connection.answer(data)

    @rule(which=ANY, reset=st.booleans())
    def a_service_closes(self, which: int, reset: bool) -> None:
        side = self.side(which)
        if side is not None and not side.rest:
            side.connection.close(reset=reset)
        elif side is not None:
            side.connection.close(reset=True)

    # The world.

    @rule()
    def settle(self) -> None:
        self.service.run()
        for caller in self.callers:
            caller.client.settle()

    @rule(seconds=st.sampled_from([0.1, 0.1, 0.5, 5.5, 11.0]))
    def pass_time(self, seconds: float) -> None:
        self.gateway.pass_time(seconds)

    @invariant()
    def answers_reach_who_asked(self) -> None:
        """A client's answers are those to its requests, in their order; what is not one is an error, told as such."""
        for caller in self.callers:
            finals = [
                one for one in caller.client.answers(*(method for method, _ in caller.asked)) if one.status >= 200
            ]
            assert len(finals) <= len(caller.asked)
            for (_, number), answer in zip(caller.asked, finals, strict=False):
                if answer.status == 200:
                    assert answer.body.startswith(b"<%b>" % number) or not (answer.body and answer.complete)
                    assert not answer.complete or answer.body in (body_for(number, False), body_for(number, True))
                else:
                    assert answer.complete
                    assert answer.status in (408, 502, 503, 504)

    @invariant()
    def nothing_acts_twice(self) -> None:
        """A service sees a request once; one that may be repeated, three times at most."""
        seen: dict[bytes, int] = {}
        for request in self.service.requests:
            assert request.body == (b"" if request.method == b"GET" else b"abcd")
            seen[request.target] = seen.get(request.target, 0) + 1
            # One more for a kept connection that was closed, and one at another instance.
            assert seen[request.target] <= (1 if request.method in (b"POST", b"PATCH") else 3)

    def teardown(self) -> None:
        """When all clients have left, nothing is under way, and what was kept is closed in its time."""
        for caller in self.callers:
            caller.client.leave()
        assert self.gateway.worker.site.active == 0
        instances = self.gateway.worker.services["all"].instances
        assert [instance.in_flight for instance in instances] == [0, 0]
        while self.service.held:
            self.service.turn_away(ConnectionRefusedError())
        self.gateway.pass_time(5)
        for instance in instances:
            assert repr(instance.pool).endswith(": 0 busy, 0 idle, 0 opening, 0 waiting>"), instance.pool


class RandomEventsTests(SynchronousTestCase):
    def test_any_sequence(self) -> None:
        """Whatever clients and services do, in whatever order, the promises of the request path hold."""
        run_state_machine_as_test(
            GatewayMachine, settings=settings(max_examples=150, stateful_step_count=80, deadline=None)
        )
        self.assertEqual(self.flushLoggedErrors(), [])
