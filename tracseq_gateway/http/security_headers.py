"""Fields by which an answer asks browsers to be careful with it.

Rules:

1. What a service says itself stays where it is as strict as ours, or cannot be compared; what is laxer is replaced.
2. Strict-Transport-Security goes over TLS only (RFC 6797 section 7.2), so it is kept apart from the rest.
3. A Content-Security-Policy describes one page, so the gateway has one for its own pages and none for a service's.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tracseq_gateway.http.fields import Fields

_TELLTALE = frozenset({b"server", b"x-powered-by", b"x-aspnet-version", b"x-aspnetmvc-version", b"x-runtime"})
_HSTS = b"strict-transport-security"

_FRAME = {b"sameorigin": 1, b"deny": 2}
# By how much of an address another origin learns (Referrer Policy section 3), the most first.
_REFERRER = {
    policy: rank
    for rank, policy in enumerate(
        (
            b"unsafe-url",
            b"no-referrer-when-downgrade",
            b"origin-when-cross-origin",
            b"origin",
            b"strict-origin-when-cross-origin",
            b"strict-origin",
            b"same-origin",
            b"no-referrer",
        )
    )
}

_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?").fullmatch
_MAX_AGE = re.compile(rb'max-age[ \t]*=[ \t]*("?)([0-9]{1,18})\1', re.IGNORECASE).fullmatch

_Members = list[bytes]
"""The members of a field's values, in lower case and in their order."""


def is_telltale(name: bytes) -> bool:
    """Whether a field of a service's answer, by its lower-case name, tells what the service runs on."""
    return name in _TELLTALE


class SecurityHeaders:
    """The security headers of one gateway. Each is a field's value; empty: the gateway does not speak of it."""

    def __init__(self, hsts: str, frame: str, referrer: str, permissions: str, content_policy: str) -> None:
        """Raises :class:`ValueError` for what cannot stand in a field."""
        self._hsts = _value(hsts)
        rules: list[tuple[bytes, str, Callable[[_Members, bytes], bool]]] = [
            (b"x-content-type-options", "nosniff", _sniffs_not),
            (b"x-frame-options", frame, _frames_no_more),
            (b"referrer-policy", referrer, _refers_no_more),
            (b"permissions-policy", permissions, _says_something),
        ]
        self._rules = [(name, _value(text), keeps) for name, text, keeps in rules if text]
        own = [(name, value) for name, value, _ in self._rules]
        if content_policy:
            own.append((b"content-security-policy", _value(content_policy)))
        self._clear = b"".join(b"%b: %b\r\n" % pair for pair in own)
        self._secure = self._clear + self.hsts_line([])

    def own_lines(self, secure: bool) -> bytes:
        """Return the lines for the gateway's own answers, each with its CRLF; ``secure``: the client uses TLS."""
        return self._secure if secure else self._clear

    def of_page(self, policy: bytes) -> tuple[Fields, bytes]:
        """Return the fields of a page of the gateway's own with a Content-Security-Policy of its own, and the lines for
        clients that came by TLS."""
        return self.complete([(b"content-security-policy", policy)]), self.hsts_line([])

    def complete(self, pairs: Fields) -> Fields:
        """Return the fields of a service's answer with what is missing or too lax, but for what needs TLS."""
        dropped = {_HSTS}
        added: Fields = []
        for name, own, keeps in self._rules:
            theirs = _members(pairs, name)
            if not keeps(theirs, own):
                dropped.add(name)
                added.append((name, own))
        return [pair for pair in pairs if pair[0] not in dropped] + added

    def hsts_line(self, pairs: Fields) -> bytes:
        """Return the line that a service's answer with these fields gets over TLS: the longer promise; or nothing."""
        theirs = next((value for name, value in pairs if name == _HSTS), b"")
        value = theirs if _promise(theirs) >= _promise(self._hsts) and theirs else self._hsts
        return b"%b: %b\r\n" % (_HSTS, value) if value else b""


def _value(text: str) -> bytes:
    if text and _VALUE(text) is None:
        raise ValueError(f"{text!r} cannot be the value of a header field")
    return text.encode("ascii")


def _members(pairs: Fields, name: bytes) -> _Members:
    values = b",".join(value for key, value in pairs if key == name)
    return [member for part in values.lower().split(b",") if (member := part.strip(b" \t"))]


def _sniffs_not(theirs: _Members, own: bytes) -> bool:
    # Browsers look at the first one alone (Fetch section 3.6).
    return theirs[:1] == [own]


def _frames_no_more(theirs: _Members, own: bytes) -> bool:
    """Several values that differ forbid all framing; ``ALLOW-FROM`` and the like forbid nothing (HTML, 7.6.1)."""
    return max((_FRAME.get(value, 0) for value in theirs), default=0) >= _FRAME.get(own.lower(), 1)


def _refers_no_more(theirs: _Members, own: bytes) -> bool:
    """The last one that a browser knows holds (Referrer Policy section 8.1)."""
    known = [_REFERRER[value] for value in theirs if value in _REFERRER]
    return bool(known) and known[-1] >= _REFERRER.get(own.lower(), 0)


def _says_something(theirs: _Members, own: bytes) -> bool:
    """Two policies of permissions name different things: neither is the stricter one."""
    return bool(theirs)


def _promise(hsts: bytes) -> tuple[int, bool]:
    """How long a browser is to insist on TLS, and whether for hosts below too; -1 for what it does not understand."""
    directives = [directive.strip(b" \t") for directive in hsts.split(b";")]
    ages = [int(match[2]) for match in map(_MAX_AGE, directives) if match]
    below = any(directive.lower() == b"includesubdomains" for directive in directives)
    return (ages[0], below) if len(ages) == 1 else (-1, False)
