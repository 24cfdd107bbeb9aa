"""Queries without their secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

REDACTED: Final = b"[redacted]"

SENSITIVE_ENDINGS: Final = (
    b"token",
    b"password",
    b"passwd",
    b"secret",
    b"apikey",
    b"api_key",
    b"api-key",
    b"signature",
    b"jwt",
)
"""``access_token``, ``clientSecret`` and ``X-Amz-Signature`` end so."""
SENSITIVE_NAMES: Final = frozenset({b"key", b"code", b"sig", b"pwd", b"auth", b"authorization"})
"""Sensitive as a whole name only: ``barcode`` and ``sort_key`` are not."""

MOST_NAMES: Final = 4096
LONGEST_NAME: Final = 64
"""How many names of parameters are remembered, and how long they may be."""


class Redactor:
    """Replaces the values of sensitive parameters by ``[redacted]``; everything else stays byte for byte.

    ``names`` are further sensitive names, compared like the others: decoded, and without regard to case.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = SENSITIVE_NAMES | {name.lower().encode() for name in names}
        self._known = _Judged(self.is_sensitive)

    def __call__(self, query: bytes) -> bytes:
        """Redact a query, with or without its ``?``.

        Parameters are divided by ``&``; because some services also divide by ``;``, a sensitive name behind one is seen
        too, and hides everything up to the next ``&``.
        """
        if not query:
            return query
        mark, query = (b"?", query[1:]) if query[:1] == b"?" else (b"", query)
        parameters = query.split(b"&")
        if b";" not in query:
            known = self._known
            for parameter in parameters:
                if known[parameter.partition(b"=")[0]]:
                    break
            else:
                return mark + query
        return mark + b"&".join([self._redact(parameter) for parameter in parameters])

    def url(self, url: bytes) -> bytes:
        """Redact the query of a URL, as a Referer has it."""
        path, mark, query = url.partition(b"?")
        return path + mark + self(query)

    def is_sensitive(self, name: bytes) -> bool:
        """Whether the value of a parameter of this name, as it is spelled in a query, must not be written down."""
        plain = unquote_to_bytes(name).lower().rstrip(b"[]")
        return plain in self._names or plain.endswith(SENSITIVE_ENDINGS)

    def _redact(self, parameter: bytes) -> bytes:
        kept: list[bytes] = []
        for part in parameter.split(b";"):
            name, equals, _ = part.partition(b"=")
            if equals and self._known[name]:
                kept.append(name + equals + REDACTED)
                break
            kept.append(part)
        return b";".join(kept)


class _Judged(dict[bytes, bool]):
    """From names to whether they are sensitive; the same few come again and again. Bounded."""

    def __init__(self, judge: Callable[[bytes], bool]) -> None:
        super().__init__()
        self._judge = judge

    def __missing__(self, name: bytes) -> bool:
        sensitive = self._judge(name)
        if len(name) <= LONGEST_NAME:
            if len(self) >= MOST_NAMES:
                self.clear()
            self[name] = sensitive
        return sensitive
