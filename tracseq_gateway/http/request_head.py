"""Request heads, read strictly.

llhttp (through httptools) does the lexical work; this module adds what it lets through, so that a head which comes
out of here has exactly one meaning:

1. The request line is matched whole: one space between its parts, no fragment, HTTP/1.0 or 1.1.
2. One Host, valid; an authority in the target takes its place (RFC 9112 section 3.2.2).
3. One way to frame the body (see ``framing``).
4. Sizes and counts are bounded before anything is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from attrs import define, frozen
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from tracseq_gateway.errors import (
    BAD_REQUEST,
    EXPECTATION_FAILED,
    HEAD_TOO_LARGE,
    METHOD_NOT_ALLOWED,
    NOT_IMPLEMENTED,
    TARGET_TOO_LONG,
    VERSION_NOT_SUPPORTED,
    RequestRefused,
)
from tracseq_gateway.http.fields import FieldLine, Fields, KnownLines, first_value
from tracseq_gateway.http.framing import BadFraming
from tracseq_gateway.http.heads import LONGEST_KEPT, NOTHING, SpecialFields, connection_options
from tracseq_gateway.http.target import normalise
from tracseq_gateway.http.trace_context import TRACE_FIELDS

REQUEST_LINE = re.compile(rb"([A-Z][A-Z_-]*) ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])\r\n").match
_OTHER_VERSION = re.compile(rb"[A-Z][A-Z_-]* [\x21\x22\x24-\x7e]+ HTTP/[02-9]\.[0-9]\r\n").match
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'*+=-]+)(?::[0-9]{0,10})?").fullmatch
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?@]+)([/?].*)?").fullmatch
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
"""The methods that are forwarded."""

VERSIONS = ("1.0", "1.1")
"""By the minor version."""

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
        b"authorization",
    }
)

DIGEST_FIELDS = frozenset({b"content-digest", b"repr-digest"})
"""What a request says of its body's digest (RFC 9530)."""


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
    authorization: tuple[bytes, ...] = ()
    """The values of Authorization; more than one is an attempt to be two."""
    _trace: Sequence[FieldLine] | None = None
    _digests: Sequence[FieldLine] | None = None
    _agent: bytes | None = None
    _agent_known: bool = False
    _accept_encoding: bytes | None = None
    credential: object = None
    """What was found out about who sends these fields, kept by who found it out: the same bytes, the same caller."""
    max_forwards: int | None = None
    """How often an OPTIONS request may still be passed on (RFC 9110 section 7.6.2)."""

    @property
    def trace(self) -> Sequence[FieldLine]:
        """The lines of traceparent and tracestate. Looked for when somebody asks, and then kept."""
        if self._trace is None:
            self._trace = [line for line in self.received if line.name in TRACE_FIELDS]
        return self._trace

    @property
    def digests(self) -> Sequence[FieldLine]:
        """The lines of Content-Digest and Repr-Digest. Looked for when somebody asks, and then kept."""
        if self._digests is None:
            self._digests = [line for line in self.received if line.name in DIGEST_FIELDS]
        return self._digests

    @property
    def agent(self) -> bytes | None:
        """User-Agent: the first, if there are several. Looked for when somebody asks, and then kept."""
        if not self._agent_known:
            self._agent_known = True
            self._agent = next((line.value for line in self.received if line.name == b"user-agent"), None)
        return self._agent

    @property
    def accept_encoding(self) -> bytes:
        """Accept-Encoding: all its values; empty when there is none. Looked for when somebody asks, and then kept."""
        if self._accept_encoding is None:
            values = [line.value for line in self.received if line.name == b"accept-encoding"]
            self._accept_encoding = b", ".join(values)
        return self._accept_encoding

    @property
    def pairs(self) -> Fields:
        """Names and values of all fields."""
        return [(line.name, line.value) for line in self.received]


NO_FIELDS = RequestFields([], None, 0, False, frozenset(), False, b"", None, b"", b"")
"""The fields of a head that could not be read."""


@define(eq=False)
class RequestHead:
    """A request head with one meaning."""

    method: bytes
    path: bytes
    """Normalised; starts with ``/``, or is ``*``."""
    query: bytes
    """With its ``?``, byte for byte; empty when there is none."""
    minor: int
    """The minor version of HTTP/1; that of HTTP/2 is 1, as it can do all that HTTP/1.1 can."""
    host: bytes
    """Empty only in HTTP/1.0."""
    fields: RequestFields
    major: int = 1
    """2: it came by HTTP/2, and is passed on as what HTTP/1.1 would have made of it."""

    @property
    def version(self) -> str:
        """The version of HTTP that it came by (RFC 9110 section 2.5): ``1.0``, ``1.1`` or ``2``."""
        return "2" if self.major == 2 else VERSIONS[self.minor]

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a field by its lower-case name."""
        return first_value(self.fields.received, name)


class _Completeness:
    """Takes from the parser that it came to the end of the head."""

    complete = False

    def on_headers_complete(self) -> None:
        self.complete = True


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
        line = REQUEST_LINE(raw)
        if line is None or line.end() - 2 > limits.request_line or len(raw) > limits.head:
            raise refuse_size_or_line(raw, limits)
        method, target, digit = line.groups()
        if method not in METHODS:
            raise refuse_method(method)
        minor = 1 if digit == b"1" else 0
        block = raw[line.end() :]
        fields = self._fields
        if fields is None or block != self._block or minor != self._minor:
            fields = _request_fields(raw, block, minor, limits, self._known)
            if len(block) <= LONGEST_KEPT:
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
        HttpRequestParser(NOTHING).feed_data(raw)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise _refuse_head(raw, block, minor, known, error) from None
    received = known.read(block)
    if len(received) > limits.headers:
        raise RequestRefused(HEAD_TOO_LARGE, f"more than {limits.headers} header fields")
    special = SpecialFields(received)
    expects_continue = False
    if special.other:
        for value in special.values(b"expect"):
            if value.lower() != b"100-continue":
                raise RequestRefused(EXPECTATION_FAILED, "an expectation other than 100-continue")
            expects_continue = minor == 1
    length = _request_length(special, minor)
    keep_alive, connection = connection_options(special.connection, minor)
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
        tuple(special.authorization),
        max_forwards=_max_forwards(special),
    )


def _refuse_head(raw: bytes, block: bytes, minor: int, known: KnownLines, error: Exception) -> RequestRefused:
    """Say why llhttp refused a head. Behind a whole one it stops at a transfer coding that it does not know."""
    sink = _Completeness()
    with suppress(HttpParserError, HttpParserUpgrade):
        HttpRequestParser(sink).feed_data(raw)
    if sink.complete:
        _request_length(SpecialFields(known.read(block)), minor)
    return RequestRefused(BAD_REQUEST, f"malformed request head: {error}")


def _passed_on(received: list[FieldLine], connection: frozenset[bytes]) -> bytes:
    """The lines that go on: all but those of one hop, which Connection may add to."""
    if connection:
        return b"".join([line.passed_on for line in received if line.name not in connection])
    return b"".join([passed_on for _, _, _, passed_on in received])


def _request_id(special: SpecialFields) -> bytes | None:
    given = special.values(b"x-request-id")
    return given[0] if len(given) == 1 and _REQUEST_ID(given[0]) else None


def _max_forwards(special: SpecialFields) -> int | None:
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


def _request_length(special: SpecialFields, minor: int) -> int:
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


def refuse_method(method: bytes) -> RequestRefused:
    """Say why a method was refused."""
    if method == b"TRACE":
        return RequestRefused(METHOD_NOT_ALLOWED, "TRACE is not offered", tuple(sorted(m.decode() for m in METHODS)))
    return RequestRefused(NOT_IMPLEMENTED, "the method is not forwarded")


def refuse_size_or_line(raw: bytes, limits: HeadLimits) -> RequestRefused:
    """Say why a request line was refused."""
    if raw.find(b"\r\n") > limits.request_line:
        return RequestRefused(TARGET_TOO_LONG, f"a request line longer than {limits.request_line} bytes")
    if len(raw) > limits.head:
        return RequestRefused(HEAD_TOO_LARGE, f"a request head larger than {limits.head} bytes")
    if _OTHER_VERSION(raw):
        return RequestRefused(VERSION_NOT_SUPPORTED, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    return RequestRefused(BAD_REQUEST, "a malformed request line")
