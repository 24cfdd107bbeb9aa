"""The time between a stop that is asked for and the drain: ``gateway.stop_delay``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger


class Notice:
    """Given once: the gateway serves on, and says that nobody new should be sent to it."""

    def __init__(self, reactor: IReactorTime, tell: Callable[[], None]) -> None:
        """``tell`` has all workers say so."""
        self._reactor = reactor
        self._tell = tell
        self._waiting: Deferred[None] | None = None
        self._log = Logger()

    async def give(self, seconds: float) -> None:
        """Serve on for so long, unless that is cut short."""
        self._log.info("serving on for {seconds:g} s, not ready any more", seconds=seconds)
        self._tell()
        self._waiting = deferLater(self._reactor, seconds)
        with suppress(CancelledError):
            await self._waiting
        self._waiting = None

    def cut_short(self) -> bool:
        """Go on with the stop at once; return whether it waited for this."""
        waiting = self._waiting
        if waiting is not None:
            waiting.cancel()
        return waiting is not None
