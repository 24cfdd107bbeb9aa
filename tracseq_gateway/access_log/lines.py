"""A request that is over as one line of text.

House rules:

1. A line is ASCII, ends with its only line feed, and cannot be broken by anything that a client sends.
2. No credential is written: no Authorization, no cookie, no API key; the query is redacted.
3. Lines are made by one ``%`` from values that are escaped one by one: json.dumps of a whole document costs several
   times as much. What a line looks like is decided once, at the start.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii as quoted
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final

from tracseq_gateway.access_log.redaction import Redactor
from tracseq_gateway.access_log.values import SecondText, Spelling, Values, names_of, text, values_of
from tracseq_gateway.access_log.whole_lines import whole_lines
from tracseq_gateway.config.log_line import HEADER, template_parts
from tracseq_gateway.config.logs import AccessLog
from tracseq_gateway.interfaces import Request

LineFormat = Callable[[Request, float, float], str]
"""Makes the line of a request that ended at a time (seconds since the epoch) after so many seconds."""

NO_ROUTES: Final[Mapping[str, str]] = MappingProxyType({})
DEFAULTS: Final = AccessLog()

_COMBINED: Final = '%s - %s [%s] "%s %s HTTP/%s" %d %d "%s" "%s"\n'
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")
_UNSAFE_OR_SPACE: Final = re.compile(r"[^!#-\[\]-~]")


def line_format(settings: AccessLog, routes: Mapping[str, str]) -> LineFormat:
    """The format that the configuration names; ``routes`` are the prefixes of the services."""
    if settings.format == "combined":
        return combined_lines(settings)
    return (json_lines if settings.format == "json" else template_lines)(settings, routes)


def json_lines(settings: AccessLog = DEFAULTS, routes: Mapping[str, str] = NO_ROUTES) -> LineFormat:
    """One JSON object a line; what there is not is null. Bytes that are no UTF-8 are read as ISO 8859-1."""
    spelling = Spelling(quoted, lambda value: quoted(text(value)), "null")
    values = values_of(spelling, settings, routes, settings.headers)
    names = names_of(settings.headers)
    plain = {"time", "request_id", "protocol"}  # texts that are spelled without their quotes
    members = {name: f'"{name}":"%s"' if name in plain else f'"{name}":%s' for name in names}
    kept = [name for name in names if name not in settings.omit]
    any_line = _line("{" + ",".join(members[name] for name in kept) + "}\n", names, kept, values)
    if settings.headers or settings.omit:
        return any_line
    return whole_lines(spelling, settings, routes, any_line)


def template_lines(settings: AccessLog, routes: Mapping[str, str] = NO_ROUTES) -> LineFormat:
    """The line that the operator has drawn; what there is not is ``-``.

    As in nginx, whatever could end a quoted field or the line is written ``\\xHH``.
    """
    parts = list(template_parts(settings.template))
    wanted = [name for _, name in parts if name]
    headers = sorted({name.removeprefix(HEADER).replace("_", "-") for name in wanted if name.startswith(HEADER)})
    spelling = Spelling(lambda value: _hex(value.encode("utf-8", "surrogatepass")), _hex, "-")
    values = values_of(spelling, settings, routes, headers)
    line = "".join(plain.replace("%", "%%") + ("%s" if name else "") for plain, name in parts)
    return _line(line + "\n", names_of(headers), wanted, values)


def combined_lines(settings: AccessLog = DEFAULTS) -> LineFormat:
    """The combined format of Apache and nginx, in UTC; the size is that of the body. Escaped like a template's."""
    second_text = SecondText(_clf_time)
    redact = Redactor(settings.redact)

    def line(request: Request, ended: float, seconds: float) -> str:
        head = request.head
        identity = request.identity
        referer = head.get(b"referer")
        agent = head.get(b"user-agent")
        return _COMBINED % (
            _hex(request.client.encode(), _UNSAFE_OR_SPACE),
            "-" if identity is None else _hex(identity.subject.encode(), _UNSAFE_OR_SPACE) or "-",
            second_text.at(int(ended)),
            _hex(head.method),
            _hex(head.path + redact(head.query)),
            head.version,
            request.status,
            request.sent,
            "-" if referer is None else _hex(redact.url(referer)),
            "-" if agent is None else _hex(agent),
        )

    return line


def _line(line: str, names: tuple[str, ...], wanted: list[str], values: Values) -> LineFormat:
    """Fill ``line`` with the values of the fields that are wanted."""
    if not wanted:
        return lambda request, ended, seconds: line % ()
    if wanted == list(names):
        return lambda request, ended, seconds: line % values(request, ended, seconds)
    # The first is picked twice, for itemgetter makes a tuple of two or more only; "%.0s" writes nothing of it.
    pick: Callable[[Any], Any] = itemgetter(names.index(wanted[0]), *map(names.index, wanted))
    return lambda request, ended, seconds: ("%.0s" + line) % pick(values(request, ended, seconds))


def _clf_time(now: time.struct_time) -> str:
    """``10/Oct/2026:13:55:36 +0000``; the months are English in every locale."""
    month = _MONTHS[now.tm_mon - 1]
    return f"{now.tm_mday:02}/{month}/{now.tm_year}:{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} +0000"


def _hex(value: bytes, unsafe: re.Pattern[str] = _UNSAFE) -> str:
    return unsafe.sub(lambda found: f"\\x{ord(found[0]):02X}", value.decode("latin-1"))
