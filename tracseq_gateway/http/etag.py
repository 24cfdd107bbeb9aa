"""Entity tags (RFC 9110 section 8.8.3)."""

from __future__ import annotations

import re

_TAG = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def weakened(tag: bytes) -> bytes:
    """The same tag as a weak one: the content means the same, though its bytes are others."""
    return tag if tag.startswith(b"W/") else b"W/" + tag


def tags(condition: bytes) -> list[bytes]:
    """The tags that an If-None-Match or If-Match field names, as they are; none for ``*``."""
    return _TAG.findall(condition)
