"""Reading one cookie of a request (RFC 6265 section 4.2)."""

from __future__ import annotations


def cookie(field: bytes | None, name: bytes) -> bytes | None:
    """The value of the first cookie called ``name`` in a Cookie field, without quotes; None if there is none."""
    if field is None:
        return None
    for pair in field.split(b";"):
        key, equals, value = pair.strip(b" \t").partition(b"=")
        if equals and key == name:
            return value.strip(b'"')
    return None
