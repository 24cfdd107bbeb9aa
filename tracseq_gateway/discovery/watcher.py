"""Asks a source again and again, and tells when what it finds has changed.

House rules:

1. A source has at most one look-up under way, and every look-up ends: in an answer, in an error, or at its timeout.
2. The last good answer holds until there is another: a source that fails, or finds nothing, takes no instance away.
3. The log hears of a change, never of a try.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, NoReturn

from attrs import frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.config import Discovery, Instance
from tracseq_gateway.discovery.source import NotFound, Source, usable
from tracseq_gateway.net.jitter import jittered

SHOWN: Final = 5
"""Instances that a line of the log names of those that came, and of those that went."""

LONGEST_REASON: Final = 300
"""Characters of a reason in the log: it may quote what a stranger has written."""

_log = Logger()


@frozen
class Tools:
    """What watchers work with."""

    reactor: IReactorTime
    report: Callable[[str, tuple[Instance, ...]], None]
    """Told a service's name and all its instances, when they have changed; there is at least one."""
    random: Random


class Watcher:
    """Watches the source of one service."""

    def __init__(self, service: str, source: Source, settings: Discovery, tools: Tools) -> None:
        self._service = service
        self._source = source
        self._settings = settings
        self._tools = tools
        self._found: tuple[Instance, ...] = ()
        self._failing = False
        self._running = False
        self._looking: Deferred[None] | None = None
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Look at once, and then at every interval."""
        self._running = True
        self._look()

    def stop(self) -> None:
        """Look no more; a look-up that is under way is broken off and not reported."""
        self._running = False
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._looking is not None:
            self._looking.cancel()

    def _look(self) -> None:
        self._next = None
        reactor, settings = self._tools.reactor, self._settings
        began = reactor.seconds()
        found = maybeDeferred(self._source.find).addTimeout(settings.timeout, reactor, onTimeoutCancel=_late)
        looking = self._looking = found.addCallback(usable).addCallbacks(self._succeeded, self._failed)
        looking.addErrback(
            lambda failure: _log.failure(
                "the instances of {service} were not taken over", failure, service=self._service
            )
        )
        looking.addCallback(lambda _: self._pause(began))

    def _pause(self, began: float) -> None:
        self._looking = None
        if self._running:
            reactor = self._tools.reactor
            interval = jittered(self._settings.interval, self._tools.random)
            self._next = reactor.callLater(max(0.0, began + interval - reactor.seconds()), self._look)

    def _succeeded(self, found: tuple[Instance, ...]) -> None:
        if not self._running:
            return
        if self._failing:
            self._failing = False
            _log.info("{service}: {source} answers again", service=self._service, source=str(self._source))
        if found != self._found:
            before, self._found = self._found, found
            self._note(before)
            self._tools.report(self._service, found)

    def _failed(self, failure: Failure) -> None:
        if not self._running or self._failing:
            return
        self._failing = True
        error = failure.value
        known = isinstance(error, NotFound | TimeoutError)
        why = str(error) if known else f"{type(error).__name__}: {error}"
        _log.warn(
            "{service}: {source}: {why}; its instances stay as they are",
            service=self._service,
            source=str(self._source),
            why=why if len(why) <= LONGEST_REASON else f"{why[:LONGEST_REASON]}…",
        )

    def _note(self, before: tuple[Instance, ...]) -> None:
        """Write to the log who came and who went."""
        now, then = dict.fromkeys(one.url for one in self._found), dict.fromkeys(one.url for one in before)
        _log.info(
            "{service} has {count} instances by {source}: new {came}, gone {went}",
            service=self._service,
            count=len(now),
            source=str(self._source),
            came=_some([url for url in now if url not in then]),
            went=_some([url for url in then if url not in now]),
        )


def _some(urls: list[str]) -> str:
    more = [f"{len(urls) - SHOWN} more"] if len(urls) > SHOWN else []
    return ", ".join([*urls[:SHOWN], *more]) or "none"


def _late(result: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"no answer within {timeout:g} s")
