"""What is done for each request that is over: it is counted, and written down."""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.logger import Logger

from tracseq_gateway.interfaces import Request
from tracseq_gateway.metrics.metrics import Metrics

_log = Logger()

Log = Callable[[Request, float, float], None]
"""Writes a line on a request that ended at a time (seconds since the epoch) after so many seconds."""


class RequestRecorder:
    """A ``Recorder`` (see ``interfaces``) for metrics, for an access log, or for both."""

    def __init__(
        self, metrics: Metrics | None, log: Log | None, clock: Callable[[], float], now: Callable[[], float] = time.time
    ) -> None:
        """``clock`` gives the seconds that ``request.began`` is in; ``now`` seconds since the epoch."""
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._now = now

    def request_ended(self, request: Request) -> None:
        """Record it. What goes wrong here is a fault of ours that no client should feel: it is logged."""
        try:
            seconds = self._clock() - request.began
            if self._metrics is not None:
                self._metrics.request_ended(request, seconds)
            if self._log is not None:
                self._log(request, self._now(), seconds)
        except Exception:
            _log.failure("a request on {path!r} was not recorded", path=request.head.path)
