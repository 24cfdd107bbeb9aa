"""Moments as text, for reading: RFC 3339 section 5.6."""

from __future__ import annotations

import re
from datetime import datetime

_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def to_seconds(text: str) -> float:
    """Seconds since the epoch of a moment such as ``2027-01-31T00:00:00Z``.

    :raises ValueError: when it is not one; without ``Z`` or an offset it is not.
    """
    if not _MOMENT.fullmatch(text):  # fromisoformat alone takes much more: days, weeks, moments of no place
        raise ValueError("not a moment of RFC 3339")
    return datetime.fromisoformat(text.upper()).timestamp()
