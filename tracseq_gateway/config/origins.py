"""Origins (RFC 6454) and patterns of them, as browsers write origins: in small letters, without the usual port."""

from __future__ import annotations

import re

from tracseq_gateway.config.problem import Wrong, quoted, show
from tracseq_gateway.config.url import is_host, is_port

_ORIGIN = re.compile(
    r"""
    (?P<scheme> [a-z][a-z0-9+.-]* ) ://
    (?P<host> \[ [0-9a-f:.]* \] | [^:/?\#@\[\]]* )
    (?: : (?P<port> [^:/?\#@]* ) )?
    (?P<rest> [/?\#] [^@]* )?
    """,
    re.VERBOSE | re.DOTALL,
)
_USUAL_PORTS = {"http": "80", "https": "443"}
_EXAMPLES = '"https://lims.example.org", "https://*.example.org" or "*"'


def origin_pattern(text: str) -> str:
    """``*``, an origin, or one whose first label is ``*`` (any one label) or ``**`` (one or more)."""
    if text == "*":
        return text
    if text.lower() == "null":
        raise Wrong('"null" is what every sandboxed page and local file says', "an origin of its own would be right")
    parts = _ORIGIN.fullmatch(text.lower())
    if parts is None:
        raise Wrong(f"{show(text)} is not an origin", f"{_EXAMPLES} would be right")
    scheme, port = parts["scheme"], parts["port"]
    if not _is_host_pattern(parts["host"]):
        raise Wrong(f"{show(text)} has no valid host", f"{_EXAMPLES} would be right")
    if port is not None and not is_port(port):
        raise Wrong(f"{show(text)} has no valid port", "a port from 1 to 65535 would be right")
    origin = f"{scheme}://{parts['host']}"
    if port is not None and port != _USUAL_PORTS.get(scheme):
        origin += f":{int(port)}"
    if parts["rest"] is not None:
        raise Wrong(f"{show(text)} has something after its host", f"{quoted(origin)} would be right")
    return origin


def _is_host_pattern(host: str) -> bool:
    if host.startswith("["):
        return is_host(host[1:-1]) and ":" in host
    if host.endswith("."):
        return False
    label, _, rest = host.partition(".")
    if label in ("*", "**"):
        return is_host(rest) and not rest.replace(".", "").isdigit()  # there is no label before an address
    return is_host(host)
