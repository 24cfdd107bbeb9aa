"""Rules for API keys."""

from __future__ import annotations

import re

from tracseq_gateway.config.problem import Wrong, show

_STORED = re.compile(r"tsq1\$[A-Za-z0-9]{8}\$[A-Za-z0-9_-]{1,64}\$[0-9a-f]{64}")
"""How a key is stored: its id, a salt, and SHA-256 of salt and secret."""

LONGEST_TEXT = 256
"""Characters of what services hear of a key's owner."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def stored_hash(text: str) -> str:
    """What ``tracseq-gateway key new`` prints; it is not shown."""
    if not _STORED.fullmatch(text):
        raise Wrong("is not what it takes", "what tracseq-gateway key new printed would be right")
    return text


def key_id(stored: str) -> str:
    """Return the id in a stored key, by which it is found."""
    return stored.split("$")[1]


def key_name(text: str) -> str:
    """The name of a key, which stands in limiter keys and log lines."""
    if not _NAME.fullmatch(text):
        raise Wrong(f"{show(text)} is not a name", "up to 64 letters, digits and any of -._ would be right")
    return text


def identity_text(text: str) -> str:
    """What can be told to services in a header field, in UTF-8."""
    if len(text) > LONGEST_TEXT or not text.isprintable() or text != text.strip():
        raise Wrong("cannot stand in a header", "up to 256 characters that can be seen would be right")
    return text
