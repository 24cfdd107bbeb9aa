"""HTTP dates (RFC 9110 section 5.6.7), read strictly: what is not one of the three forms, or no day, is no date."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime
from email.utils import formatdate

_MONTHS = {
    month: index + 1
    for index, month in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
    )
}
_MONTH = rb"(?P<month>" + rb"|".join(_MONTHS) + rb")"
_TIME = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_IMF = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>[0-9]{2}) " + _MONTH + rb" (?P<year>[0-9]{4}) " + _TIME + rb" GMT"
).fullmatch
_RFC850 = re.compile(
    rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{2})-"
    + _MONTH
    + rb"-(?P<year>[0-9]{2}) "
    + _TIME
    + rb" GMT"
).fullmatch
_ASCTIME = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) " + _MONTH + rb" (?P<day>[ 0-9][0-9]) " + _TIME + rb" (?P<year>[0-9]{4})"
).fullmatch


def parse_date(value: bytes, now: float) -> int | None:
    """Seconds since the epoch of a date; None if it is none.

    ``now`` decides the century of the obsolete form with two digits: not more than 50 years ahead.
    """
    match = _IMF(value) or _ASCTIME(value)
    short = None if match else _RFC850(value)
    found = match or short
    if found is None:
        return None
    year = int(found["year"])
    if short:
        year += datetime.fromtimestamp(now, UTC).year // 100 * 100
        if year > datetime.fromtimestamp(now, UTC).year + 50:
            year -= 100
    second = min(int(found["second"]), 59)  # a leap second is the last of its minute
    if found["second"] > b"60":
        return None
    try:
        moment = datetime(
            year, _MONTHS[found["month"]], int(found["day"]), int(found["hour"]), int(found["minute"]), second
        )
    except ValueError:
        return None
    return timegm(moment.timetuple())


def format_date(moment: float) -> bytes:
    """The date of seconds since the epoch, in the form that is to be sent."""
    return formatdate(int(moment), usegmt=True).encode("ascii")
