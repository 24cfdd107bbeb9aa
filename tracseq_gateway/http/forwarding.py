"""What an intermediary passes on, adds and removes (RFC 9110 section 7.6, RFC 7239).

Rules:

1. Fields of one hop, and what Connection names, go no further, in either direction.
2. Framing and Host are written anew from the parsed head; no client can name them away.
3. What only the gateway may say (who the caller is, where he comes from) is removed from outside requests first, in
   any spelling that a service might take for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from tracseq_gateway.http.fields import FieldBlock, KnownLines
from tracseq_gateway.http.framing import CHUNKED
from tracseq_gateway.http.message import ANSWER_SPECIAL, REQUEST_SPECIAL, AnswerHead, RequestHead

Networks = Sequence[IPv4Network | IPv6Network]

_ONE_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
_REWRITTEN = frozenset(
    {b"host", b"content-length", b"expect", b"x-request-id", b"forwarded", b"x-real-ip", b"max-forwards"}
)
# Names by which services learn who calls, or by which frameworks let a caller change method or path.
_RESERVED = frozenset(
    {
        b"proxy",
        b"remote-user",
        b"x-remote-user",
        b"x-session-id",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
    }
)
_RESERVED_PREFIXES = (b"x-forwarded-", b"x-user-", b"x-consumer-", b"x-client-cert", b"x-ssl-client")


def drops_from_request(name: bytes) -> bool:
    """Whether a field, by its lower-case name, is left out of the request to a service."""
    dashed = name.replace(b"_", b"-")
    return dashed in _ONE_HOP or dashed in _REWRITTEN or dashed in _RESERVED or dashed.startswith(_RESERVED_PREFIXES)


def drops_from_answer(name: bytes) -> bool:
    """Whether a field, by its lower-case name, is left out of the answer to a client."""
    return name in _ONE_HOP or name in (b"content-length", b"x-request-id")


def known_request_lines() -> KnownLines:
    """What the request heads of one gateway have in common."""
    return KnownLines(REQUEST_SPECIAL, drops_from_request)


def known_answer_lines() -> KnownLines:
    """What the answer heads of one gateway's services have in common."""
    return KnownLines(ANSWER_SPECIAL, drops_from_answer)


def request_head(head: RequestHead, target: bytes, host: bytes, forwarded: bytes, request_id: bytes) -> bytes:
    """Write the head of the request to a service.

    ``target`` is path and query, ``forwarded`` the lines of :class:`ForwardedLines`.
    """
    fields = head.fields
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%bx-request-id: %b\r\n%b\r\n" % (
        head.method,
        target,
        host,
        fields.passed_on,
        forwarded,
        request_id,
        _framing(fields.length, head.method) if fields.max_forwards is None else _framing_and_hops(head),
    )


def _framing_and_hops(head: RequestHead) -> bytes:
    """Framing, and for OPTIONS one hop less (RFC 9110 section 7.6.2)."""
    framing = _framing(head.fields.length, head.method)
    hops = head.fields.max_forwards
    return framing if hops is None or head.method != b"OPTIONS" else framing + b"max-forwards: %d\r\n" % (hops - 1)


def _framing(length: int, method: bytes) -> bytes:
    if length == CHUNKED:
        return b"transfer-encoding: chunked\r\n"
    if length or method in _METHODS_WITH_BODY:
        return b"content-length: %d\r\n" % length
    return b""


# RFC 9110 section 8.6: a Content-Length of 0 is sent where the method expects content.
_METHODS_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})


def answer_block(head: AnswerHead, via: bytes) -> FieldBlock:
    """Return the fields of an answer that go on to the client, with our Via; written once for equal heads.

    ``via`` is the gateway's pseudonym.
    """
    block = head.block
    if block is None:
        named = head.connection
        kept = [line for line in head.received if line.passed_on and line.name not in named]
        ours = b"1.%d %b" % (head.minor, via)
        lines = b"".join([line.passed_on for line in kept]) + b"via: %b\r\n" % ours
        pairs = [(line.name, line.value) for line in kept]
        head.block = block = FieldBlock([*pairs, (b"via", ours)], head.dated and b"date" not in named, lines)
    return block


_ADDRESS_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]+)?").fullmatch
_HOSTNAME = re.compile(rb"[A-Za-z0-9._\[\]:-]{1,255}").fullmatch
_MOST_HOPS = 32
"""Entries of X-Forwarded-For that are read and passed on."""


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address as X-Forwarded-For carries it, with or without a port; None when it is none.

    An IPv6 address with a scope is none: it means something on one machine only.
    """
    if "%" in text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        match = _ADDRESS_PORT(text)
        if match is None:
            return None
    try:
        return ip_address(match[1] or match[2])
    except ValueError:
        return None


def is_trusted(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    """Whether an address is in one of the networks; an IPv4 address mapped into IPv6 counts as itself."""
    plain = getattr(address, "ipv4_mapped", None) or address
    return any(plain.version == network.version and plain in network for network in networks)


class ForwardedLines:
    """Writes the lines that tell a service where a request comes from; one for each client connection.

    From a peer that is not trusted, what the request itself says of its origin is replaced; from a trusted proxy it
    is continued, and the client is the rightmost address that is not itself trusted.
    """

    __slots__ = (
        "_address",
        "_cached_host",
        "_cached_lines",
        "_cached_minor",
        "_port",
        "_scheme",
        "_trusted",
        "_via",
        "client",
    )

    def __init__(self, address: str, scheme: bytes, port: int, trusted: Networks, pseudonym: bytes) -> None:
        self._address = address = address.partition("%")[0]
        self._scheme = scheme
        self._port = b"%d" % port
        peer = parse_address(address)
        self._trusted: Networks = trusted if peer is not None and is_trusted(peer, trusted) else ()
        self._via = pseudonym
        self._cached_host: bytes | None = None
        self._cached_minor = 1
        self._cached_lines = b""
        self.client = address
        """The client's address as last worked out."""

    def lines(self, head: RequestHead) -> bytes:
        """Return the lines for one request, each with its CRLF."""
        if self._trusted and any(name in _ORIGIN for name, _ in head.fields.pairs):
            return self._continued(head)
        if head.host != self._cached_host or head.minor != self._cached_minor:
            self._cached_host, self._cached_minor = head.host, head.minor
            self._cached_lines = self._written(head, [self._address], b"", self._scheme, head.host, self._port)
        self.client = self._address
        return self._cached_lines

    def _continued(self, head: RequestHead) -> bytes:
        """Continue what a trusted proxy said."""
        said = {name: b", ".join(value for key, value in head.fields.pairs if key == name) for name in _ORIGIN}
        hops = [part.strip() for part in said[b"x-forwarded-for"].decode("latin-1").split(",")][-_MOST_HOPS:]
        known: list[str] = []
        self.client = self._address
        for hop in reversed(hops):
            address = parse_address(hop)
            if address is None:
                break
            known.insert(0, str(address))
            self.client = str(address)
            if not is_trusted(address, self._trusted):
                break
        scheme = said[b"x-forwarded-proto"].lower()
        host = said[b"x-forwarded-host"]
        port = said[b"x-forwarded-port"]
        return self._written(
            head,
            [*known, self._address],
            said[b"forwarded"] if _FORWARDED(said[b"forwarded"]) else b"",
            scheme if scheme in (b"http", b"https") else self._scheme,
            host if _HOSTNAME(host) else head.host,
            port if port.isdigit() and len(port) <= 5 else self._port,
        )

    def _written(
        self, head: RequestHead, hops: list[str], forwarded: bytes, scheme: bytes, host: bytes, port: bytes
    ) -> bytes:
        element = b"for=%b;host=%b;proto=%b" % (_node(self._address), _quoted(host), scheme)
        if forwarded:
            element = forwarded + b", " + element
        host_line = b"x-forwarded-host: %b\r\n" % host if host else b""
        return (
            b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n%bx-forwarded-port: %b\r\nforwarded: %b\r\n"
            b"via: 1.%d %b\r\n"
            % (", ".join(hops).encode("ascii"), scheme, host_line, port, element, head.minor, self._via)
        )


_ORIGIN = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"forwarded"})
_TOKEN_TEXT = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TOKEN = re.compile(_TOKEN_TEXT).fullmatch
_PAIR = rb'%b=(?:%b|"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*")' % (_TOKEN_TEXT, _TOKEN_TEXT)
_FORWARDED = re.compile(rb"%b(?:[;,][ \t]*%b)*" % (_PAIR, _PAIR)).fullmatch
"""Whether a Forwarded value is one that RFC 7239 allows."""


def _node(address: str) -> bytes:
    """An address as a node of RFC 7239: IPv6 in brackets and quotes."""
    return b'"[%b]"' % address.encode("ascii") if ":" in address else address.encode("ascii")


def _quoted(host: bytes) -> bytes:
    return host if _TOKEN(host) else b'"%b"' % host
