"""What an event of the log says, without the objects that it was made of."""

from __future__ import annotations

from typing import Final

from attrs import evolve, frozen
from constantly import NamedConstant
from twisted.logger import LogEvent, LogLevel, eventAsText
from twisted.python.failure import Failure
from twisted.python.reflect import qual

SAID: Final = "said"
"""The key by which an event carries what a child process has said."""


@frozen
class Code:
    """A place in the program."""

    file: str
    line: str
    function: str


@frozen
class Said:
    """One event, its objects written out."""

    namespace: str
    """The part of the program that says it."""
    message: str
    traceback: str = ""
    """How it came to an exception, if there was one; the lines are divided by line feeds."""
    exception: str = ""
    """The exception's qualified name."""
    code: Code | None = None
    """Where it was raised."""
    process: str = ""
    """The child process that says it, such as ``worker 0``; empty: this one."""

    def __str__(self) -> str:
        return f"{self.message}\n{self.traceback}" if self.traceback else self.message


def said(event: LogEvent) -> Said:
    """What an event says."""
    told = event.get(SAID)
    namespace = str(event.get("log_namespace", ""))
    if isinstance(told, Said):
        return evolve(told, process=namespace)
    message = eventAsText(event, includeTraceback=False, includeTimestamp=False, includeSystem=False)
    failure = event.get("log_failure")
    if not isinstance(failure, Failure):
        return Said(namespace, message)
    whole = eventAsText(event, includeTimestamp=False, includeSystem=False)
    traceback = whole.removeprefix(message).strip("\n")
    exception = qual(failure.type) if failure.type is not None else ""
    return Said(namespace, message, traceback, exception, _raised_at(failure))


def level_of(event: LogEvent) -> NamedConstant:
    """How much an event matters."""
    level: NamedConstant = event.get("log_level") or LogLevel.info
    return level


def _raised_at(failure: Failure) -> Code | None:
    if not failure.frames:
        return None
    function, file, line, *_ = failure.frames[-1]
    return Code(str(file), str(line), str(function))
