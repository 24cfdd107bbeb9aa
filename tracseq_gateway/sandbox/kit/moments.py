"""Moments as the services write them: RFC 3339 text in UTC, to the second."""

from __future__ import annotations

from datetime import UTC, datetime

DAY = 86400.0
HOUR = 3600.0


def to_text(seconds: float) -> str:
    """Return a moment, given in seconds since the epoch, such as ``2026-03-01T09:30:00Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_date(seconds: float) -> str:
    """Return the UTC day of a moment, such as ``2026-03-01``."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def to_seconds(text: str) -> float:
    """Return seconds since the epoch of an RFC 3339 moment, or of the start of a day in UTC.

    :raises ValueError: when the text is neither.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
