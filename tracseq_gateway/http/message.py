"""Message heads: strict reading of request heads and of answer heads.

llhttp (through httptools) does the lexical work; this module adds what it lets through, so that a head which comes
out of here has exactly one meaning:

1. The request line is matched whole: one space between its parts, no fragment, HTTP/1.0 or 1.1.
2. One Host, valid; an authority in the target takes its place (RFC 9112 section 3.2.2).
3. One way to frame the body (see ``framing``).
4. Sizes and counts are bounded before anything is parsed.

What a head means is a pure function of its bytes, and a client repeats its fields with every request on a kept
connection, as a service does with its answers. So each connection keeps the last block of fields that it read beside
what it meant, and the same bytes are not read twice; what single lines mean is kept in :class:`KnownLines`.

Names of fields come out in lower case, as HAProxy and Envoy send them and as HTTP/2 requires.
"""

from __future__ import annotations

import re
from contextlib import suppress

from attrs import define, frozen
from httptools import (
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)

from tracseq_gateway.errors import (
    ANSWER_TOO_LARGE,
    BAD_REQUEST,
    EXPECTATION_FAILED,
    HEAD_TOO_LARGE,
    METHOD_NOT_ALLOWED,
    NOT_IMPLEMENTED,
    TARGET_TOO_LONG,
    VERSION_NOT_SUPPORTED,
    AnswerRefused,
    RequestRefused,
)
from tracseq_gateway.http.fields import FieldBlock, FieldLine, Fields, KnownLines
from tracseq_gateway.http.framing import CHUNKED, UNTIL_CLOSE, BadFraming, body_length
from tracseq_gateway.http.target import normalise

_REQUEST_LINE = re.compile(rb"([A-Z][A-Z_-]*) ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])\r\n").match
_OTHER_VERSION = re.compile(rb"[A-Z]+ [\x21-\x7e]+ HTTP/[02-9]\.[0-9]\r\n").match
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n").match
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'*+=-]+)(?::[0-9]{0,10})?").fullmatch
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?@]+)([/?].*)?").fullmatch
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
"""The methods that are forwarded."""

_NO_TOKENS: frozenset[bytes] = frozenset()
_USUAL_CONNECTION = [b"keep-alive"]
REQUEST_SPECIAL = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"upgrade",
        b"expect",
        b"x-request-id",
        b"via",
        b"max-forwards",
    }
)
ANSWER_SPECIAL = frozenset({b"content-length", b"transfer-encoding", b"connection", b"date"})

_LONGEST_KEPT = 4096
"""Blocks of fields longer than this are not kept beside their meaning."""


@frozen
class HeadLimits:
    """What a request head may measure."""

    request_line: int = 8192
    head: int = 65536
    headers: int = 100
    keep_separators: bool = False


@define(eq=False)
class RequestFields:
    """What the fields of a request head mean; the same for every request that repeats them."""

    received: list[FieldLine]
    host: bytes | None
    length: int
    """Bytes of the body, or ``framing.CHUNKED``."""
    keep_alive: bool
    connection: frozenset[bytes]
    """What Connection names, in lower case, when it names more than ``close`` or ``keep-alive``."""
    expects_continue: bool
    upgrade: bytes
    """What an Upgrade field of HTTP/1.1 asks for, in lower case; empty otherwise."""
    request_id: bytes | None
    """The caller's X-Request-Id, if it is one that may be taken over."""
    via: bytes
    """All Via values; empty when there is none."""
    passed_on: bytes
    """The lines that go on to a service."""
    max_forwards: int | None = None
    """How often an OPTIONS request may still be passed on (RFC 9110 section 7.6.2)."""

    @property
    def pairs(self) -> Fields:
        """Names and values of all fields."""
        return [(line.name, line.value) for line in self.received]


@define(eq=False)
class RequestHead:
    """A request head with one meaning."""

    method: bytes
    path: bytes
    """Normalised; starts with ``/``, or is ``*``."""
    query: bytes
    """With its ``?``, byte for byte; empty when there is none."""
    minor: int
    host: bytes
    """Empty only in HTTP/1.0."""
    fields: RequestFields

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a field by its lower-case name."""
        for line in self.fields.received:
            if line.name == name:
                return line.value
        return None


@define(eq=False)
class AnswerHead:
    """The head of a service's answer with one meaning."""

    status: int
    reason: bytes
    minor: int
    received: list[FieldLine]
    length: int
    """Bytes of the body that follows, ``framing.CHUNKED`` or ``framing.UNTIL_CLOSE``."""
    declared: int | None
    """What Content-Length said, which on HEAD and 304 is not what follows; None where it is missing or void."""
    keep_alive: bool
    connection: frozenset[bytes]
    dated: bool
    """Whether it has a Date field."""
    block: FieldBlock | None = None
    """What goes on to a client, written once (see ``forwarding``)."""


class _Nothing:
    """Takes nothing from the parser: it only says whether a head is good."""


class _Completeness:
    """Takes from the parser that it came to the end of the head."""

    complete = False

    def on_headers_complete(self) -> None:
        self.complete = True


_NOTHING = _Nothing()


def _tokens(value: bytes) -> frozenset[bytes]:
    """Split a Connection value into its lower-case tokens."""
    return frozenset(token for part in value.lower().split(b",") if (token := part.strip(b" \t")))


class RequestParser:
    """Reads the request heads of one connection."""

    __slots__ = ("_block", "_fields", "_known", "_limits", "_minor")

    def __init__(self, limits: HeadLimits, known: KnownLines) -> None:
        self._limits = limits
        self._known = known
        self._block = b""
        self._minor = 1
        self._fields: RequestFields | None = None

    def parse(self, raw: bytes) -> RequestHead:
        """Read a request head that ends with its empty line; raises :class:`RequestRefused`."""
        limits = self._limits
        line = _REQUEST_LINE(raw)
        if line is None or line.end() - 2 > limits.request_line or len(raw) > limits.head:
            raise _refuse_size_or_line(raw, limits)
        method, target, digit = line.groups()
        if method not in METHODS:
            raise _refuse_method(method)
        minor = 1 if digit == b"1" else 0
        block = raw[line.end() :]
        fields = self._fields
        if fields is None or block != self._block or minor != self._minor:
            fields = _request_fields(raw, block, minor, limits, self._known)
            if len(block) <= _LONGEST_KEPT:
                self._block, self._minor, self._fields = block, minor, fields
        if target[0] == 0x2F:
            host = fields.host
            path, mark, query = target.partition(b"?")
            if mark:
                query = mark + query
            path = normalise(path, keep_separators=limits.keep_separators)
        else:
            path, query, host = _other_target(method, target, fields.host, limits)
        if host is None:
            if minor:
                raise RequestRefused(BAD_REQUEST, "no Host field")
            host = b""
        return RequestHead(method, path, query, minor, host, fields)


def _request_fields(raw: bytes, block: bytes, minor: int, limits: HeadLimits, known: KnownLines) -> RequestFields:
    """Read the fields of a request head, ``block`` being ``raw`` without its request line."""
    try:
        HttpRequestParser(_NOTHING).feed_data(raw)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise _refuse_head(raw, block, minor, known, error) from None
    received = known.read(block)
    if len(received) > limits.headers:
        raise RequestRefused(HEAD_TOO_LARGE, f"more than {limits.headers} header fields")
    special = _Special(received)
    expects_continue = False
    if special.other:
        for value in special.values(b"expect"):
            if value.lower() != b"100-continue":
                raise RequestRefused(EXPECTATION_FAILED, "an expectation other than 100-continue")
            expects_continue = minor == 1
    length = _request_length(special, minor)
    keep_alive, connection = _connection(special.connection, minor)
    upgrade = b", ".join(special.values(b"upgrade")).lower() if minor and b"upgrade" in connection else b""
    if upgrade and length:
        raise RequestRefused(BAD_REQUEST, "a body on a request to upgrade the protocol")
    return RequestFields(
        received,
        _host(special.host),
        length,
        keep_alive,
        connection,
        expects_continue,
        upgrade,
        _request_id(special),
        b", ".join(special.values(b"via")) if special.other else b"",
        _passed_on(received, connection),
        _max_forwards(special),
    )


class _Special:
    """The values of the fields that the gateway reads: those of nearly every head apart, the others by name."""

    __slots__ = ("codings", "connection", "host", "lengths", "other")

    def __init__(self, received: list[FieldLine]) -> None:
        self.host: list[bytes] = []
        self.connection: list[bytes] = []
        self.lengths: list[bytes] = []
        self.codings: list[bytes] = []
        self.other: Fields = []
        for name, value, special, _ in received:
            if special:
                if name == b"host":
                    self.host.append(value)
                elif name == b"connection":
                    self.connection.append(value)
                elif name == b"content-length":
                    self.lengths.append(value)
                elif name == b"transfer-encoding":
                    self.codings.append(value)
                else:
                    self.other.append((name, value))

    def values(self, wanted: bytes) -> list[bytes]:
        """The values of one of the other fields."""
        return [value for name, value in self.other if name == wanted] if self.other else []

    def body_length(self, minor: int) -> int | None:
        """What the framing fields say; raises :class:`BadFraming`."""
        if not self.lengths and not self.codings:
            return None
        return body_length(self.lengths, self.codings, minor)


def _refuse_head(raw: bytes, block: bytes, minor: int, known: KnownLines, error: Exception) -> RequestRefused:
    """Say why llhttp refused a head. Behind a whole one it stops at a transfer coding that it does not know."""
    sink = _Completeness()
    with suppress(HttpParserError, HttpParserUpgrade):
        HttpRequestParser(sink).feed_data(raw)
    if sink.complete:
        _request_length(_Special(known.read(block)), minor)
    return RequestRefused(BAD_REQUEST, f"malformed request head: {error}")


def _passed_on(received: list[FieldLine], connection: frozenset[bytes]) -> bytes:
    """The lines that go on: all but those of one hop, which Connection may add to."""
    if connection:
        return b"".join([line.passed_on for line in received if line.name not in connection])
    return b"".join([passed_on for _, _, _, passed_on in received])


def _request_id(special: _Special) -> bytes | None:
    given = special.values(b"x-request-id")
    return given[0] if len(given) == 1 and _REQUEST_ID(given[0]) else None


def _max_forwards(special: _Special) -> int | None:
    given = special.values(b"max-forwards")
    return int(given[0]) if len(given) == 1 and given[0].isdigit() and len(given[0]) < 10 else None


def _host(hosts: list[bytes]) -> bytes | None:
    if len(hosts) > 1:
        raise RequestRefused(BAD_REQUEST, "more than one Host field")
    if not hosts:
        return None
    if _HOST(hosts[0]) is None:
        raise RequestRefused(BAD_REQUEST, "a malformed Host field")
    return hosts[0]


def _connection(options: list[bytes], minor: int) -> tuple[bool, frozenset[bytes]]:
    """Return whether the connection stays open, and what else Connection names (RFC 9112 section 9.3)."""
    if not options or (minor and options == _USUAL_CONNECTION):
        return minor == 1, _NO_TOKENS
    tokens = _NO_TOKENS.union(*map(_tokens, options))
    keep_alive = b"close" not in tokens and (minor == 1 or b"keep-alive" in tokens)
    return keep_alive, tokens - {b"close", b"keep-alive"}


def _request_length(special: _Special, minor: int) -> int:
    try:
        return special.body_length(minor) or 0
    except BadFraming as error:
        raise RequestRefused(NOT_IMPLEMENTED if error.unknown_coding else BAD_REQUEST, str(error)) from None


def _other_target(
    method: bytes, target: bytes, host: bytes | None, limits: HeadLimits
) -> tuple[bytes, bytes, bytes | None]:
    """Resolve a target that is no path into path, query and host (RFC 9112 section 3.2)."""
    if target == b"*" and method == b"OPTIONS":
        return target, b"", host
    absolute = _ABSOLUTE(target)
    if absolute is None:
        raise RequestRefused(BAD_REQUEST, "the request target is neither a path nor an http URL")
    if host is None or _HOST(absolute[1]) is None:
        raise RequestRefused(BAD_REQUEST, "a malformed host in the request target, or no Host field")
    path, mark, query = (absolute[2] or b"/").partition(b"?")
    return normalise(path or b"/", keep_separators=limits.keep_separators), mark + query, absolute[1]


def _refuse_method(method: bytes) -> RequestRefused:
    if method == b"TRACE":
        return RequestRefused(METHOD_NOT_ALLOWED, "TRACE is not offered", tuple(sorted(m.decode() for m in METHODS)))
    return RequestRefused(NOT_IMPLEMENTED, "the method is not forwarded")


def _refuse_size_or_line(raw: bytes, limits: HeadLimits) -> RequestRefused:
    """Say why a request line was refused."""
    if raw.find(b"\r\n") > limits.request_line:
        return RequestRefused(TARGET_TOO_LONG, f"a request line longer than {limits.request_line} bytes")
    if len(raw) > limits.head:
        return RequestRefused(HEAD_TOO_LARGE, f"a request head larger than {limits.head} bytes")
    if _OTHER_VERSION(raw):
        return RequestRefused(VERSION_NOT_SUPPORTED, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    return RequestRefused(BAD_REQUEST, "a malformed request line")


# What a request line may look like before its end has come.
_LINE_SO_FAR = re.compile(rb"[A-Z][A-Z_-]*(?: (?:[\x21\x22\x24-\x7e]+(?: [HTP/0-9.]{0,8}\r?)?)?)?").fullmatch


class HeadProbe:
    """Watches a request head that arrives in pieces, so that what can never be good is refused at once.

    Its verdicts are those of :class:`RequestParser` on the whole, only earlier.
    """

    __slots__ = ("_fed", "_limits", "_parser")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._parser: HttpRequestParser | None = None
        self._fed = 0

    def look(self, raw: bytes) -> None:
        """Look at all that has come of the head; raises :class:`RequestRefused`."""
        limits = self._limits
        if self._parser is None:
            end = raw.find(b"\r\n")
            if end > limits.request_line or (end < 0 and len(raw) > limits.request_line + 1):
                raise RequestRefused(TARGET_TOO_LONG, f"a request line longer than {limits.request_line} bytes")
            if end < 0:
                if _LINE_SO_FAR(raw) is None:
                    raise RequestRefused(BAD_REQUEST, "a malformed request line")
                return
            line = _REQUEST_LINE(raw)
            if line is None:
                raise _refuse_size_or_line(raw, limits)
            if line[1] not in METHODS:
                raise _refuse_method(line[1])
            self._parser = HttpRequestParser(self)
        if len(raw) > limits.head:
            raise RequestRefused(HEAD_TOO_LARGE, f"a request head larger than {limits.head} bytes")
        try:
            self._parser.feed_data(raw[self._fed :])
        except (HttpParserError, HttpParserUpgrade) as error:
            raise RequestRefused(BAD_REQUEST, f"malformed request head: {error}") from None
        self._fed = len(raw)


MAX_ANSWER_HEAD = 65536
MAX_ANSWER_FIELDS = 256
_ANSWER_START = b"HTTP/1."


class AnswerParser:
    """Reads the answer heads of one connection."""

    __slots__ = ("_bodiless", "_head", "_known", "_raw")

    def __init__(self, known: KnownLines) -> None:
        self._known = known
        self._raw = b""
        self._bodiless = False
        self._head: AnswerHead | None = None

    def parse(self, raw: bytes, method: bytes) -> AnswerHead:
        """Read the head of an answer to ``method``, ending with its empty line; raises :class:`AnswerRefused`."""
        bodiless = method == b"HEAD"
        head = self._head
        if head is None or raw != self._raw or bodiless != self._bodiless:
            head = _answer_head(raw, bodiless, self._known)
            if len(raw) <= _LONGEST_KEPT:
                self._raw, self._bodiless, self._head = raw, bodiless, head
        return head


def check_answer_start(data: bytes) -> None:
    """Look at the beginning of an answer head; raises :class:`AnswerRefused` if it can never become a good one."""
    end = data.find(b"\n")
    good = _STATUS_LINE(data) if end >= 0 else data.startswith(_ANSWER_START[: len(data)])
    if not good:
        raise AnswerRefused("a malformed status line")
    if len(data) > MAX_ANSWER_HEAD:
        raise AnswerRefused("an answer head that is too large", ANSWER_TOO_LARGE)


def _answer_head(raw: bytes, bodiless: bool, known: KnownLines) -> AnswerHead:
    """Read an answer head; what frames its body as RFC 9112 section 6.3 says."""
    line = _STATUS_LINE(raw)
    if line is None:
        raise AnswerRefused("a malformed status line")
    if len(raw) > MAX_ANSWER_HEAD:
        raise AnswerRefused("an answer head that is too large", ANSWER_TOO_LARGE)
    try:
        HttpResponseParser(_NOTHING).feed_data(raw)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise AnswerRefused(f"malformed answer head: {error}") from None
    received = known.read(raw[line.end() :])
    if len(received) > MAX_ANSWER_FIELDS:
        raise AnswerRefused("an answer head with too many fields", ANSWER_TOO_LARGE)
    special = _Special(received)
    minor, status = 1 if line[1] == b"1" else 0, int(line[2])
    keep_alive, connection = _connection(special.connection, minor)
    declared = None if status < 200 or status == 204 else _answer_length(special, minor)
    if bodiless or status < 200 or status in (204, 304):
        length = 0
    elif declared is None:
        length = UNTIL_CLOSE
        keep_alive = False
    else:
        length = declared
    if declared == CHUNKED:
        declared = None
    dated = bool(special.values(b"date"))
    return AnswerHead(status, line[3] or b"", minor, received, length, declared, keep_alive, connection, dated)


def _answer_length(special: _Special, minor: int) -> int | None:
    try:
        return special.body_length(minor)
    except BadFraming as error:
        raise AnswerRefused(str(error)) from None
