"""Dictionaries of Byte Sequences, the form of structured fields that digests have (RFC 9651 section 4.2)."""

from __future__ import annotations

import base64
import binascii
import re

_KEY = rb"[a-z*][a-z0-9_.*-]*"
_BARE_ITEM = rb"|".join(
    [
        rb"-?[0-9]{1,12}\.[0-9]{1,3}",
        rb"-?[0-9]{1,15}",
        rb'"(?:[ !#-\[\]-~]|\\["\\])*"',
        rb"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*",
        rb":[A-Za-z0-9+/=]*:",
        rb"\?[01]",
        rb"@-?[0-9]{1,15}",
        rb'%"(?:[ !#$&-~]|%[0-9a-f]{2})*"',
    ]
)
_PARAMETERS = rb"(?:; *" + _KEY + rb"(?:=(?:" + _BARE_ITEM + rb"))?)*"
_MEMBER = re.compile(rb"(" + _KEY + rb")=:([A-Za-z0-9+/=]*):" + _PARAMETERS).match
_COMMA = re.compile(rb"[ \t]*,[ \t]*(?=[^ \t])").match


def byte_sequences(field: bytes) -> dict[bytes, bytes]:
    """Read a field's value, its lines joined with commas: keys and their bytes, of a key that comes twice the last.

    Parameters must be well-formed, and are passed over. Raises :class:`ValueError`, which says what is wrong, for
    anything else, base64 without its padding among it.
    """
    field = field.strip(b" ")
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(field):
        if found:
            comma = _COMMA(field, position)
            if comma is None:
                raise ValueError(f"not a comma and another member at byte {position}")
            position = comma.end()
        member = _MEMBER(field, position)
        if member is None:
            raise ValueError(f"not a key and a byte sequence (key=:base64:) at byte {position}")
        key, encoded = member.groups()
        found[key] = _decoded(key, encoded)
        position = member.end()
    return found


def _decoded(key: bytes, encoded: bytes) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError(f"what {key.decode('ascii')} has is not base64") from None
