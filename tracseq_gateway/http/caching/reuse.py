"""Whether a kept answer may be given to a request: fresh, stale, or not before its service was asked (RFC 9111 4)."""

from __future__ import annotations

from typing import Literal

from tracseq_gateway.http.caching.control import FOREVER, Directives
from tracseq_gateway.http.caching.storing import may_be_stale

Use = Literal["fresh", "stale", "expired", "asked"]
"""``fresh``: give it out. ``stale``: likewise, because the client takes stale answers. ``expired``: ask the service
whether it still holds. ``asked``: the same, because the client wants that."""


def use_of(asked: Directives, control: Directives, fresh_for: float, age: float) -> Use:
    """What is to become of a request for which an answer is kept.

    :param asked: what the request's Cache-Control says.
    :param control: what the answer's says.
    :param fresh_for: the answer's lifetime in seconds.
    :param age: how old it is by now.
    """
    if b"no-cache" in asked:
        return "asked"
    if b"no-cache" in control:
        return "expired"
    wanted = asked.seconds(b"max-age")
    if wanted is not None and age > wanted:
        return "asked"
    left = fresh_for - age
    least = asked.seconds(b"min-fresh")
    if left > 0 and (least is None or (least >= 0 and left >= least)):
        return "fresh"
    if left > 0:
        return "asked"
    if may_be_stale(control) and -left <= _tolerated(asked):
        return "stale"
    return "expired"


def _tolerated(asked: Directives) -> int:
    """How many seconds beyond its freshness a client takes an answer; -1: none."""
    if b"max-stale" in asked and asked.argument(b"max-stale") is None:
        return FOREVER
    seconds = asked.seconds(b"max-stale")
    return -1 if seconds is None else seconds


def serves_while(control: Directives, directive: bytes, staleness: float) -> bool:
    """Whether RFC 5861 lets an answer be given out so many seconds beyond its freshness.

    ``directive`` is ``stale-while-revalidate`` or ``stale-if-error``.
    """
    seconds = control.seconds(directive)
    return seconds is not None and staleness <= seconds and may_be_stale(control)
