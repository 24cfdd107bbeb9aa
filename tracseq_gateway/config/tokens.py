"""Rules for the verification of tokens: algorithms, and where the keys come from."""

from __future__ import annotations

import re
from ipaddress import ip_address

from tracseq_gateway.config.problem import Wrong, show
from tracseq_gateway.config.secrets import SECRET_BYTES
from tracseq_gateway.config.url import URL, is_host, is_port
from tracseq_gateway.config.values import one_of

HASHED = tuple(SECRET_BYTES)
SIGNED = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

LONGEST_KEY_ID = 128
"""Characters of a ``kid``."""

_JWKS = '"https://issuer/.well-known/jwks.json" would be right'
_VISIBLE = re.compile(r'[!-"$-~]+')  # without "#": a fragment is never sent
_OWN_DOMAINS = (".local", ".localhost", ".internal")


def algorithms(names: tuple[str, ...]) -> tuple[str, ...]:
    """At least one of the known algorithms (RFC 7518 section 3.1, RFC 8037)."""
    if not names:
        raise Wrong("names no algorithm", '["HS256"] would be right')
    for index, name in enumerate(names):
        try:
            one_of(name, (*HASHED, *SIGNED))
        except Wrong as fault:
            raise Wrong(fault.wrong, fault.right, (index,)) from None
    return names


def signing_algorithm(name: str) -> str:
    """The one algorithm of a public key."""
    return one_of(name, SIGNED)


def key_id(text: str) -> str:
    """A ``kid``, or none."""
    if len(text) > LONGEST_KEY_ID or not text.isprintable():
        raise Wrong(f"{show(text)} is no kid", f"up to {LONGEST_KEY_ID} printable characters would be right")
    return text


def jwks_url(url: str) -> str:
    """An https URL, or an http URL of one's own network, or nothing."""
    if not url:
        return url
    if "@" in url:
        raise Wrong("holds a user name or a password", _JWKS)
    parts = URL.fullmatch(url)
    if parts is None or parts["scheme"] not in ("https", "http") or not _VISIBLE.fullmatch(url):
        raise Wrong(f"{show(url)} is not an https URL", _JWKS)
    host = _host(parts["host"])
    if host is None:
        raise Wrong(f"{show(url)} has no valid host", _JWKS)
    if parts["port"] is not None and not is_port(parts["port"]):
        raise Wrong(f"{show(url)} has no valid port", "a port from 1 to 65535 would be right")
    if parts["scheme"] == "http" and not _is_near(host):
        raise Wrong(f"{show(url)} would fetch keys in clear from outside, where anybody can change them", _JWKS)
    return url


def _host(text: str) -> str | None:
    host = text[1:-1] if text.startswith("[") else text
    return host if is_host(host) and (":" in host) == text.startswith("[") else None


def _is_near(host: str) -> bool:
    """Tell whether a host is this one or on a private network, by its address or a name that says nothing outside."""
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.lower().endswith(_OWN_DOMAINS)
    return address.is_loopback or address.is_private
