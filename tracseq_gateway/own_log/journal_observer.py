"""Writes the events of the log into systemd's journal."""

from __future__ import annotations

from typing import Final

from constantly import NamedConstant
from twisted.logger import ILogObserver, LogEvent, LogLevel
from zope.interface import implementer

from tracseq_gateway.journal.entry import IDENTIFIER, entry
from tracseq_gateway.journal.sender import Sender
from tracseq_gateway.own_log.said import level_of, said

PRIORITIES: Final[dict[NamedConstant, str]] = {
    LogLevel.debug: "7",
    LogLevel.info: "6",
    LogLevel.warn: "4",
    LogLevel.error: "3",
    LogLevel.critical: "2",
}
"""As in sd-daemon(3) and syslog(3)."""


@implementer(ILogObserver)
class JournalObserver:
    """Makes an entry of every event. Never waits: what a busy or missing journal does not take is counted as lost, and
    the next entry that it takes is told of that."""

    def __init__(self, sender: Sender) -> None:
        self.lost = 0
        """Entries that were lost and not reported yet."""
        self._sender = sender

    def __call__(self, event: LogEvent) -> None:
        """See ``ILogObserver``."""
        try:
            if self.lost:
                self._sender.send(_report(self.lost))
                self.lost = 0
            self._sender.send(entry(fields(event)))
        except OSError:
            self.lost += 1  # nobody is left who could be told now


def fields(event: LogEvent) -> list[tuple[str, object]]:
    """The fields of an event's entry. The traceback stands in the message, where ``journalctl`` shows it."""
    told = said(event)
    found: list[tuple[str, object]] = [
        ("MESSAGE", told),
        ("PRIORITY", PRIORITIES[level_of(event)]),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
        ("TRACSEQ_NAMESPACE", told.namespace),
    ]
    if told.process:
        found.append(("TRACSEQ_PROCESS", told.process))
    if told.exception:
        found.append(("TRACSEQ_EXCEPTION", told.exception))
    if told.code is not None:
        found += [
            ("CODE_FILE", told.code.file),
            ("CODE_LINE", told.code.line),
            ("CODE_FUNC", told.code.function),
        ]
    return found


def _report(lost: int) -> bytes:
    message = f"{lost} entries of the log were lost: the journal did not take them"
    return entry([("MESSAGE", message), ("PRIORITY", "3"), ("SYSLOG_IDENTIFIER", IDENTIFIER)])
