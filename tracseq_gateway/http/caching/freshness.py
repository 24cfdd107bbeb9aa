"""How long an answer is fresh, and how old it is (RFC 9111 section 4.2).

There is no heuristic freshness: an answer that does not say how long it is fresh, is not.
"""

from __future__ import annotations

import re

from tracseq_gateway.http.caching.control import FOREVER, Directives
from tracseq_gateway.http.dates import parse_date
from tracseq_gateway.http.fields import Fields

_SECONDS = re.compile(rb"[0-9]{1,15}").fullmatch


def values_of(fields: Fields, name: bytes) -> list[bytes]:
    """The values of a field, line by line."""
    return [value for key, value in fields if key == name]


def date_of(fields: Fields, received: float) -> float:
    """When the answer was made: its Date, or else when it was received (RFC 9110 section 6.6.1)."""
    dates = values_of(fields, b"date")
    date = parse_date(dates[0], received) if len(dates) == 1 else None
    return received if date is None else date


def lifetime(fields: Fields, control: Directives, received: float) -> int | None:
    """For how many seconds from its making an answer is fresh in a shared cache; None if it does not say.

    ``received`` is when it came, in seconds since the epoch. What is malformed, or said twice in different ways, is
    stale from the start.
    """
    for name in (b"s-maxage", b"max-age"):
        seconds = control.seconds(name)
        if seconds is not None:
            return max(0, seconds)
    expires = set(values_of(fields, b"expires"))
    if not expires:
        return None
    moment = parse_date(expires.pop(), received) if len(expires) == 1 else None
    return 0 if moment is None else max(0, min(FOREVER, int(moment - date_of(fields, received))))


def initial_age(fields: Fields, asked: float, received: float) -> float:
    """How old an answer was when it was received (section 4.2.3); ``asked`` is when its request was sent.

    What Age says wrongly, or more than once, is no reason to take an answer for young.
    """
    ages = values_of(fields, b"age")
    said = 0
    if ages:
        said = int(ages[0]) if len(ages) == 1 and _SECONDS(ages[0]) else FOREVER
    return max(0.0, received - date_of(fields, received), said + received - asked)
