"""Conditional requests for what a cache keeps (RFC 9110 section 13): to ask a service, and to answer a client."""

from __future__ import annotations

import re
from typing import Final

from tracseq_gateway.http.dates import parse_date
from tracseq_gateway.http.fields import Fields

CONDITIONS: Final = frozenset(
    {b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since", b"if-range"}
)
"""The fields that make a request conditional."""

_ETAG = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_IN_304: Final = frozenset(
    {b"age", b"cache-control", b"content-location", b"date", b"etag", b"expires", b"vary", b"via", b"cache-status"}
    | {b"set-cookie"}  # never of what is kept: it came with the 304 that confirmed that
)
_NOT_FROM_304: Final = frozenset(
    {b"content-length", b"content-encoding", b"content-md5", b"content-range", b"transfer-encoding", b"connection"}
)
"""What describes the body that is kept, or framed the 304 alone (RFC 9111 section 3.2)."""


def first_of(fields: Fields, wanted: bytes) -> bytes | None:
    """The value of the first line of a name."""
    return next((value for name, value in fields if name == wanted), None)


def question(kept: Fields) -> bytes:
    """The lines that ask whether what is kept still holds (RFC 9111 section 4.3.1); empty if it cannot be asked."""
    lines = b""
    etag, modified = first_of(kept, b"etag"), first_of(kept, b"last-modified")
    if etag is not None and _ETAG.fullmatch(etag):
        lines = b"if-none-match: %b\r\n" % etag
    if modified is not None and parse_date(modified, 0) is not None:
        lines += b"if-modified-since: %b\r\n" % modified
    return lines


def holds(kept: Fields, confirmed: Fields) -> bool:
    """Whether a 304 with the fields ``confirmed`` is about what is kept (RFC 9111 section 4.3.4)."""
    theirs, ours = first_of(confirmed, b"etag"), first_of(kept, b"etag")
    return theirs is None or ours is None or _opaque(theirs) == _opaque(ours)


def freshened(kept: Fields, confirmed: Fields) -> Fields:
    """The fields of what is kept, after a 304 with the fields ``confirmed`` (RFC 9111 section 3.2)."""
    news = [(name, value) for name, value in confirmed if name not in _NOT_FROM_304]
    renewed = {name for name, _ in news} | {b"age"}
    return [pair for pair in kept if pair[0] not in renewed] + news


def is_unmodified(asked: Fields, kept: Fields, now: float) -> bool:
    """Whether a client that asks with these fields has what is kept already, so that 304 answers it.

    If-None-Match takes precedence, and compares weakly; If-Modified-Since is looked at without it alone
    (RFC 9110 section 13.1.2 and 13.1.3).
    """
    matches = [value for name, value in asked if name == b"if-none-match"]
    if matches:
        listed = b",".join(matches)
        ours = first_of(kept, b"etag")
        if listed.strip(b" \t") == b"*":
            return True
        return ours is not None and _opaque(ours) in {_opaque(tag) for tag in _ETAG.findall(listed)}
    since = first_of(asked, b"if-modified-since")
    wanted = parse_date(since, now) if since is not None else None
    if wanted is None:
        return False
    changed = first_of(kept, b"last-modified") or first_of(kept, b"date")
    moment = parse_date(changed, now) if changed is not None else None
    return moment is not None and moment <= wanted


def fields_of_304(kept: Fields) -> Fields:
    """What of the fields of a kept answer a 304 repeats (RFC 9110 section 15.4.5)."""
    fields = [pair for pair in kept if pair[0] in _IN_304]
    if first_of(kept, b"etag") is None:
        fields += [pair for pair in kept if pair[0] == b"last-modified"]
    return fields


def _opaque(etag: bytes) -> bytes:
    """An entity tag without its mark of weakness."""
    return etag.removeprefix(b"W/")
