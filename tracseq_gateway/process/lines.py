"""How log lines travel from a child process to the supervisor's log.

A child writes text lines to its standard error, each led by a priority as in sd-daemon(3): ``<6>text``. The supervisor
reads them through a pipe and logs each under the child's name. So there is one log, whatever twistd was told to do with
it, and what a dying interpreter still prints is in it too.
"""

from __future__ import annotations

from typing import Final, TextIO

from constantly import NamedConstant
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
)

LONGEST_LINE: Final = 16 * 1024
"""Bytes of one log line; what is longer goes on in the next."""

_LEVELS: Final[dict[str, NamedConstant]] = {
    "7": LogLevel.debug,
    "6": LogLevel.info,
    "4": LogLevel.warn,
    "3": LogLevel.error,
    "2": LogLevel.critical,
}
_PRIORITIES: Final = {level: priority for priority, level in _LEVELS.items()}


def asLines(event: LogEvent) -> str:
    """The event and its traceback as lines, each with the event's priority; the reader knows time and origin."""
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    mark = f"<{_PRIORITIES[event.get('log_level', LogLevel.info)]}>"
    return "".join(f"{mark}{line}\n" for line in text.splitlines())


def lineObserver(stream: TextIO) -> ILogObserver:
    """A log observer for a child: everything from ``info`` on goes to ``stream`` as lines."""
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
    return FilteringLogObserver(FileLogObserver(stream, asLines), [predicate])


class LineLogger:
    """Logs what a child writes, line by line. A line without a priority was not logged but printed: a warning."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the child's standard error."""
        *lines, rest = (self._rest + data).split(b"\n")
        while len(rest) > LONGEST_LINE:
            lines.append(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        self._rest = rest
        for line in lines:
            self._emit(line)

    def finish(self) -> None:
        """The child has closed the pipe: log what it left without a line end."""
        rest, self._rest = self._rest, b""
        self._emit(rest)

    def _emit(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        level = LogLevel.warn
        if text[:1] == "<" and text[2:3] == ">" and text[1] in _LEVELS:
            level, text = _LEVELS[text[1]], text[3:]
        if text:
            self._log.emit(level, "{line}", line=text)
