"""A request that is over as one line of text.

House rules:

1. A line is ASCII, ends with its only line feed, and cannot be broken by anything that a client sends.
2. No credential is written: no Authorization, no cookie, no API key; the query is redacted.
3. Lines are made by ``%`` from values that are escaped one by one: json.dumps of a whole document costs several times
   as much.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from typing import Final, Literal

from tracseq_gateway.access_log.redaction import redact, redact_url
from tracseq_gateway.interfaces import Identity, Request

LineFormat = Callable[[Request, float, float], str]
"""Makes the line of a request that ended at a time (seconds since the epoch) after so many seconds."""

_JSON: Final = (
    '{"time":"%s.%03dZ","request_id":"%s",%s,"method":%s,"path":%s,"query":%s,'
    '"protocol":"HTTP/1.%d","status":%d,"duration_ms":%.3f,"service":%s,"received":%d,"sent":%d,'
    '"user_agent":%s,"error":%s,"reason":%s}\n'
)
_WHO: Final = '"client":%s,"user":%s,"key":%s'

MOST_KNOWN: Final = 4096
LONGEST_KNOWN: Final = 256
"""How many texts are kept, and how long they may be."""

_COMBINED: Final = '%s - %s [%s] "%s %s HTTP/1.%d" %d %d "%s" "%s"\n'
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")
_UNSAFE_OR_SPACE: Final = re.compile(r"[^!#-\[\]-~]")


def line_format(name: Literal["json", "combined"]) -> LineFormat:
    """The format that the configuration names."""
    return json_lines() if name == "json" else combined_lines()


def json_lines() -> LineFormat:
    """One JSON object a line; what there is not is null.

    ``time`` is when the request ended, RFC 3339 in UTC; ``path`` is normalised, and ``query`` has its ``?``; ``user``
    is the user's id or the owner of the API key ``key``; ``received`` and ``sent`` are bytes of the bodies; ``error``
    is the kind of error with which the gateway itself answered or broke off, and ``reason`` says more of it than the
    client is told. Bytes that are no UTF-8 are read as
    ISO 8859-1.
    """
    second_text = _Second(lambda now: time.strftime("%Y-%m-%dT%H:%M:%S", now))
    known = _KnownTexts()

    def line(request: Request, ended: float, seconds: float) -> str:
        head = request.head
        error = request.error
        second = int(ended)
        return _JSON % (
            second_text.at(second),
            int((ended - second) * 1000),
            request.request_id.decode("ascii"),
            who(request),
            known[head.method],
            known[head.path],
            quoted(text(redact(head.query))) if head.query else '""',
            head.minor,
            request.status,
            seconds * 1000,
            f'"{request.service}"' if request.service else "null",
            request.received,
            request.sent,
            "null" if head.fields.agent is None else known[head.fields.agent],
            "null" if error is None else f'"{error.kind.slug}"',
            "null" if error is None else quoted(error.note or error.detail),
        )

    def who(request: Request) -> str:
        """Client, user and key: the same for all requests of one caller from one address."""
        identity = request.identity
        caller = (request.client, identity)
        written = callers.get(caller)
        if written is None:
            written = _WHO % (
                quoted(request.client),
                "null" if identity is None else quoted(identity.subject),
                quoted(identity.key_name) if identity is not None and identity.key_name else "null",
            )
            if len(callers) >= MOST_KNOWN:
                callers.clear()
            callers[caller] = written
        return written

    callers: dict[tuple[str, Identity | None], str] = {}
    return line


def combined_lines() -> LineFormat:
    """The combined format of Apache and nginx, in UTC; the size is that of the body.

    As in nginx, whatever could end a field or the line is written ``\\xHH``.
    """
    second_text = _Second(_clf_time)

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
            head.minor,
            request.status,
            request.sent,
            "-" if referer is None else _hex(redact_url(referer)),
            "-" if agent is None else _hex(agent),
        )

    return line


def text(value: bytes) -> str:
    """Bytes of a head as text: UTF-8, or else ISO 8859-1, which every sequence of bytes can be."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


class _KnownTexts(dict[bytes, str]):
    """From bytes to how they stand in a line of JSON; what was written before is likely to come again. Bounded."""

    def __missing__(self, value: bytes) -> str:
        known = quoted(text(value))
        if len(value) <= LONGEST_KNOWN:
            if len(self) >= MOST_KNOWN:
                self.clear()
            self[value] = known
        return known


class _Second:
    """Writes a time of day, and does so once a second only."""

    def __init__(self, write: Callable[[time.struct_time], str]) -> None:
        self._write = write
        self._second = -1
        self._text = ""

    def at(self, second: int) -> str:
        """The text for whole seconds since the epoch."""
        if second != self._second:
            self._second = second
            self._text = self._write(time.gmtime(second))
        return self._text


def _clf_time(now: time.struct_time) -> str:
    """``10/Oct/2026:13:55:36 +0000``; the months are English in every locale."""
    month = _MONTHS[now.tm_mon - 1]
    return f"{now.tm_mday:02}/{month}/{now.tm_year}:{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} +0000"


def _hex(value: bytes, unsafe: re.Pattern[str] = _UNSAFE) -> str:
    return unsafe.sub(lambda found: f"\\x{ord(found[0]):02X}", value.decode("latin-1"))
