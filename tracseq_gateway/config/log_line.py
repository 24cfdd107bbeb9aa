"""What a line of the access log can tell of a request, and the rules for the keys that choose from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from tracseq_gateway.config.problem import Wrong, show
from tracseq_gateway.config.texts import token
from tracseq_gateway.config.values import nearest

FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "time": "when the request ended, RFC 3339 in UTC",
        "request_id": "the id that client and service were told in `X-Request-Id`",
        "trace_id": "the W3C trace that it belongs to",
        "client": "the client's address; behind trusted proxies, the one that they vouch for",
        "user": "the user's id, or the owner of the API key",
        "key": "the API key's name",
        "method": "GET, POST, ...",
        "path": "the path as it was routed, normalised",
        "query": "the query with its `?`, [redacted](#redaction)",
        "protocol": "`HTTP/1.1` or `HTTP/1.0`",
        "tls_version": "the version of TLS that the client spoke with us, such as `TLSv1.3`; nothing for clear HTTP",
        "status": "the status of the answer; 499: the client left before",
        "duration_ms": "from the end of the request's head to the end of its answer, in milliseconds",
        "doors_ms": "of that, until all doors were passed: who calls, how often, may it",
        "connect_ms": "from there until its head was sent to an instance, retries included",
        "upstream_ms": "from there until the head of the service's answer came",
        "service": "the service that it was routed to",
        "route": "that service's prefix",
        "instance": "the URL of the instance that was asked last",
        "limit": "what the rate limiter decided: admitted, refused, remembered, local, open or closed",
        "cache": "what was done with [kept answers](caching.md): hit, stale, revalidated, collapsed, miss, passed or "
        "invalidated",
        "attempts": "how often an instance was asked; more than 1: there were retries",
        "received": "bytes of the request's body",
        "sent": "bytes of the answer's body",
        "user_agent": "the client's program, as it says",
        "error": "the kind of error with which the gateway itself answered or broke off",
        "reason": "why, in words; of a refused token more than its sender is told",
        "slow": "whether it took `access_log.slow_seconds` or longer",
    }
)
"""Each field and what it says, in the order of a JSON line."""

HEADER: Final = "http_"
"""Begins the name of a field that holds a request header field."""

MOST_TEMPLATE: Final = 4096
"""Characters of a template."""

CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"})
CREDENTIAL_ENDINGS: Final = ("token", "secret", "password", "passwd", "signature", "jwt", "api-key", "apikey", "auth")

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>\w+)|\{(?P<braced>[^{}]*)\}|)")
_TEMPLATE_TEXT = re.compile(r"[\t -~]+")
_HEADER_FIELD = re.compile(r"http_[a-z0-9_]{1,50}")  # in the journal, a name has at most 64 characters


def field_of_header(name: str) -> str:
    """The name of the field that holds a request header field: ``X-Lab-Site`` is ``http_x_lab_site``."""
    return HEADER + name.lower().replace("-", "_")


def is_credential(header: str) -> bool:
    """Whether a header field of this name carries, or sounds as if it carried, what lets somebody in."""
    plain = header.lower().replace("_", "-")
    return plain in CREDENTIALS or plain.endswith(CREDENTIAL_ENDINGS)


def logged_header(name: str) -> str:
    """The name of a request header field that may be written down."""
    if not _HEADER_FIELD.fullmatch(field_of_header(token(name))):
        raise Wrong(f"{show(name)} cannot name a field of a line", "letters, digits and hyphens would be right")
    if is_credential(name):
        raise Wrong(f"{show(name)} carries a credential", "a field without secrets would be right")
    return name


def field(name: str) -> str:
    """The name of a field."""
    if name not in FIELDS:
        raise Wrong(f"there is no field {show(name)}", nearest(name, FIELDS, f"the fields are {', '.join(FIELDS)}"))
    return name


def template(text: str) -> str:
    """A template, or none, with fields that there are."""
    if text and (len(text) > MOST_TEMPLATE or not _TEMPLATE_TEXT.fullmatch(text)):
        right = f"at most {MOST_TEMPLATE} characters of ASCII, in one line, would be right"
        raise Wrong(f"{show(text)} cannot be a line", right)
    for _, name in template_parts(text):
        if name.startswith(HEADER):
            if not _HEADER_FIELD.fullmatch(name):
                raise Wrong(f"there is no field {show(name)}", "a name such as $http_x_lab_site would be right")
            if is_credential(name.removeprefix(HEADER)):
                raise Wrong(f"${name} would write down a credential", "a field without secrets would be right")
        elif name:
            field(name)
    return text


def template_parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield each piece of plain text and the name of the field that follows it; the last one's name is empty.

    Raises ``Wrong`` for a dollar that begins no name; ``$$`` is one that does not want to.
    """
    plain, end = "", 0
    for found in _VARIABLE.finditer(text):
        plain += text[end : found.start()]
        end = found.end()
        if found["dollar"]:
            plain += "$"
            continue
        name = found["bare"] or found["braced"]
        if not name:
            raise Wrong(f"{show(text)} has a dollar without a name", "$status, or $$ for a dollar, would be right")
        yield plain, name
        plain = ""
    yield plain + text[end:], ""
