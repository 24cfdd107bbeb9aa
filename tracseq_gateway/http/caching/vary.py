"""Which of several answers to one target belongs to a request (RFC 9111 section 4.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from tracseq_gateway.http.fields import Fields

MOST_NAMES: Final = 16
"""An answer that varies by more fields is not kept."""

_UNKNOWABLE: Final = frozenset({b"*", b"x-request-id"})
"""What is another for each request, or is not known of it: an answer that varies by it fits no other request."""


def varies_by(fields: Fields) -> tuple[bytes, ...] | None:
    """The names that an answer's Vary lists, in lower case and sorted; None if it fits no other request."""
    names = {
        name
        for key, value in fields
        if key == b"vary"
        for part in value.lower().split(b",")
        if (name := part.strip(b" \t"))
    }
    if names & _UNKNOWABLE or len(names) > MOST_NAMES:
        return None
    return tuple(sorted(names))


def variant(names: Sequence[bytes], seen: Fields) -> bytes:
    """What tells apart requests by the values of these fields: 16 bytes that say nothing of the values.

    ``seen`` are the fields of the request as the service gets it.
    """
    parts = []
    for name in names:
        values = [value for key, value in seen if key == name]
        parts.append(b"-" if not values else b"+" + _normal(name, b",".join(values)))
    return hashlib.sha256(b"\r\n".join(parts)).digest()[:16]


def _normal(name: bytes, value: bytes) -> bytes:
    """The same for values that mean the same: white space around commas, and case and order of codings and languages.

    (What is wanted most is said by weights.)
    """
    members = [member for part in value.split(b",") if (member := part.strip(b" \t"))]
    if name in (b"accept-encoding", b"accept-language"):
        members = sorted({member.lower().replace(b" ", b"") for member in members})
    return b",".join(members)
