"""How log lines travel from a child process to the supervisor's log.

A child writes one line for each event to its standard error, led by a priority as in sd-daemon(3): ``<6>`` and a JSON
array of texts. The supervisor reads them through a pipe and logs each under the child's name. So there is one log,
whatever twistd was told to do with it, and what a dying interpreter still prints is in it too.
"""

from __future__ import annotations

import json
from typing import Final, TextIO

from attrs import evolve
from constantly import NamedConstant
from twisted.logger import FileLogObserver, FilteringLogObserver, ILogObserver, LogEvent, Logger, LogLevel

from tracseq_gateway.own_log.journal_observer import PRIORITIES
from tracseq_gateway.own_log.levels import Levels
from tracseq_gateway.own_log.said import Code, Said, level_of, said

LONGEST_LINE: Final = 16 * 1024
"""Bytes of one log line; what is longer goes on in the next, and an event that is longer is shortened."""

_LEVELS: Final[dict[str, NamedConstant]] = {priority: level for level, priority in PRIORITIES.items()}
_TEXTS: Final = 7
"""How many texts tell an event."""


def asLine(event: LogEvent) -> str:
    """The event as one line; the reader knows time and origin."""
    mark = f"<{PRIORITIES[level_of(event)]}>"
    told = said(event)
    while len(line := mark + _packed(told) + "\n") > LONGEST_LINE:
        # What a traceback says last, and a message first, is worth most.
        if told.traceback:
            told = evolve(told, traceback=_last_half(told.traceback))
        else:
            told = evolve(told, message=told.message[: len(told.message) // 2])
    return line


def lineObserver(stream: TextIO, levels: Levels) -> ILogObserver:
    """A log observer for a child: what ``levels`` keeps goes to ``stream`` as lines."""
    return FilteringLogObserver(FileLogObserver(stream, asLine), [levels])


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
        told = _unpacked(text)
        if told is not None:
            self._log.emit(level, "{said}", said=told)
        elif text:
            self._log.emit(level, "{line}", line=text)


def _packed(told: Said) -> str:
    code = told.code or Code("", "", "")
    texts = [told.namespace, told.message, told.traceback, told.exception, code.file, code.line, code.function]
    return json.dumps(texts)


def _unpacked(text: str) -> Said | None:
    """What an event said; None for a line that no event has made."""
    if text[:2] != '["':
        return None
    try:
        texts = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if len(texts) != _TEXTS or not all(isinstance(one, str) for one in texts):
        return None
    namespace, message, traceback, exception, *code = texts
    return Said(namespace, message, traceback, exception, Code(*code) if code[0] else None)


def _last_half(text: str) -> str:
    return text[len(text) // 2 :] if len(text) > 1 else ""
