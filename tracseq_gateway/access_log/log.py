"""The access log as the configuration wants it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from tracseq_gateway.access_log.lines import LineFormat, line_format
from tracseq_gateway.access_log.targets import LogFile, StandardOutput, Target
from tracseq_gateway.access_log.writer import IReactor, LogWriter
from tracseq_gateway.config.policies import AccessLog as Settings
from tracseq_gateway.interfaces import Request


class AccessLog:
    """Makes a line for each request and has it written."""

    def __init__(self, line: LineFormat, writer: LogWriter) -> None:
        self._line = line
        self._writer = writer

    def record(self, request: Request, ended: float, seconds: float) -> None:
        """Write down a request that ended at ``ended`` (seconds since the epoch) after ``seconds``. Never waits."""
        self._writer.write(self._line(request, ended, seconds))

    def stop(self) -> Deferred[None]:
        """Write what waits; fires when that is done, or given up after a fraction of a second."""
        return self._writer.stop()


def open_access_log(
    settings: Settings, reactor: IReactor, dropped: Callable[[int], object] | None = None
) -> AccessLog | None:
    """Make the access log; None if it is off. ``dropped`` is told how many lines were lost, each time.

    Raises ValueError for a target that there is not.
    """
    if settings.target == "off":
        return None
    return AccessLog(line_format(settings.format), LogWriter(reactor, target_of(settings.target), dropped))


def target_of(name: str) -> Target:
    """Where ``access_log.target`` points to. A file is opened when the first line comes, not here."""
    if name == "stdout":
        return StandardOutput()
    if name == "journald":
        raise ValueError('access_log.target: "journald" is not offered yet; systemd hands "stdout" to the journal')
    return LogFile(name)
