"""Which events are kept: by a level, and by levels for parts of the program."""

from __future__ import annotations

from constantly import NamedConstant
from twisted.logger import ILogFilterPredicate, LogEvent, LogLevel, LogLevelFilterPredicate, PredicateResult
from zope.interface import implementer

from tracseq_gateway.config.logs import Log
from tracseq_gateway.own_log.said import SAID


@implementer(ILogFilterPredicate)
class Levels:
    """Says of each event whether it is kept; changed by :meth:`apply` at any time.

    What a child process says it has judged itself, by the same levels.
    """

    def __init__(self) -> None:
        self._judge = LogLevelFilterPredicate(LogLevel.info)

    def apply(self, settings: Log) -> None:
        """Go by these levels from now on."""
        self._judge = LogLevelFilterPredicate(LogLevel.levelWithName(settings.level))
        for namespace, level in settings.levels.items():
            self._judge.setLogLevelForNamespace(namespace, LogLevel.levelWithName(level))

    def __call__(self, event: LogEvent) -> NamedConstant:
        """See ``ILogFilterPredicate``."""
        return PredicateResult.yes if SAID in event else self._judge(event)
