"""What a request that is over says of itself: one value for each field, as some form of line spells it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from attrs import frozen

from tracseq_gateway.access_log.redaction import Redactor
from tracseq_gateway.config.log_line import FIELDS, field_of_header
from tracseq_gateway.config.logs import AccessLog
from tracseq_gateway.interfaces import SWITCHED, Identity, Request

NAMES: Final = tuple(FIELDS)
"""The fields that every request has."""

MOST_KNOWN: Final = 4096
LONGEST_KNOWN: Final = 256
"""How many texts are kept, and how long they may be."""

PROTOCOLS: Final = {version: f"HTTP/{version}" for version in ("1.0", "1.1", "2")}

Key = TypeVar("Key")
Value = TypeVar("Value")
Texts = tuple[str | None, ...]
Spelled = Texts
Values = Callable[[Request, float, float], tuple[object, ...]]
"""Gives the values of a request that ended at a time (seconds since the epoch) after so many seconds."""


@frozen
class Spelling:
    """How values stand in a line. Numbers stand as they are; so do times and ids, which need no escaping."""

    text: Callable[[str], str]
    octets: Callable[[bytes], str]
    """The same for bytes of a head."""
    nothing: str | None
    """What there is not."""
    yes: str = "true"
    no: str = "false"

    def all(self, texts: Iterable[str | None]) -> Spelled:
        """Several texts, of which some may be nothing."""
        return tuple(self.nothing if text is None else self.text(text) for text in texts)


def who(request: Request) -> Texts:
    """Who sent a request: the client's address, the user, the API key."""
    identity = request.identity
    user, key = (identity.subject, identity.key_name or None) if identity is not None else (None, None)
    return request.client, user, key


def whereto(request: Request, routes: Mapping[str, str]) -> Texts:
    """Where it went: service, route, instance, and what limiter and cache said on the way."""
    service = request.service
    return service or None, routes.get(service), request.instance or None, request.limit or None, request.cache or None


def values_of(
    spelling: Spelling, settings: AccessLog, routes: Mapping[str, str], headers: Sequence[str] = ()
) -> Values:
    """Return what gives the values of a request, in the order of :func:`names_of` ``headers``, fields of its head.

    ``routes`` are the prefixes of the services. What is the same for many requests is spelled once.
    """
    nothing, yes, no, no_query = spelling.nothing, spelling.yes, spelling.no, spelling.octets(b"")
    known = KnownTexts(spelling.octets)
    redact = Redactor(settings.redact)
    slow_seconds = settings.slow_seconds or float("inf")
    moments = MillisecondText()
    callers: Bounded[tuple[str, Identity | None], Spelled] = Bounded()
    places: Bounded[tuple[str, str, str, str], Spelled] = Bounded()

    def values(request: Request, ended: float, seconds: float) -> tuple[object, ...]:
        head, error, trace, tls = request.head, request.error, request.trace, request.tls
        client, user, key = callers.get((request.client, request.identity)) or new_caller(request)
        where = (request.service, request.instance, request.limit, request.cache)
        service, route, instance, limit, cache = places.get(where) or new_place(request)
        admitted, passed_on, answered = request.admitted, request.passed_on, request.answered
        return (
            moments.at(ended),
            request.request_id.decode("ascii"),
            spelling.text(trace.trace_id) if trace is not None else nothing,
            client,
            user,
            key,
            known[head.method],
            known[head.path],
            spelling.octets(redact(head.query)) if head.query else no_query,
            PROTOCOLS[head.version],
            spelling.text(tls.version) if tls is not None else nothing,
            request.status,
            "%.3f" % (seconds * 1000),
            "%.3f" % ((admitted - request.began) * 1000) if admitted else nothing,
            "%.3f" % ((passed_on - admitted) * 1000) if passed_on else nothing,
            "%.3f" % ((answered - passed_on) * 1000) if answered else nothing,
            service,
            route,
            instance,
            limit,
            cache,
            request.attempts,
            request.received,
            request.sent,
            known[head.fields.agent] if head.fields.agent is not None else nothing,
            spelling.text(error.kind.slug) if error is not None else nothing,
            spelling.text(error.note or error.detail) if error is not None else nothing,
            yes if seconds >= slow_seconds and request.status != SWITCHED else no,
        )

    def new_caller(request: Request) -> Spelled:
        return callers.keep((request.client, request.identity), spelling.all(who(request)))

    def new_place(request: Request) -> Spelled:
        where = (request.service, request.instance, request.limit, request.cache)
        return places.keep(where, spelling.all(whereto(request, routes)))

    return _with_headers(values, headers, spelling, redact) if headers else values


def _with_headers(values: Values, names: Sequence[str], spelling: Spelling, redact: Redactor) -> Values:
    """The same, followed by the values of these fields of the request's head; of a Referer, the query is redacted."""
    fields = [(name.lower().encode("ascii"), redact.url if name.lower() == "referer" else None) for name in names]

    def spelled(request: Request, name: bytes, change: Callable[[bytes], bytes] | None) -> str | None:
        value = request.head.get(name)
        if value is None:
            return spelling.nothing
        return spelling.octets(value if change is None else change(value))

    def longer(request: Request, ended: float, seconds: float) -> tuple[object, ...]:
        return (*values(request, ended, seconds), *[spelled(request, name, change) for name, change in fields])

    return longer


def names_of(headers: Sequence[str]) -> tuple[str, ...]:
    """The fields of a request and of these fields of its head."""
    return (*NAMES, *map(field_of_header, headers))


class Bounded(dict[Key, Value]):
    """What was worked out and is likely to be needed again. When there is too much of it, it begins anew."""

    def keep(self, key: Key, value: Value) -> Value:
        """Keep ``value``, and return it."""
        if len(self) >= MOST_KNOWN:
            self.clear()
        self[key] = value
        return value


class KnownTexts(Bounded[bytes, str]):
    """From bytes to how they are spelled; what is long is spelled each time."""

    def __init__(self, spell: Callable[[bytes], str]) -> None:
        super().__init__()
        self._spell = spell

    def __missing__(self, value: bytes) -> str:
        known = self._spell(value)
        return self.keep(value, known) if len(value) <= LONGEST_KNOWN else known


class MillisecondText:
    """Writes a moment as RFC 3339 in UTC; many requests end within the same millisecond."""

    def __init__(self) -> None:
        self._seconds = SecondText(lambda now: time.strftime("%Y-%m-%dT%H:%M:%S", now))
        self._millisecond = -1
        self._text = ""

    def at(self, moment: float) -> str:
        """The text for seconds since the epoch."""
        millisecond = int(moment * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            self._text = f"{self._seconds.at(millisecond // 1000)}.{millisecond % 1000:03d}Z"
        return self._text


class SecondText:
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


def text(value: bytes) -> str:
    """Bytes of a head as text: UTF-8, or else ISO 8859-1, which every sequence of bytes can be."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
