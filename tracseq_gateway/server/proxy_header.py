"""The PROXY header: a proxy that passes bytes on says, before the first of them, whose they are.

It is that of the PROXY protocol, version 1 or 2, as HAProxy's specification has it. Bytes in, an address out.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.protocols.haproxy._exceptions import InvalidProxyHeader
from twisted.protocols.haproxy._info import ProxyInfo
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser

LONGEST_LINE = 107
"""Bytes of the longest header of version 1, with its CRLF (section 2.1 of the specification)."""
LONGEST_BLOCK = 2048
"""Bytes of addresses and extensions (TLVs) in a header of version 2; the specification bounds them by 65,535."""

_SIGNATURES = (V1Parser.PROXYSTR + b" ", V2Parser.PREFIX)
_FIXED = 16
"""Bytes of a header of version 2 before the addresses: the signature, version and command, family, length."""
_COMMAND, _LENGTH = 12, slice(14, 16)
_LOCAL, _PROXY = 0x20, 0x21
"""What version and command can be."""
# Twisted's parser takes more: signed and spaced numbers, and further words; of UNKNOWN it takes less.
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [\x20-\x7e]*)?|(TCP[46]) [0-9A-Fa-f.:]+ [0-9A-Fa-f.:]+ [0-9]{1,5} [0-9]{1,5})\r\n"
).fullmatch


class BadProxyHeader(Exception):
    """What came is not, and cannot become, a PROXY header."""


def header_length(data: bytes) -> int | None:
    """Return how many bytes at the front of ``data`` are the PROXY header, or None while it is not whole.

    Raises :class:`BadProxyHeader` as soon as there can be none, or none of a sane size.
    """
    if data.startswith(V2Parser.PREFIX):
        if len(data) < _FIXED:
            return None
        if data[_COMMAND] not in (_LOCAL, _PROXY):
            raise BadProxyHeader("another version, or no command of this one")
        length = int.from_bytes(data[_LENGTH], "big")
        if length > LONGEST_BLOCK:
            raise BadProxyHeader(f"{length} bytes of addresses and extensions")
        return _FIXED + length if len(data) >= _FIXED + length else None
    if not any(data.startswith(signature[: len(data)]) for signature in _SIGNATURES):
        raise BadProxyHeader("no signature of either version")
    end = data.find(b"\r\n", 0, LONGEST_LINE)
    if end >= 0 and data.startswith(_SIGNATURES[0]):
        return end + 2
    if len(data) >= LONGEST_LINE:
        raise BadProxyHeader(f"a line longer than {LONGEST_LINE} bytes")
    return None


def speaks_for_itself(header: bytes) -> bool:
    """Whether a whole header says that the proxy brings nobody: it looks whether we are there (LOCAL)."""
    return header.startswith(V2Parser.PREFIX) and header[_COMMAND] == _LOCAL


def carried_address(header: bytes) -> str | None:
    """Return the source address that a whole PROXY header carries; None if it says that it knows none.

    That is ``UNKNOWN`` and ``UNSPEC``, and a unix socket on the far side. Raises :class:`BadProxyHeader`.
    """
    try:
        if header.startswith(V2Parser.PREFIX):
            info: ProxyInfo = V2Parser.parse(header)
        else:
            line = _LINE(header)
            if line is None:
                raise BadProxyHeader("a malformed line")
            if line[1] is None:
                return None
            info = V1Parser.parse(header[:-2])
    except InvalidProxyHeader as error:
        raise BadProxyHeader(type(error).__name__) from error
    source: object = info.source
    if not isinstance(source, IPv4Address | IPv6Address):
        return None
    _plain(info.destination)
    return _plain(source)


def _plain(said: object) -> str:
    """An address in its usual spelling, and of the family that the header says; mapped into IPv6, as IPv4."""
    if not isinstance(said, IPv4Address | IPv6Address) or said.port > 65535:
        raise BadProxyHeader("no port")
    try:
        address = ip_address(said.host)
    except ValueError:
        raise BadProxyHeader("a malformed address") from None
    if address.version != (4 if isinstance(said, IPv4Address) else 6):
        raise BadProxyHeader("an address of another family")
    return str(getattr(address, "ipv4_mapped", None) or address)
