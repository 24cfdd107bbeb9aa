"""The line that nearly every request gets: JSON with all fields, of a request that a service answered.

It is the same line that ``lines`` makes of the values of ``values``, made in fewer steps: a request's line is the
dearest thing that is done for it beside passing it on, so what is the same for many requests (who calls, where it went)
is spelled once as a whole, and numbers are written by the one ``%`` that writes the line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tracseq_gateway.access_log.redaction import Redactor
from tracseq_gateway.access_log.values import (
    PROTOCOLS,
    Bounded,
    KnownTexts,
    MillisecondText,
    Spelling,
    names_of,
    whereto,
    who,
)
from tracseq_gateway.config.logs import AccessLog
from tracseq_gateway.interfaces import SWITCHED, Identity, Request

WHO: Final = ("client", "user", "key")
WHERE: Final = ("service", "route", "instance", "limit", "cache")
_FORMS: Final = {
    **dict.fromkeys(("time", "request_id", "protocol"), '"%s"'),
    **dict.fromkeys(("status", "attempts", "received", "sent"), "%d"),
    **dict.fromkeys(("duration_ms", "doors_ms", "connect_ms", "upstream_ms"), "%.3f"),
}


def members(names: tuple[str, ...]) -> str:
    """Members of an object, for ``%``."""
    return ",".join(f'"{name}":{_FORMS.get(name, "%s")}' for name in names)


def whole_template() -> str:
    """The line, with one place for each of the two groups whose members are spelled together."""
    text = "{" + members(names_of(())) + "}\n"
    return text.replace(members(WHO), "%s").replace(members(WHERE), "%s")


def whole_lines(
    spelling: Spelling,
    settings: AccessLog,
    routes: Mapping[str, str],
    other: Callable[[Request, float, float], str],
) -> Callable[[Request, float, float], str]:
    """Return what makes such lines; ``other`` makes those of other requests. ``routes`` are the services' prefixes."""
    template, nothing, yes, no = whole_template(), spelling.nothing, spelling.yes, spelling.no
    known = KnownTexts(spelling.octets)
    redact = Redactor(settings.redact)
    slow_seconds = settings.slow_seconds or float("inf")
    time_at = MillisecondText().at
    callers: Bounded[tuple[str, Identity | None], str] = Bounded()
    places: Bounded[tuple[str, str, str, str], str] = Bounded()

    def line(request: Request, ended: float, seconds: float) -> str:
        answered = request.answered
        if not answered or request.error is not None:
            return other(request, ended, seconds)
        head, trace, admitted, passed_on = request.head, request.trace, request.admitted, request.passed_on
        agent, tls = head.fields.agent, request.tls
        return template % (
            time_at(ended),
            request.request_id.decode("ascii"),
            f'"{trace.trace_id}"' if trace is not None else nothing,
            callers.get((request.client, request.identity)) or new_caller(request),
            known[head.method],
            known[head.path],
            spelling.octets(redact(head.query)) if head.query else '""',
            PROTOCOLS[head.version],
            f'"{tls.version}"' if tls is not None else nothing,
            request.status,
            seconds * 1000,
            (admitted - request.began) * 1000,
            (passed_on - admitted) * 1000,
            (answered - passed_on) * 1000,
            places.get((request.service, request.instance, request.limit, request.cache)) or new_place(request),
            request.attempts,
            request.received,
            request.sent,
            known[agent] if agent is not None else nothing,
            nothing,
            nothing,
            yes if seconds >= slow_seconds and request.status != SWITCHED else no,
        )

    def new_caller(request: Request) -> str:
        return callers.keep((request.client, request.identity), members(WHO) % spelling.all(who(request)))

    def new_place(request: Request) -> str:
        where = (request.service, request.instance, request.limit, request.cache)
        return places.keep(where, members(WHERE) % spelling.all(whereto(request, routes)))

    return line
