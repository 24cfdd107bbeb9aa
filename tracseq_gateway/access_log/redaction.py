"""Queries without their secrets."""

from __future__ import annotations

import re
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

# A query that has none of these, and no name in disguise, is passed over at once.
_SUSPICIOUS = re.compile(b"|".join([b"%", *SENSITIVE_ENDINGS, *sorted(SENSITIVE_NAMES)]), re.IGNORECASE).search


def redact(query: bytes) -> bytes:
    """Replace the values of sensitive parameters by ``[redacted]``; everything else stays byte for byte.

    ``query`` is with or without its ``?``. Names are compared decoded and without regard to case. Parameters are
    divided by ``&``; because some services also divide by ``;``, a sensitive name behind one is seen too, and hides
    everything up to the next ``&``.
    """
    if not query or _SUSPICIOUS(query) is None:
        return query
    mark, query = (b"?", query[1:]) if query[:1] == b"?" else (b"", query)
    return mark + b"&".join([_redact_parameter(parameter) for parameter in query.split(b"&")])


def redact_url(url: bytes) -> bytes:
    """Redact the query of a URL, as a Referer has it."""
    path, mark, query = url.partition(b"?")
    return path + mark + redact(query)


def _redact_parameter(parameter: bytes) -> bytes:
    kept: list[bytes] = []
    for part in parameter.split(b";"):
        name, equals, _ = part.partition(b"=")
        if equals and is_sensitive(name):
            kept.append(name + equals + REDACTED)
            break
        kept.append(part)
    return b";".join(kept)


def is_sensitive(name: bytes) -> bool:
    """Whether the value of a parameter of this name, as it is spelled in a query, must not be written down."""
    plain = unquote_to_bytes(name).lower().rstrip(b"[]")
    return plain in SENSITIVE_NAMES or plain.endswith(SENSITIVE_ENDINGS)
