"""The clock of the supervisor's reactor, which twistd made: time-outs must not follow a step of the wall clock."""

from __future__ import annotations

import time

from twisted.application.service import Service

from tracseq_gateway.process.reactor import IReactor


class MonotonicClock(Service):
    """Sets the clock just before the reactor runs; to be the first of the services, for it measures nothing before."""

    def __init__(self, reactor: IReactor) -> None:
        self._reactor = reactor

    def privilegedStartService(self) -> None:
        """Set it: twistd calls this before anything is started."""
        self._reactor.seconds = time.monotonic  # type: ignore[method-assign]
