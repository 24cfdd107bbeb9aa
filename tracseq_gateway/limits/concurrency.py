"""How many requests one client, and one service, may have in flight in this worker."""

from __future__ import annotations

from tracseq_gateway.errors import OVERLOADED, TOO_MANY_AT_ONCE, GatewayError
from tracseq_gateway.interfaces import Request
from tracseq_gateway.limits.rules import Keys


class ServiceConcurrency:
    """A link that refuses with 503 while ``most`` requests to its service are in flight."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.in_flight = 0

    def __call__(self, request: Request) -> GatewayError | None:
        """See :data:`tracseq_gateway.middleware.chain.Link`."""
        if self.in_flight >= self.most:
            return GatewayError(OVERLOADED, "too many requests to this service at once", retry_after=1)
        self.in_flight += 1
        request.at_end(self._ended)
        return None

    def _ended(self, request: Request) -> None:
        self.in_flight -= 1


class ClientConcurrency:
    """A link that refuses with 429 while ``most`` requests of the same client to its service are in flight."""

    def __init__(self, most: int, keys: Keys, *, fields: bool = True) -> None:
        """``fields``: the refusal has RateLimit and RateLimit-Policy."""
        self.most = most
        self._keys = keys
        self._in_flight: dict[bytes, int] = {}
        policy = b'ratelimit-policy: "at-once";q=%d;qu="concurrent-requests"\r\nratelimit: "at-once";r=0\r\n' % most
        self._lines = policy if fields else b""

    def in_flight(self, request: Request) -> int:
        """How many requests the client of this one has in flight."""
        return self._in_flight.get(self._keys.client(request), 0)

    def __call__(self, request: Request) -> GatewayError | None:
        """See :data:`tracseq_gateway.middleware.chain.Link`."""
        client = self._keys.client(request)
        now = self._in_flight.get(client, 0)
        if now >= self.most:
            request.answer_lines += self._lines
            return GatewayError(TOO_MANY_AT_ONCE, f"more than {self.most} requests at once", retry_after=1)
        self._in_flight[client] = now + 1

        def ended(request: Request) -> None:
            left = self._in_flight[client] - 1
            if left:
                self._in_flight[client] = left
            else:
                del self._in_flight[client]

        request.at_end(ended)
        return None
