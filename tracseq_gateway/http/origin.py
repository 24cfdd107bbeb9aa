"""Where a request comes from: read from trusted proxies, written for the services (RFC 7239, and X-Forwarded-*)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from tracseq_gateway.http.request_head import RequestHead

Networks = Sequence[IPv4Network | IPv6Network]

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
        "secure",
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
        self.secure = scheme == b"https"
        """Whether the client used TLS, as last worked out: to us, or to the proxy that it came to."""

    def lines(self, head: RequestHead) -> bytes:
        """Return the lines for one request, each with its CRLF."""
        if self._trusted and any(name in _ORIGIN for name, _ in head.fields.pairs):
            return self._continued(head)
        if head.host != self._cached_host or head.minor != self._cached_minor:
            self._cached_host, self._cached_minor = head.host, head.minor
            self._cached_lines = self._written(head, [self._address], b"", self._scheme, head.host, self._port)
        self.client = self._address
        self.secure = self._scheme == b"https"
        return self._cached_lines

    def _continued(self, head: RequestHead) -> bytes:
        """Continue what a trusted proxy said."""
        said = {name: b", ".join(value for key, value in head.fields.pairs if key == name) for name in _ORIGIN}
        forwarded = said[b"forwarded"] if _FORWARDED(said[b"forwarded"]) else b""
        elements = _elements(forwarded)
        if said[b"x-forwarded-for"] or not elements:
            hops = said[b"x-forwarded-for"].decode("latin-1").split(",")
            elements = []
        else:
            hops = [element.get(b"for", b"").decode("latin-1") for element in elements]
        hops = [hop.strip() for hop in hops[-_MOST_HOPS:]]
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
        # What the proxy that the client came to wrote down of it.
        element = elements[-len(known)] if elements and known else {}
        scheme = (said[b"x-forwarded-proto"] or element.get(b"proto", b"")).lower()
        if scheme not in (b"http", b"https"):
            scheme = self._scheme
        self.secure = scheme == b"https"
        host = said[b"x-forwarded-host"] or element.get(b"host", b"")
        port = said[b"x-forwarded-port"]
        return self._written(
            head,
            [*known, self._address],
            forwarded,
            scheme,
            host if _HOSTNAME(host) else head.host,
            port if port.isdigit() and len(port) <= 5 else self._port,
        )

    def _written(
        self, head: RequestHead, hops: list[str], forwarded: bytes, scheme: bytes, host: bytes, port: bytes
    ) -> bytes:
        # Each element tells of its own hop: what came to us, by whom, and how (RFC 7239 section 5).
        element = b"for=%b;host=%b;proto=%b" % (_node(self._address), _quoted(head.host), self._scheme)
        if forwarded:
            element = forwarded + b", " + element
        version = head.version.encode("ascii")
        host_line = b"x-forwarded-host: %b\r\n" % host if host else b""
        return (
            b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n%bx-forwarded-port: %b\r\nforwarded: %b\r\n"
            b"via: %b %b\r\n"
            % (
                ", ".join(hops).encode("ascii"),
                scheme,
                host_line,
                port,
                element,
                version,
                self._via,
            )
        )


_ORIGIN = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"forwarded"})
_TOKEN_TEXT = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TOKEN = re.compile(_TOKEN_TEXT).fullmatch
_PAIR = rb'%b=(?:%b|"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*")' % (_TOKEN_TEXT, _TOKEN_TEXT)
_FORWARDED = re.compile(rb"%b(?:[;,][ \t]*%b)*" % (_PAIR, _PAIR)).fullmatch
"""Whether a Forwarded value is one that RFC 7239 allows."""
_PAIRS = re.compile(rb'(^|[;,])[ \t]*(%b)=(?:(%b)|"((?:[^"\\]|\\.)*)")' % (_TOKEN_TEXT, _TOKEN_TEXT)).findall


def _elements(forwarded: bytes) -> list[dict[bytes, bytes]]:
    """Read the elements of a Forwarded value that is well formed: names in lower case, values without quotes."""
    elements: list[dict[bytes, bytes]] = []
    for mark, name, token, quoted in _PAIRS(forwarded):
        if mark != b";":
            elements.append({})
        elements[-1][name.lower()] = token or re.sub(rb"\\(.)", rb"\1", quoted)
    return elements


def _node(address: str) -> bytes:
    """An address as a node of RFC 7239: IPv6 in brackets and quotes."""
    return b'"[%b]"' % address.encode("ascii") if ":" in address else address.encode("ascii")


def _quoted(host: bytes) -> bytes:
    return host if _TOKEN(host) else b'"%b"' % host
