"""When a request that failed may be sent again, and after which pause.

House rules:

1. Nothing is sent twice that may have acted: only what did not leave the gateway, or what an idempotent method asks
   for (RFC 9110 section 9.2.2).
2. Retries cannot become a storm: those under way are bounded by a share of the requests under way.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tracseq_gateway.config.upstream import Retries
from tracseq_gateway.errors import GatewayError

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
"""TRACE is not passed on."""

LEAST_BUDGET = 3
"""Retries that may always be under way."""

_SECONDS = re.compile(rb"[0-9]{1,9}").fullmatch


class RetryPolicy:
    """One service's policy in one worker, and its retries under way."""

    def __init__(self, settings: Retries, active: Callable[[], int], random: Callable[[], float]) -> None:
        """``active`` counts the service's requests under way; ``random`` gives a number from 0 to 1."""
        self._settings = settings
        self._active = active
        self._random = random
        self.max_body = settings.max_body
        self.statuses = frozenset(settings.statuses)
        self.under_way = 0
        """Retries under way: whoever begins one counts it in, and out at the end of its request."""

    def has_budget(self) -> bool:
        """Whether one more retry may be under way."""
        return self.under_way < max(LEAST_BUDGET, self._settings.budget * self._active())

    def repeats_error(self, error: GatewayError, method: bytes, attempts: int) -> bool:
        """Whether a request may be sent again after ``attempts`` attempts, of which the last met ``error``."""
        rule = error.kind.retry
        if rule == "unsent":
            return True
        return rule != "never" and method in IDEMPOTENT and attempts <= self._settings.attempts

    def repeats_status(self, status: int, method: bytes, attempts: int) -> bool:
        """The same, when the last was answered with ``status``."""
        return status in self.statuses and method in IDEMPOTENT and attempts <= self._settings.attempts

    def pause(self, attempts: int, retry_after: bytes | None = None) -> float | None:
        """Seconds before the next attempt: full jitter, and no less than the service's Retry-After asks for.

        None when that is more than is waited for, or a date: then the answer goes to the client.
        """
        settings = self._settings
        bound: float = min(settings.backoff * 2 ** (attempts - 1), settings.max_backoff)
        seconds = self._random() * bound
        if retry_after is None:
            return seconds
        if _SECONDS(retry_after) is None or int(retry_after) > settings.max_wait:
            return None
        return max(seconds, float(retry_after))
