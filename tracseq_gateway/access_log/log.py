"""The access log as the configuration wants it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic

from twisted.internet.defer import Deferred

from tracseq_gateway.access_log.entries import journal_entries
from tracseq_gateway.access_log.lines import line_format
from tracseq_gateway.access_log.targets import Journal, Line, LogFile, StandardOutput, Target
from tracseq_gateway.access_log.writer import IReactor, LogWriter
from tracseq_gateway.config.logs import AccessLog as Settings
from tracseq_gateway.interfaces import Request


class AccessLog(Generic[Line]):
    """Makes a line for each request and has it written."""

    def __init__(self, line: Callable[[Request, float, float], Line], writer: LogWriter[Line]) -> None:
        self._line: Callable[[Request, float, float], Line] = line
        self._writer: LogWriter[Line] = writer

    def record(self, request: Request, ended: float, seconds: float) -> None:
        """Write down a request that ended at ``ended`` (seconds since the epoch) after ``seconds``. Never waits."""
        self._writer.write(self._line(request, ended, seconds))

    def stop(self) -> Deferred[None]:
        """Write what waits; fires when that is done, or given up after a fraction of a second."""
        return self._writer.stop()


def open_access_log(
    settings: Settings,
    routes: Mapping[str, str],
    reactor: IReactor,
    dropped: Callable[[int], object] | None = None,
) -> AccessLog[str] | AccessLog[bytes] | None:
    """Make the access log; None if it is off.

    ``routes`` are the prefixes of the services, by name. ``dropped`` is told how many lines were lost, each time.
    """
    if settings.target == "off":
        return None
    if settings.target == "journald":
        return AccessLog(journal_entries(settings, routes), LogWriter(reactor, Journal(settings.journal), dropped))
    return AccessLog(line_format(settings, routes), LogWriter(reactor, target_of(settings.target), dropped))


def target_of(name: str) -> Target[str]:
    """Where lines go. A file is opened when the first line comes, not here."""
    return StandardOutput() if name == "stdout" else LogFile(name)
