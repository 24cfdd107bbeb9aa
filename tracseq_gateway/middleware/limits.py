"""Links that bound what the gateway takes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracseq_gateway.config.upstream import Priority
from tracseq_gateway.errors import BODY_TOO_LARGE, LOOP_DETECTED, OVERLOADED, GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import Request
from tracseq_gateway.middleware.chain import Answer, Link
from tracseq_gateway.net.lag import LagMeter

MOST_HOPS = 5
"""How often a request may pass this gateway: more is a loop (RFC 9110 section 7.6)."""


ROOM: dict[Priority, float] = {"low": 0.8, "normal": 1.0, "high": 1.1}
"""The part of the places for requests that those of a priority may fill."""
PATIENCE: dict[Priority, float] = {"low": 0.5, "normal": 1.0, "high": 2.0}
"""The part of the lag limit up to which those of a priority are served."""


def room_for(most: int, priority: Priority) -> int:
    """How many requests may be active when one of this priority comes, itself included."""
    return max(1, int(most * ROOM[priority]))


def patience_for(seconds: float, priority: Priority) -> float:
    """How many seconds the reactor may run late when a request of this priority comes."""
    return seconds * PATIENCE[priority]


def concurrency_limit(most: int, active: Callable[[], int], priority: Priority = "normal") -> Link:
    """Refuse with 503 while more than ``most`` requests are active in this worker, this one included.

    Those of low priority find no room a little earlier, those of high a little later.
    """
    room = room_for(most, priority)
    refusal = GatewayError(OVERLOADED, "too many requests at once", retry_after=1)

    def check(request: Request) -> GatewayError | None:
        return refusal if active() > room else None

    return check


def lag_limit(seconds: float, meter: LagMeter, priority: Priority = "normal") -> Link:
    """Refuse with 503 while the reactor runs more than ``seconds`` late: what is under way gets the time."""
    patience = patience_for(seconds, priority)
    refusal = GatewayError(OVERLOADED, "the gateway has more to do than it can", retry_after=1)

    def check(request: Request) -> GatewayError | None:
        return refusal if meter.lag > patience else None

    return check


def body_limit(most: int) -> Link:
    """Refuse with 413 a body of more than ``most`` bytes: at once if it says so, else when it has come so far.

    0: any body may come.
    """

    def check(request: Request) -> GatewayError | None:
        request.max_body = most
        if most and request.body_exceeds(most):
            return GatewayError(BODY_TOO_LARGE, f"a request body larger than {most} bytes")
        return None

    return check


def last_hop(allowed: Sequence[bytes]) -> Link:
    """Answer an OPTIONS request that may go no further (RFC 9110 section 7.6.2)."""
    answer = Answer(OutgoingHead(204, b"No Content", [(b"allow", b", ".join(allowed))]))

    def check(request: Request) -> Answer | None:
        head = request.head
        if head.fields.max_forwards == 0 and head.method == b"OPTIONS":
            return answer
        return None

    return check


def loop_guard(pseudonym: str) -> Link:
    """Refuse with 508 a request that has come by too often."""
    name = pseudonym.encode("ascii")

    def check(request: Request) -> GatewayError | None:
        via = request.head.fields.via
        if via and _passes(via, name) >= MOST_HOPS:
            return GatewayError(LOOP_DETECTED, "the request runs in a circle")
        return None

    return check


def _passes(via: bytes, name: bytes) -> int:
    """How often Via says that a request was received by ``name``; each hop is ``protocol received-by (comment)``."""
    return sum(hop.split()[1:2] == [name] for hop in via.split(b","))
