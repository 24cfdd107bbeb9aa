"""How many requests one client, and one service, may have in flight in this worker."""

from __future__ import annotations

from collections.abc import Callable

from tracseq_gateway.errors import OVERLOADED, TOO_MANY_AT_ONCE, GatewayError
from tracseq_gateway.interfaces import Request
from tracseq_gateway.limits.rules import Keys


def service_concurrency(most: int) -> Callable[[Request], GatewayError | None]:
    """A link that refuses with 503 while ``most`` requests to its service are in flight."""
    in_flight = 0

    def ended(request: Request) -> None:
        nonlocal in_flight
        in_flight -= 1

    def check(request: Request) -> GatewayError | None:
        nonlocal in_flight
        if in_flight >= most:
            return GatewayError(OVERLOADED, "too many requests to this service at once", retry_after=1)
        in_flight += 1
        request.at_end(ended)
        return None

    return check


def client_concurrency(most: int, keys: Keys, *, fields: bool = True) -> Callable[[Request], GatewayError | None]:
    """A link that refuses with 429 while ``most`` requests of the same client to its service are in flight.

    ``fields``: the refusal has RateLimit and RateLimit-Policy.
    """
    in_flight: dict[bytes, int] = {}
    policy = b'ratelimit-policy: "at-once";q=%d;qu="concurrent-requests"\r\nratelimit: "at-once";r=0\r\n' % most
    lines = policy if fields else b""

    def check(request: Request) -> GatewayError | None:
        client = keys.client(request)
        now = in_flight.get(client, 0)
        if now >= most:
            request.answer_lines += lines
            return GatewayError(TOO_MANY_AT_ONCE, f"more than {most} requests at once", retry_after=1)
        in_flight[client] = now + 1

        def ended(request: Request) -> None:
            left = in_flight[client] - 1
            if left:
                in_flight[client] = left
            else:
                del in_flight[client]

        request.at_end(ended)
        return None

    return check
