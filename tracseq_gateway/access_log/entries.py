"""A request that is over as one entry of the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tracseq_gateway.access_log.lines import NO_ROUTES, line_format
from tracseq_gateway.access_log.values import Spelling, names_of, text, values_of
from tracseq_gateway.config.logs import AccessLog
from tracseq_gateway.interfaces import Request
from tracseq_gateway.journal.entry import IDENTIFIER, entry

EntryFormat = Callable[[Request, float, float], bytes]
"""Makes the entry of a request that ended at a time (seconds since the epoch) after so many seconds."""

PREFIX: Final = "TRACSEQ_"
WARNING: Final = "4"
NOTICE: Final = "5"
INFORMATION: Final = "6"
NOTHING: Final = (None, "")


def journal_entries(settings: AccessLog, routes: Mapping[str, str] = NO_ROUTES) -> EntryFormat:
    """An entry with a field for each value that there is.

    Its message is the line that the format ``combined`` or ``template`` makes; else a short one, for ``json`` would say
    the same once more. A server error is a warning, and a slow request a notice.
    """
    spelling = Spelling(str, text, None)
    values = values_of(spelling, settings, routes, settings.headers)
    fields = [PREFIX + name.upper() if name not in settings.omit else "" for name in names_of(settings.headers)]
    message = short_message if settings.format == "json" else line_format(settings, routes)
    slow_seconds = settings.slow_seconds or float("inf")

    def entry_of(request: Request, ended: float, seconds: float) -> bytes:
        told = values(request, ended, seconds)
        return entry(
            [
                ("MESSAGE", message(request, ended, seconds).rstrip("\n")),
                ("PRIORITY", WARNING if request.status >= 500 else NOTICE if seconds >= slow_seconds else INFORMATION),
                ("SYSLOG_IDENTIFIER", IDENTIFIER),
                *[(name, value) for name, value in zip(fields, told, strict=True) if name and value not in NOTHING],
            ]
        )

    return entry_of


def short_message(request: Request, ended: float, seconds: float) -> str:
    """What somebody who reads along wants to know: ``GET /samples/42 403 in 0.2 ms: forbidden``."""
    why = f": {request.error.kind.slug}" if request.error is not None else ""
    head = request.head
    return f"{text(head.method)} {text(head.path)} {request.status} in {seconds * 1000:.1f} ms{why}"
