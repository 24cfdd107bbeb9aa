"""The requests of one worker that are worth being looked at: slow ones, failed ones, and clients that were refused."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from attrs import frozen

from tracseq_gateway.interfaces import SWITCHED, Request
from tracseq_gateway.overview.digest import Ended

TOO_MANY: Final = 429
MOST_ENDED: Final = 20
"""Slow requests, and failed ones, that are kept of one second."""
MOST_CLIENTS: Final = 200
"""Clients that are told apart within one second; the refusals of further ones are counted for nobody."""
MOST_TOLD: Final = 20
LONGEST_PATH: Final = 200
LONGEST_REASON: Final = 200


@frozen
class Noted:
    """What was noted since the last time."""

    slow: tuple[Ended, ...]
    failed: tuple[Ended, ...]
    """Answered with 5xx, by whomever."""
    refused: tuple[tuple[str, str, int], ...]
    """Service, client and count of the clients that were refused most often."""
    answered: tuple[tuple[str, str, int], ...]
    """Service, ``status-`` and a 5xx, and how often the service itself gave that answer."""


class Notable:
    """Looks at each request that is over; a fast one that went well costs two comparisons."""

    def __init__(self, slow_seconds: float, client: Callable[[Request], bytes]) -> None:
        """``client`` names who sent a request, as the limiter does."""
        self._slow_seconds = slow_seconds
        self._client = client
        self._slow: deque[Ended] = deque(maxlen=MOST_ENDED)
        self._failed: deque[Ended] = deque(maxlen=MOST_ENDED)
        self._refused: Counter[tuple[str, str]] = Counter()
        self._answered: Counter[tuple[str, str]] = Counter()

    def request_ended(self, request: Request, ended: float, seconds: float) -> None:
        """A request is over at ``ended`` (seconds since the epoch) after so many seconds."""
        status = request.status
        if status < TOO_MANY and seconds < self._slow_seconds:
            return
        if status == TOO_MANY and request.error is not None:
            self._note_refusal(request)
        if status >= 500:
            self._failed.append(describe(request, ended, seconds))
            if request.error is None:
                self._answered[request.service, f"status-{status}"] += 1
        # The gateway's own pages may go on for as long as somebody looks at them, and so may another protocol.
        if seconds >= self._slow_seconds and request.service and status != SWITCHED:
            self._slow.append(describe(request, ended, seconds))

    def _note_refusal(self, request: Request) -> None:
        key = request.service, self._client(request).decode("utf-8", "backslashreplace")
        if key in self._refused or len(self._refused) < MOST_CLIENTS:
            self._refused[key] += 1

    def taken(self) -> Noted:
        """Return what was noted, the oldest first, and begin anew."""
        refused = self._refused.most_common(MOST_TOLD)
        noted = Noted(
            tuple(self._slow),
            tuple(self._failed),
            tuple((service, client, count) for (service, client), count in refused),
            tuple((service, kind, count) for (service, kind), count in self._answered.items()),
        )
        self._slow.clear()
        self._failed.clear()
        self._refused.clear()
        self._answered.clear()
        return noted


def describe(request: Request, ended: float, seconds: float) -> Ended:
    """What is shown of a request: nothing that could be a secret."""
    head, error, trace = request.head, request.error, request.trace
    return Ended(
        time=ended,
        method=head.method.decode("latin-1"),
        path=head.path[:LONGEST_PATH].decode("utf-8", "backslashreplace"),
        service=request.service,
        instance=request.instance,
        status=request.status,
        duration_ms=round(seconds * 1000, 3),
        error=None if error is None else error.kind.slug,
        reason=None if error is None else (error.note or error.detail)[:LONGEST_REASON] or None,
        request_id=request.request_id.decode("ascii"),
        trace_id=None if trace is None else trace.trace_id,
    )
