"""From the fields of an HTTP/2 request to a request head, and from the head of an answer to fields.

The rules that are HTTP/2's own (RFC 9113 sections 8.2 and 8.3) are checked here; what passes is written as the head of
an HTTP/1.1 request, and read by the parser that reads those. So there is one set of rules for hosts, paths, lengths
and for what is passed on, whatever protocol a request came by.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from secrets import token_bytes
from typing import NamedTuple

from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.framing import BadFraming, content_length
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import refuse_method
from tracseq_gateway.http.websocket import WEBSOCKET

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?").fullmatch
"""No control characters, and no white space around it."""
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_PATH = re.compile(rb"/[\x21\x22\x24-\x7e]*").fullmatch
_AUTHORITY = re.compile(rb"[\x21\x22\x24-\x2e\x30-\x3f\x41-\x5b\x5d-\x7e]+").fullmatch
"""No path, no user, no fragment; whether it is a host, the parser says."""

_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
_OF_ONE_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})


class Malformed(ValueError):
    """The stream breaks a rule of HTTP/2 itself, and is reset (RFC 9113 section 8.1.1)."""


class Asked(NamedTuple):
    """What the fields of a request say."""

    lines: bytes
    """The head of the same request over HTTP/1.1."""
    length: int | None
    """Bytes that its body must have; None: as many as come."""
    tunnel: bool = False
    """Whether it asks for a WebSocket."""


def head_lines(fields: Fields, ended: bool, *, websockets: bool = False) -> Asked:
    """Write the head of the request that these fields ask for.

    ``ended``: no body follows; ``websockets``: they are offered (RFC 8441). Raises :class:`Malformed`, and
    :class:`tracseq_gateway.errors.RequestRefused` for any other CONNECT.
    """
    pseudo: dict[bytes, bytes] = {}
    lines: list[bytes] = []
    cookies: list[bytes] = []
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    for name, value in fields:
        if name[:1] == b":":
            _take_pseudo(pseudo, name, value, first=not (lines or cookies or hosts or lengths))
            continue
        check_field(name, value)
        if name == b"cookie":
            cookies.append(value)
        elif name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            lengths.append(value)
        elif name == b"sec-websocket-key":
            pass  # Has no meaning here: if one is needed, it is ours.
        else:
            lines.append(b"%b: %b\r\n" % (name, value))
    tunnel = pseudo.get(b":method") == b"CONNECT"
    if tunnel:
        _check_connect(pseudo, websockets and not ended)
    line = _request_line(pseudo)
    host = _host(pseudo.get(b":authority"), hosts)
    if host is not None:
        lines.insert(0, b"host: %b\r\n" % host)
    if cookies:
        # RFC 9113 section 8.2.3: HTTP/1.1 has them in one field.
        lines.append(b"cookie: %b\r\n" % b"; ".join(cookies))
    length = _length(lengths)
    lines.append(_handshake() if tunnel else _framing(length, ended))
    return Asked(b"%b%b\r\n" % (line, b"".join(lines)), 0 if ended else length, tunnel)


def check_field(name: bytes, value: bytes) -> None:
    """See that a field may stand in a request or in its trailers; raises :class:`Malformed`."""
    if _NAME(name) is None:
        raise Malformed("the name of a field is no token in lower case")
    if _VALUE(value) is None:
        raise Malformed("the value of a field has control characters, or white space around it")
    if name in _OF_ONE_HOP:
        raise Malformed("a field that HTTP/2 does not have")
    if name == b"te" and value != b"trailers":
        raise Malformed("TE with anything but trailers")


def check_trailers(fields: Fields) -> None:
    """See that these may stand behind a body; raises :class:`Malformed`."""
    for name, value in fields:
        # A pseudo-header field is no token.
        check_field(name, value)


def _take_pseudo(pseudo: dict[bytes, bytes], name: bytes, value: bytes, *, first: bool) -> None:
    if name not in _PSEUDO:
        raise Malformed("a pseudo-header field that requests do not have")
    if not first:
        raise Malformed("a pseudo-header field behind other fields")
    if name in pseudo:
        raise Malformed("a pseudo-header field twice")
    pseudo[name] = value


def _check_connect(pseudo: dict[bytes, bytes], offered: bool) -> None:
    """See that CONNECT asks for a WebSocket; what goes on is what opens one over HTTP/1.1 (RFC 8441 section 5)."""
    if not offered or pseudo.pop(b":protocol", b"") != WEBSOCKET:
        raise refuse_method(b"CONNECT")
    pseudo[b":method"] = b"GET"


def _handshake() -> bytes:
    """The lines that open a WebSocket over HTTP/1.1; the service's answer to the key is checked as it is there."""
    key = b64encode(token_bytes(16))
    return b"connection: upgrade\r\nupgrade: %b\r\nsec-websocket-key: %b\r\n" % (WEBSOCKET, key)


def _request_line(pseudo: dict[bytes, bytes]) -> bytes:
    method, path = pseudo.get(b":method"), pseudo.get(b":path")
    if method is None or _METHOD(method) is None:
        raise Malformed("no method, or none that is a token")
    if b":protocol" in pseudo:
        raise Malformed("a protocol without CONNECT")
    if pseudo.get(b":scheme") not in (b"http", b"https"):
        raise Malformed("no scheme, or another than http and https")
    if path is None or (_PATH(path) is None and (path, method) != (b"*", b"OPTIONS")):
        raise Malformed("no path, or one with characters that must not stand in it")
    return b"%b %b HTTP/1.1\r\n" % (method, path)


def _host(authority: bytes | None, hosts: list[bytes]) -> bytes | None:
    """The host that is asked for: RFC 9113 section 8.3.1 lets Host stand in for :authority, or beside it."""
    if len(hosts) > 1:
        raise Malformed("more than one Host field")
    if authority is None:
        return hosts[0] if hosts else None
    if _AUTHORITY(authority) is None:
        raise Malformed("an authority with characters that must not stand in it")
    if hosts and hosts[0].lower() != authority.lower():
        raise Malformed("a Host field that differs from the authority")
    return authority


def _length(lengths: list[bytes]) -> int | None:
    if len(lengths) > 1:
        raise Malformed("Content-Length twice")
    try:
        return content_length(lengths[0]) if lengths else None
    except BadFraming as fault:
        raise Malformed(str(fault)) from None


def _framing(length: int | None, ended: bool) -> bytes:
    """The framing line that says of the body what the frames say."""
    if ended:
        if length:
            raise Malformed("a Content-Length on a request that has no body")
        return b"" if length is None else b"content-length: 0\r\n"
    # A body of 0 bytes is not over before END_STREAM has come: until then it may still turn out to be longer.
    return b"content-length: %d\r\n" % length if length else b"transfer-encoding: chunked\r\n"


def answer_fields(head: OutgoingHead, request_id: bytes, date: Callable[[], bytes], lines: bytes) -> Fields:
    """The fields of an answer's head, without its status and length. ``lines`` are added, each with its CRLF."""
    fields: Fields = [*head.pairs, (b"x-request-id", request_id)]
    if not head.dated:
        fields.append((b"date", date()))
    if lines:
        for line in lines[:-2].split(b"\r\n"):
            name, _, value = line.partition(b": ")
            fields.append((name, value))
    return fields
