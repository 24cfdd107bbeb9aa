"""What Twisted logs instead of raising, such as a failure that nobody handled, raised after all."""

from __future__ import annotations

import gc
from collections.abc import Callable

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import provider


def raising(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Make a target raise what it lets be logged as a failure."""
    failures: list[LogEvent] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            failures.append(event)

    globalLogPublisher.addObserver(observe)

    def one_input(data: bytes) -> None:
        target(data)
        if failures:
            failure = failures[0]["log_failure"]
            failures.clear()
            failure.raiseException()

    # A failed Deferred tells when it is collected; most are at once, the rest sooner than usual.
    gc.set_threshold(200, 5, 5)
    return one_input
