"""Cross-origin requests as the Fetch standard has them (section 3.3): who is allowed, and what browsers are told.

Rules:

1. An Origin is read whole, into scheme, host and port, and only then compared; what is no origin matches nothing.
2. A refused origin is told nothing: it is the missing field that makes a browser keep the answer from the script.
3. What depends on the Origin says so with Vary, also when the field is missing or refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tracseq_gateway.http.fields import Fields

LONGEST_ORIGIN = 300
"""Bytes of the longest Origin that is looked at: a scheme, a host name of 253 bytes and a port have room."""
MOST_ASKED = 64
"""Most field names that one preflight may ask for."""
LONGEST_ASKED = 2048
"""Most bytes that it may ask for them in."""

_MOST_KNOWN = 1024
_ORIGIN = re.compile(
    rb"([a-z][a-z0-9+.-]*)://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?", re.IGNORECASE
).fullmatch
_STARRED = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*://)(\*\*?)\.([A-Za-z0-9].*)").fullmatch
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_DEFAULT_PORTS = {b"http": 80, b"https": 443}
_ON_PREFLIGHT = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

_Origin = tuple[bytes, bytes, int]
"""Scheme and host in lower case, and the port; 0 where the scheme has no default and none is given."""


def drops_cors(name: bytes) -> bool:
    """Whether a field of a service's answer, by its lower-case name, is the gateway's to say once CORS is on."""
    return name.startswith(b"access-control-")


class OriginRules:
    """Which origins are allowed.

    A pattern is an origin (``https://lab.tracseq.com``), an origin with ``*.`` for exactly one label before the rest
    of its host or ``**.`` for one or more, or ``*`` for any. ``null`` is allowed by ``*`` alone: every sandboxed frame
    and every local file has it.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises :class:`ValueError`, which names the pattern, for what is none."""
        self.any = False
        self._exact: set[_Origin] = set()
        self._below: set[_Origin] = set()
        self._far_below: set[_Origin] = set()
        for pattern in patterns:
            self._add(pattern)

    def _add(self, pattern: str) -> None:
        if pattern == "*":
            self.any = True
            return
        text = pattern.encode("ascii", "replace")
        starred = _STARRED(text)
        origin = _parsed(starred[1] + starred[3] if starred else text)
        if origin is None:
            raise ValueError(f"{pattern!r} is no origin: scheme, host and perhaps a port, as in https://lab.example")
        if starred is None:
            self._exact.add(origin)
        else:
            (self._far_below if starred[2] == b"**" else self._below).add(origin)

    def allows(self, origin: bytes) -> bool:
        """Whether the value of an Origin field is allowed."""
        if self.any:
            return True
        parsed = _parsed(origin)
        if parsed is None:
            return False
        if parsed in self._exact:
            return True
        scheme, host, port = parsed
        parent = host.partition(b".")[2]
        if (scheme, parent, port) in self._below:
            return True
        while parent:
            if (scheme, parent, port) in self._far_below:
                return True
            parent = parent.partition(b".")[2]
        return False


def _parsed(origin: bytes) -> _Origin | None:
    match = _ORIGIN(origin) if len(origin) <= LONGEST_ORIGIN else None
    if match is None:
        return None
    scheme, host = match[1].lower(), match[2].lower()
    port = int(match[3]) if match[3] else _DEFAULT_PORTS.get(scheme, 0)
    return (scheme, host, port) if port < 65536 else None


def is_own_origin(origin: bytes, host: bytes) -> bool:
    """Whether a page is of the host that it asks, by an Origin field and a Host; whether by TLS is not compared, for a
    proxy in front may have ended that."""
    parsed = _parsed(origin)
    if parsed is None:
        return False
    scheme, name, port = parsed
    asked = _parsed(b"%b://%b" % (scheme, host))
    return asked is not None and asked[1:] == (name, port)


class OriginLines(dict[bytes, bytes]):
    """From the value of an Origin field to the lines for the answer, each with its CRLF.

    Bounded: long origins are not kept, and when it is full it starts anew.
    """

    def __init__(self, rules: OriginRules, exposed: Iterable[str], *, credentials: bool) -> None:
        """``exposed`` are the answer fields that scripts may read, ``credentials`` lets cookies come along.

        Raises :class:`ValueError` when any origin may come with credentials: every page on the web could then act as
        the user who looks at it.
        """
        super().__init__()
        if rules.any and credentials:
            raise ValueError("any origin (*) cannot be allowed with credentials: name the origins")
        self._rules = rules
        names = b", ".join(_tokens(exposed))
        self._further = b"access-control-allow-credentials: true\r\n" if credentials else b""
        self._further += b"access-control-expose-headers: %b\r\n" % names if names else b""
        self._open = b"access-control-allow-origin: *\r\n" + self._further if rules.any else b""
        self.without = self._open or b"vary: Origin\r\n"
        """The lines for an answer to a request without an Origin: a cache may keep it and serve it to one with."""

    def __missing__(self, origin: bytes) -> bytes:
        if self._open:
            return self._open
        lines = b"vary: Origin\r\n"
        if self._rules.allows(origin):
            lines = b"access-control-allow-origin: %b\r\n%b%b" % (origin, self._further, lines)
        if len(origin) <= LONGEST_ORIGIN:
            if len(self) >= _MOST_KNOWN:
                self.clear()
            self[origin] = lines
        return lines


class Preflights:
    """Answers the questions that browsers ask before a request that a form could not have sent."""

    def __init__(
        self, rules: OriginRules, methods: Iterable[str], headers: Iterable[str], max_age: int, *, credentials: bool
    ) -> None:
        """``headers`` are the request fields that may be sent; ``*`` among them: those that are asked for.

        ``max_age`` is in seconds. Raises :class:`ValueError` for what is no name, and for ``*`` among the methods.
        """
        methods, headers = list(methods), list(headers)
        if "*" in methods:
            raise ValueError("'*' is no method: name those that may be used")
        self._rules = rules
        self._methods = _tokens(methods)
        self._headers = None if "*" in headers else _tokens(headers)
        self._known = frozenset(name.lower() for name in self._headers or ())
        self._open = rules.any and not credentials
        self._further = [(b"access-control-max-age", b"%d" % max_age)]
        if credentials:
            self._further.append((b"access-control-allow-credentials", b"true"))

    def answer(self, origin: bytes, method: bytes, asked: bytes | None) -> Fields:
        """Return the fields of the answer; those of a refusal say nothing but what it depends on.

        ``method`` and ``asked`` are the values of Access-Control-Request-Method and -Headers. A question for the
        private network is answered by what is not said: it is not opened to pages from outside.
        """
        fields: Fields = [(b"vary", _ON_PREFLIGHT)]
        names = self._granted(asked or b"")
        if names is None or method not in self._methods or not self._rules.allows(origin):
            return fields
        fields.append((b"access-control-allow-origin", b"*" if self._open else origin))
        fields.append((b"access-control-allow-methods", b", ".join(self._methods)))
        if names:
            fields.append((b"access-control-allow-headers", b", ".join(names)))
        return fields + self._further

    def _granted(self, asked: bytes) -> list[bytes] | None:
        """The names of fields to allow; None when one of those asked for may not be sent.

        ``*`` is never sent: browsers do not take it for Authorization, nor, with credentials, for anything.
        """
        if len(asked) > LONGEST_ASKED:
            return None
        names = [name for part in asked.split(b",") if (name := part.strip(b" \t"))]
        if len(names) > MOST_ASKED:
            return None
        if self._headers is None:
            return names if all(map(_TOKEN, names)) and b"*" not in names else None
        return self._headers if self._known.issuperset(name.lower() for name in names) else None


def _tokens(names: Iterable[str]) -> list[bytes]:
    tokens = [name.encode("ascii", "replace") for name in names]
    for name, written in zip(tokens, names, strict=True):
        if _TOKEN(name) is None:
            raise ValueError(f"{written!r} cannot be the name of a field or method")
    return tokens
