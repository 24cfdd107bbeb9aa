"""What is done for each request that is over: it is counted, written down, and looked at by whoever wants to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from twisted.logger import Logger

from tracseq_gateway.interfaces import Request

_log = Logger()

Witness = Callable[[Request, float, float], None]
"""Is told of a request that ended at a time (seconds since the epoch) after so many seconds. Must not wait."""


class RequestRecorder:
    """A ``Recorder`` (see ``interfaces``) that tells its witnesses, in their order."""

    def __init__(
        self, witnesses: Sequence[Witness], clock: Callable[[], float], now: Callable[[], float] = time.time
    ) -> None:
        """``clock`` gives the seconds that ``request.began`` is in; ``now`` seconds since the epoch."""
        self._witnesses = tuple(witnesses)
        self._clock = clock
        self._now = now

    def request_ended(self, request: Request) -> None:
        """Record it. What goes wrong here is a fault of ours that no client should feel: it is logged."""
        try:
            seconds = self._clock() - request.began
            ended = self._now()
            for witness in self._witnesses:
                witness(request, ended, seconds)
        except Exception:
            _log.failure("a request on {path!r} was not recorded", path=request.head.path)
