"""A second opinion on request streams: RFC 9112 read literally, slowly, and by other means than the gateway's."""

from __future__ import annotations

import re

from attrs import frozen

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.([01])").fullmatch
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\t\x20-\x7e\x80-\xff]*)").fullmatch
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_STRING = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_SIZE = re.compile(rb"([0-9a-fA-F]+)(?:;%b(?:=(?:%b|%b))?)*" % (_TOKEN, _TOKEN, _STRING)).fullmatch


@frozen
class PlainRequest:
    """A complete request."""

    method: bytes
    target: bytes
    minor: int
    fields: tuple[tuple[bytes, bytes], ...]
    """Names in lower case, values without white space around them."""
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        """The values of a field by its lower-case name."""
        return [value for key, value in self.fields if key == name]


class NotWellFormed(Exception):
    """What stands here is no request, or not a whole one."""


def read_requests(data: bytes) -> list[PlainRequest]:
    """Read complete requests from the front of a stream, up to the first that is malformed or not whole."""
    requests = []
    while data:
        try:
            request, data = read_request(data.removeprefix(b"\r\n"))
        except NotWellFormed:
            break
        requests.append(request)
    return requests


def read_request(data: bytes) -> tuple[PlainRequest, bytes]:
    """Read the request at the front, and return what follows it; raises :class:`NotWellFormed`."""
    head, end, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    line, fields = _LINE(first), [_FIELD(each) for each in lines]
    if not end or line is None or None in fields:
        raise NotWellFormed
    pairs = tuple((field[1].lower(), field[2].rstrip(b"\t ")) for field in fields if field)
    request = PlainRequest(line[1], line[2], int(line[3]), pairs, b"")
    hosts = len(request.values(b"host"))
    if hosts > 1 or (request.minor and not hosts):
        raise NotWellFormed
    body, rest = _body(request, rest)
    return PlainRequest(line[1], line[2], int(line[3]), pairs, body), rest


def _body(request: PlainRequest, data: bytes) -> tuple[bytes, bytes]:
    lengths, codings = request.values(b"content-length"), request.values(b"transfer-encoding")
    if codings:
        if lengths or not request.minor or [coding.lower() for coding in codings] != [b"chunked"]:
            raise NotWellFormed
        return read_chunks(data)
    if not lengths:
        return b"", data
    if len(lengths) > 1 or not re.fullmatch(rb"[0-9]+", lengths[0]) or len(data) < int(lengths[0]):
        raise NotWellFormed
    return data[: int(lengths[0])], data[int(lengths[0]) :]


def read_chunks(data: bytes) -> tuple[bytes, bytes]:
    """Read a chunked body: its bytes, and what follows it; raises :class:`NotWellFormed`."""
    body = b""
    while True:
        first, end, data = data.partition(b"\r\n")
        size = _SIZE(first)
        if not end or size is None:
            raise NotWellFormed
        length = int(size[1], 16)
        if not length:
            return body, _after_trailers(data)
        if data[length : length + 2] != b"\r\n":
            raise NotWellFormed
        body, data = body + data[:length], data[length + 2 :]


def _after_trailers(data: bytes) -> bytes:
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end or (line and _FIELD(line) is None):
            raise NotWellFormed
        if not line:
            return data
