"""What a client would rather have (RFC 9110 section 12.5.1)."""

from __future__ import annotations

import re

_WEIGHT = re.compile(rb";[ \t]*q[ \t]*=[ \t]*([01](?:\.[0-9]{0,3})?)[ \t]*(?:;|$)", re.IGNORECASE)


def quality(accept: bytes, media_type: bytes) -> float:
    """How much an Accept field wants a media type, from 0 (not at all) to 1.

    Of the ranges that take the type in, the most specific one decides; an empty field wants everything alike.
    ``media_type`` is in lower case and has no parameters, and ranges with parameters count as those without.
    """
    if not accept.strip():
        return 1.0
    fitting = (media_type, media_type.partition(b"/")[0] + b"/*", b"*/*")
    best, found = len(fitting), 0.0
    for member in accept.lower().split(b","):
        name = member.partition(b";")[0].strip(b" \t")
        if name in fitting and fitting.index(name) < best:
            best = fitting.index(name)
            weight = _WEIGHT.search(member)
            found = float(weight[1]) if weight is not None else 1.0
    return found


def prefers_html(accept: bytes) -> bool:
    """Whether a client wants HTML more than JSON, as browsers do and programs do not."""
    return quality(accept, b"text/html") > quality(accept, b"application/json")
