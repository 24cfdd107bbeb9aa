"""Whether an answer may be kept (RFC 9111 section 3), by a cache that serves many people.

Stricter than the RFC where that costs little: an answer must say itself how long it is fresh, or that it may be kept
to be asked about again; what sets a cookie is somebody's; and ``private`` or ``no-cache`` for some fields alone counts
for all of the answer.
"""

from __future__ import annotations

from typing import Final

from tracseq_gateway.http.caching.control import Directives
from tracseq_gateway.http.caching.vary import varies_by
from tracseq_gateway.http.fields import Fields

UNDERSTOOD: Final = frozenset(
    {200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 410, 411, 414, 415, 421, 451}
    | {500, 501, 502, 503, 504, 505}
)
"""Statuses whose demands on caches are met here, as ``must-understand`` wants (section 5.2.2.3)."""

_NEVER: Final = frozenset({206, 304})
_SHARED: Final = (b"public", b"s-maxage", b"must-revalidate")


def is_shared(control: Directives) -> bool:
    """Whether an answer says that it is for everybody, whoever asked for it (section 3.5)."""
    return any(name in control for name in _SHARED)


def may_be_stale(control: Directives) -> bool:
    """Whether an answer may ever be given out once it is stale (section 4.2.4)."""
    return not any(
        name in control for name in (b"must-revalidate", b"proxy-revalidate", b"s-maxage", b"no-cache", b"no-store")
    )


def why_not(
    asked: Directives, status: int, fields: Fields, control: Directives, fresh_for: int | None, *, personal: bool
) -> str | None:
    """Why the answer to a GET may not be kept, in a few words; None if it may.

    :param asked: what the request's Cache-Control says.
    :param fresh_for: what :func:`tracseq_gateway.http.caching.freshness.lifetime` says of it.
    :param personal: whether the request said who sent it.
    """
    if status < 200 or status in _NEVER:
        return f"status {status}"
    understood = b"must-understand" in control and status in UNDERSTOOD
    if b"must-understand" in control and not understood:
        return "must-understand"
    if b"no-store" in asked or (b"no-store" in control and not understood):
        return "no-store"
    if b"private" in control:
        return "private"
    names = {name for name, _ in fields}
    if b"set-cookie" in names:
        return "set-cookie"
    if varies_by(fields) is None:
        return "vary"
    if personal and not is_shared(control):
        return "personal"
    return _pointless(control, fresh_for, names)


def _pointless(control: Directives, fresh_for: int | None, names: set[bytes]) -> str | None:
    """Why there is no use in keeping it; None if there is: it is fresh for a while, or can be asked about again."""
    if fresh_for and b"no-cache" not in control:
        return None
    if fresh_for is None and b"no-cache" not in control and b"public" not in control:
        return "says nothing"
    return None if names & {b"etag", b"last-modified"} else "stale at once"
