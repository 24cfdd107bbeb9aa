"""Cache-Status (RFC 9211): what a cache did with a request, for who looks at the answer."""

from __future__ import annotations

from typing import Literal

Forward = Literal["bypass", "method", "uri-miss", "vary-miss", "request", "stale"]
"""Why a request went on to its service (section 2.2)."""


class StatusMember:
    """Writes the members of one cache, by its name."""

    def __init__(self, name: str) -> None:
        self._name = name.encode("ascii")
        self._passed = {
            why: b"%b; fwd=%b" % (self._name, why.encode("ascii"))
            for why in ("bypass", "method", "uri-miss", "vary-miss", "request", "stale")
        }

    def hit(self, ttl: float) -> bytes:
        """The answer came from the cache, and is fresh for another ``ttl`` seconds; negative: it is stale."""
        return b"%b; hit; ttl=%d" % (self._name, int(ttl // 1))

    def passed(self, why: Forward, *, stored: bool = False, status: int = 0) -> bytes:
        """The service was asked; ``stored``: and its answer is kept.

        ``status`` is its own where the client gets another one, such as what is kept and was found to hold.
        """
        member = self._passed[why]
        if status:
            member += b"; fwd-status=%d" % status
        return member + b"; stored" if stored else member

    def collapsed(self, why: Forward) -> bytes:
        """The service's answer to another request was given."""
        return self._passed[why] + b"; collapsed"
