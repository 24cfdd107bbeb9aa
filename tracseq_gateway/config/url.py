"""The URL of an instance: ``http://host:port`` or ``https://host:port`` and nothing more."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from attrs import frozen

from tracseq_gateway.config.problem import Wrong, quoted, show

URL = re.compile(
    r"""
    (?P<scheme> [A-Za-z][A-Za-z0-9+.-]* ) ://
    (?P<user> [^/?\#]* @ )?
    (?P<host> \[ [^\]]* \] | [^:/?\#@]* )
    (?: : (?P<port> [^/?\#@]* ) )?
    (?P<rest> [/?\#].* )?
    """,
    re.VERBOSE | re.DOTALL,
)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")  # with "_", which compose puts into names
_ADDRESS_LIKE = re.compile(r"[0-9.]+")

_PORTS = {"http": 80, "https": 443}

EXAMPLE = '"http://host:port"'


@frozen
class Authority:
    """Where a URL leads."""

    host: str
    """A name or an address, in small letters; an IPv6 address without its brackets."""
    port: int
    tls: bool = False
    """Whether it is spoken to over TLS."""

    def url(self) -> str:
        """Write it as the URL of an instance."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


def parse_url(url: str) -> Authority:
    """Return where the URL of an instance leads; without a port it is 80, or 443 for ``https``.

    Raises :class:`Wrong` for anything else.
    """
    parts = URL.fullmatch(url)
    if parts is None:
        raise Wrong(f"{show(url)} is not a URL", f"{EXAMPLE} would be right")
    if parts["user"] is not None:
        raise Wrong("the URL holds a user name or a password", f"{EXAMPLE} without them would be right")
    if parts["scheme"] not in _PORTS:
        right = f'{EXAMPLE} or "https://host:port" would be right'
        raise Wrong(f"{show(url)} has the scheme {quoted(parts['scheme'])}", right)
    host = _host_of(url, parts["host"])
    authority = Authority(host, _port_of(url, parts["port"], _PORTS[parts["scheme"]]), parts["scheme"] == "https")
    if parts["rest"] is not None:
        raise Wrong(
            f"{show(url)} has something after its port",
            f"{quoted(authority.url())} would be right (a path goes into rewrite)",
        )
    return authority


def is_host(text: str) -> bool:
    """Tell whether text is a host name, an IPv4 address or an IPv6 address without brackets."""
    if ":" in text:
        return _is_address(text, IPv6Address)
    if _ADDRESS_LIKE.fullmatch(text):
        return _is_address(text, IPv4Address)
    return len(text) <= 253 and all(_LABEL.fullmatch(label) for label in text.removesuffix(".").split("."))


def is_port(text: str) -> bool:
    """Tell whether text is a TCP port in digits."""
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 1 <= int(text) <= 65535


def _is_address(text: str, kind: type[IPv4Address] | type[IPv6Address]) -> bool:
    try:
        kind(text)
    except AddressValueError:
        return False
    return "%" not in text  # a zone has no place in a URL


def _host_of(url: str, text: str) -> str:
    host = text[1:-1] if text.startswith("[") else text
    if not is_host(host) or (":" in host) != text.startswith("["):
        raise Wrong(
            f"{show(url)} has no valid host", f"{EXAMPLE} with a name, an IPv4 address or [IPv6] would be right"
        )
    return host.lower()


def _port_of(url: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not is_port(text):
        raise Wrong(f"{show(url)} has no valid port", "a port from 1 to 65535 would be right")
    return int(text)
