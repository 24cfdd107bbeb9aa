"""Message heads: strict reading of request heads and of answer heads.

llhttp (through httptools) does the lexical work; this module adds what it lets through, so that a head which comes
out of here has exactly one meaning:

1. The request line is matched whole: one space between its parts, no fragment, HTTP/1.0 or 1.1.
2. One Host, valid; an authority in the target takes its place (RFC 9112 section 3.2.2).
3. One way to frame the body (see ``framing``).
4. Sizes and counts are bounded before anything is parsed.

Names of fields come out in lower case, as HAProxy and Envoy send them and as HTTP/2 requires.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import define, frozen
from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
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
    Fields,
    RequestRefused,
)
from tracseq_gateway.http.framing import CHUNKED, UNTIL_CLOSE, BadFraming, body_length
from tracseq_gateway.http.target import normalise

_REQUEST_LINE = re.compile(rb"([A-Z][A-Z_-]*) ([\x21\x22\x24-\x7e]+) HTTP/1\.([01])\r\n").match
_OTHER_VERSION = re.compile(rb"[A-Z]+ [\x21-\x7e]+ HTTP/[02-9]\.[0-9]\r\n").match
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n").match
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'*+=-]+)(?::[0-9]*)?").fullmatch
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?@]+)([/?].*)?").fullmatch

_NO_TOKENS: frozenset[bytes] = frozenset()
_REQUEST_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect"})
_ANSWER_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection", b"upgrade"})


@frozen
class HeadLimits:
    """What a request head may measure."""

    request_line: int = 8192
    head: int = 65536
    headers: int = 100
    keep_separators: bool = False


@define
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
    fields: Fields
    length: int
    """Bytes of the body, or ``framing.CHUNKED``."""
    keep_alive: bool
    connection: frozenset[bytes]
    """What Connection names, in lower case, when it names more than ``close`` or ``keep-alive``."""
    expects_continue: bool
    upgrade: bytes
    """What an Upgrade field of HTTP/1.1 asks for, in lower case; empty otherwise."""

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a field by its lower-case name."""
        for key, value in self.fields:
            if key == name:
                return value
        return None


@define
class AnswerHead:
    """The head of a service's answer with one meaning."""

    status: int
    reason: bytes
    minor: int
    fields: Fields
    length: int
    """Bytes of the body that follows, ``framing.CHUNKED`` or ``framing.UNTIL_CLOSE``."""
    declared: int | None
    """What Content-Length said, which on HEAD and 304 is not what follows; None where it is missing or void."""
    keep_alive: bool
    connection: frozenset[bytes]


class _Sink:
    """Takes fields from the parser: all of them, and beside them those that frame the message."""

    __slots__ = ("fields", "framing", "special")

    def __init__(self, special: frozenset[bytes]) -> None:
        self.special = special
        self.fields: Fields = []
        self.framing: Fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        field = (name.lower(), value)
        self.fields.append(field)
        if field[0] in self.special:
            self.framing.append(field)

    def trim(self) -> None:
        """Remove white space after values, which llhttp leaves in place."""
        self.fields = [(name, value.rstrip(b" \t")) for name, value in self.fields]
        self.framing = [(name, value.rstrip(b" \t")) for name, value in self.framing]


def _ends_in_space(raw: bytes) -> bool:
    return b" \r\n" in raw or b"\t\r\n" in raw


def _tokens(value: bytes) -> frozenset[bytes]:
    """Split a Connection value into its lower-case tokens."""
    return frozenset(token for part in value.lower().split(b",") if (token := part.strip(b" \t")))


def parse_request(raw: bytes, limits: HeadLimits) -> RequestHead:
    """Read a request head that ends with its empty line; raises :class:`RequestRefused`."""
    line = _REQUEST_LINE(raw)
    if line is None or line.end() - 2 > limits.request_line or len(raw) > limits.head:
        raise _refuse_size_or_line(raw, limits)
    method, target, minor_digit = line.groups()
    minor = 1 if minor_digit == b"1" else 0
    sink = _Sink(_REQUEST_FRAMING)
    upgrading = False
    try:
        HttpRequestParser(sink).feed_data(raw)
    except HttpParserUpgrade:
        upgrading = True
    except HttpParserInvalidMethodError:
        raise RequestRefused(NOT_IMPLEMENTED, "the method is not known") from None
    except HttpParserError as error:
        # llhttp stops at a transfer coding that it does not know: ours to name it.
        if not sink.framing or b"transfer-encoding" not in {name for name, _ in sink.framing}:
            raise RequestRefused(BAD_REQUEST, f"malformed request head: {error}") from None
        _request_length(sink.framing, minor)
        raise RequestRefused(BAD_REQUEST, f"malformed request head: {error}") from None
    if len(sink.fields) > limits.headers:
        raise RequestRefused(HEAD_TOO_LARGE, f"more than {limits.headers} header fields")
    if _ends_in_space(raw):
        sink.trim()
    return _request_head(method, target, minor, sink, upgrading, limits)


def _request_head(
    method: bytes, target: bytes, minor: int, sink: _Sink, upgrading: bool, limits: HeadLimits
) -> RequestHead:
    """Decide what the framing fields mean."""
    length = 0
    host: bytes | None = None
    keep_alive = minor == 1
    connection = _NO_TOKENS
    expects_continue = False
    upgrade = b""
    framed = False
    for name, value in sink.framing:
        if name == b"host":
            if host is not None:
                raise RequestRefused(BAD_REQUEST, "more than one Host field")
            host = value
        elif name == b"connection":
            lowered = value.lower()
            if lowered == b"close":
                keep_alive = False
            elif lowered == b"keep-alive":
                keep_alive = keep_alive if minor else True
            else:
                connection = connection | _tokens(lowered)
        elif name == b"expect":
            if value.lower() != b"100-continue":
                raise RequestRefused(EXPECTATION_FAILED, "an expectation other than 100-continue")
            expects_continue = minor == 1
        elif name == b"upgrade":
            upgrade = value.lower()
        else:
            framed = True
    if framed:
        length = _request_length(sink.framing, minor)
    if connection:
        keep_alive = b"close" not in connection and (minor == 1 or b"keep-alive" in connection or keep_alive)
    if upgrade and (minor == 0 or b"upgrade" not in connection):
        upgrade = b""
    if (upgrading or upgrade) and length:
        raise RequestRefused(BAD_REQUEST, "a body on a request to upgrade the protocol")
    path, query, host = _target(method, target, minor, host, limits)
    return RequestHead(
        method, path, query, minor, host, sink.fields, length, keep_alive, connection, expects_continue, upgrade
    )


def _request_length(framing: Fields, minor: int) -> int:
    lengths = [value for name, value in framing if name == b"content-length"]
    codings = [value for name, value in framing if name == b"transfer-encoding"]
    try:
        return body_length(lengths, codings, minor) or 0
    except BadFraming as error:
        raise RequestRefused(NOT_IMPLEMENTED if error.unknown_coding else BAD_REQUEST, str(error)) from None


def _target(
    method: bytes, target: bytes, minor: int, host: bytes | None, limits: HeadLimits
) -> tuple[bytes, bytes, bytes]:
    """Resolve the target's form into path, query and host (RFC 9112 section 3.2)."""
    if method in (b"CONNECT", b"TRACE"):
        raise _refuse_method(method)
    if host is None:
        if minor == 1:
            raise RequestRefused(BAD_REQUEST, "no Host field")
        host = b""
    elif _HOST(host) is None:
        raise RequestRefused(BAD_REQUEST, "a malformed Host field")
    if target[0] != 0x2F:
        if target == b"*" and method == b"OPTIONS":
            return target, b"", host
        absolute = _ABSOLUTE(target)
        if absolute is None:
            raise RequestRefused(BAD_REQUEST, "the request target is neither a path nor an http URL")
        host = absolute[1]
        if _HOST(host) is None:
            raise RequestRefused(BAD_REQUEST, "a malformed host in the request target")
        target = absolute[2] or b"/"
        if target[0] == 0x3F:
            target = b"/" + target
    path, mark, query = target.partition(b"?")
    return normalise(path, keep_separators=limits.keep_separators), mark + query, host


def _refuse_method(method: bytes) -> RequestRefused:
    if method == b"TRACE":
        return RequestRefused(METHOD_NOT_ALLOWED, "TRACE is not offered")
    return RequestRefused(NOT_IMPLEMENTED, "CONNECT is not offered")


def _refuse_size_or_line(raw: bytes, limits: HeadLimits) -> RequestRefused:
    """Say why a request line was refused."""
    if raw.find(b"\r\n") > limits.request_line:
        return RequestRefused(TARGET_TOO_LONG, f"a request line longer than {limits.request_line} bytes")
    if len(raw) > limits.head:
        return RequestRefused(HEAD_TOO_LARGE, f"a request head larger than {limits.head} bytes")
    if _OTHER_VERSION(raw):
        return RequestRefused(VERSION_NOT_SUPPORTED, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    return RequestRefused(BAD_REQUEST, "a malformed request line")


class HeadProbe:
    """Watches a request head that arrives in pieces, so that what can never be good is refused at once."""

    __slots__ = ("_feed", "_limits")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._feed: Callable[[bytes], None] = HttpRequestParser(self).feed_data

    def feed(self, data: bytes, raw: bytes | bytearray) -> None:
        """Take the newest piece, ``raw`` being all so far; raises :class:`RequestRefused`."""
        if len(raw) > self._limits.request_line and raw.find(b"\r\n", 0, self._limits.request_line + 2) < 0:
            raise RequestRefused(TARGET_TOO_LONG, f"a request line longer than {self._limits.request_line} bytes")
        if len(raw) > self._limits.head:
            raise RequestRefused(HEAD_TOO_LARGE, f"a request head larger than {self._limits.head} bytes")
        try:
            self._feed(data)
        except HttpParserInvalidMethodError:
            raise RequestRefused(NOT_IMPLEMENTED, "the method is not known") from None
        except (HttpParserError, HttpParserUpgrade) as error:
            raise RequestRefused(BAD_REQUEST, f"malformed request head: {error}") from None


MAX_ANSWER_HEAD = 65536
MAX_ANSWER_FIELDS = 256


def parse_answer(raw: bytes, method: bytes) -> AnswerHead:
    """Read the head of an answer to ``method``, ending with its empty line; raises :class:`AnswerRefused`."""
    line = _STATUS_LINE(raw)
    if line is None:
        raise AnswerRefused("a malformed status line")
    if len(raw) > MAX_ANSWER_HEAD:
        raise AnswerRefused("an answer head that is too large", ANSWER_TOO_LARGE)
    sink = _Sink(_ANSWER_FRAMING)
    try:
        HttpResponseParser(sink).feed_data(raw)
    except HttpParserUpgrade:
        pass
    except HttpParserError as error:
        raise AnswerRefused(f"malformed answer head: {error}") from None
    if len(sink.fields) > MAX_ANSWER_FIELDS:
        raise AnswerRefused("an answer head with too many fields", ANSWER_TOO_LARGE)
    if _ends_in_space(raw):
        sink.trim()
    return _answer_head(int(line[2]), line[3] or b"", 1 if line[1] == b"1" else 0, sink, method)


def _answer_head(status: int, reason: bytes, minor: int, sink: _Sink, method: bytes) -> AnswerHead:
    """Decide what the framing fields mean (RFC 9112 section 6.3)."""
    keep_alive = minor == 1
    connection = _NO_TOKENS
    framed = False
    for name, value in sink.framing:
        if name == b"connection":
            if value != b"keep-alive":
                connection = connection | _tokens(value)
            elif not minor:
                keep_alive = True
        elif name != b"upgrade":
            framed = True
    if connection:
        keep_alive = b"close" not in connection and (minor == 1 or b"keep-alive" in connection)
    bare = status < 200 or status == 204
    declared = _answer_length(sink.framing, minor) if framed and not bare else None
    if bare or status == 304 or method == b"HEAD":
        length = 0
    elif declared is None:
        length = UNTIL_CLOSE
        keep_alive = False
    else:
        length = declared
    if declared == CHUNKED:
        declared = None
    return AnswerHead(status, reason, minor, sink.fields, length, declared, keep_alive, connection)


def _answer_length(framing: Fields, minor: int) -> int | None:
    lengths = [value for name, value in framing if name == b"content-length"]
    codings = [value for name, value in framing if name == b"transfer-encoding"]
    try:
        return body_length(lengths, codings, minor)
    except BadFraming as error:
        raise AnswerRefused(str(error)) from None
