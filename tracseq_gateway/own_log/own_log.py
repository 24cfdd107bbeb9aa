"""The log of the process that twistd started, whatever twistd was told to do with it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import FileLogObserver, FilteringLogObserver, ILogObserver, LogEvent, LogPublisher

from tracseq_gateway.config.logs import Log
from tracseq_gateway.own_log.json_lines import json_line
from tracseq_gateway.own_log.levels import Levels

Format = Callable[[LogEvent], str | None]


class OwnLog:
    """Stands between a publisher and its observers, so that levels and the form of lines can change at any time."""

    def __init__(self, publisher: LogPublisher) -> None:
        self._publisher = publisher
        self._levels = Levels()
        self._wrapped: list[tuple[ILogObserver, ILogObserver]] = []
        """Each observer, and what stands in its place."""
        self._files: list[tuple[FileLogObserver, Format]] = []
        """Those that write lines, and the form that they had."""

    def begin(self, settings: Log) -> None:
        """Take over the observers that there are now, and go by ``settings``."""
        for observer in list(self._publisher._observers):  # twistd keeps no other account of what it has set up
            filtered = FilteringLogObserver(observer, [self._levels])
            self._publisher.removeObserver(observer)
            self._publisher.addObserver(filtered)
            self._wrapped.append((observer, filtered))
            if isinstance(observer, FileLogObserver):
                self._files.append((observer, observer.formatEvent))
        self.apply(settings)

    def apply(self, settings: Log) -> None:
        """Go by ``settings`` from now on."""
        self._levels.apply(settings)
        for observer, before in self._files:
            observer.formatEvent = json_line if settings.format == "json" else before

    def end(self) -> None:
        """Leave the observers to their publisher again; lines keep their form."""
        for observer, filtered in self._wrapped:
            self._publisher.removeObserver(filtered)
            self._publisher.addObserver(observer)
        self._wrapped.clear()
        self._files.clear()
