"""Which media types are worth to be compressed."""

from __future__ import annotations

from collections.abc import Iterable

_MOST_KNOWN = 256
_LONGEST_KNOWN = 256


class MediaTypes:
    """Tells by a Content-Type; what came of those that services repeat is kept. Bounded."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """``patterns``: in lower case, exact (``application/json``), by kind (``text/*``) or by suffix (``+json``)."""
        written = {pattern.encode("ascii") for pattern in patterns}
        self._kinds = frozenset(pattern[:-1] for pattern in written if pattern.endswith(b"/*"))
        self._suffixes = frozenset(pattern[1:] for pattern in written if pattern.startswith(b"+"))
        self._exact = frozenset(written)
        self._known: dict[bytes, bool] = {}

    def __contains__(self, content_type: bytes) -> bool:
        """Whether a Content-Type is one of these, whatever its parameters; streams of events only if named exactly."""
        known = self._known
        try:
            return known[content_type]
        except KeyError:
            found = self._find(content_type.partition(b";")[0].strip(b" \t").lower())
            if len(content_type) <= _LONGEST_KNOWN:
                if len(known) >= _MOST_KNOWN:
                    known.clear()
                known[content_type] = found
            return found

    def _find(self, media_type: bytes) -> bool:
        if media_type in self._exact:
            return True
        if media_type == b"text/event-stream":
            return False
        kind = media_type[: media_type.find(b"/") + 1]
        _, plus, suffix = media_type.rpartition(b"+")
        return kind in self._kinds or (bool(plus) and suffix in self._suffixes)
