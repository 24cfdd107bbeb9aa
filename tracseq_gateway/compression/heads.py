"""What becomes of an answer's head when its body may be encoded. Values in, values out.

Rules:

1. What a service has encoded, wants kept as it is (``no-transform``), or gives in part is not touched.
2. Where Accept-Encoding decides, Vary says so (RFC 9110 section 12.5.5): on the answer as it is, too.
3. An encoded answer is another representation than the service's. A strong ETag of that would be wrong for it, so it is
   made weak (section 8.8.3.3). What else describes bytes is left out: ranges of them, and digests (RFC 9530).
"""

from __future__ import annotations

from tracseq_gateway.compression.media_types import MediaTypes
from tracseq_gateway.http.etag import tags, weakened
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.outgoing import OutgoingHead

_AS_THEY_ARE = frozenset({204, 205, 206})
_SETTLED = frozenset({b"content-encoding", b"content-range"})
_OF_BYTES = frozenset({b"accept-ranges", b"content-md5", b"digest", b"content-digest", b"repr-digest"})
_ENCODING = b"accept-encoding"


def is_encodable(head: OutgoingHead, types: MediaTypes) -> bool:
    """Whether an answer may be encoded: it has a body of one of ``types``, whole, and nobody forbids it."""
    if not 200 <= head.status < 300 or head.status in _AS_THEY_ARE:
        return False
    kind = b""
    for name, value in head.pairs:
        if name == b"content-type":
            kind = value
        elif name in _SETTLED or (name == b"cache-control" and forbids_transforming(value)):
            return False
    return kind in types


def forbids_transforming(cache_control: bytes) -> bool:
    """Whether a Cache-Control field, of a request or of an answer, wants the content as it is (RFC 9111, 5.2)."""
    return b"no-transform" in cache_control.lower()


def varied(head: OutgoingHead) -> OutgoingHead:
    """The head of the answer as it is, which would have been encoded for another client."""
    pairs = _with_vary(head.pairs)
    return head if pairs is head.pairs else head.with_fields(pairs, head.length)


def encoded(head: OutgoingHead, coding: bytes, length: int | None) -> OutgoingHead:
    """The head of the answer in ``coding``; ``length`` is that of the encoded body, if it is known."""
    pairs: Fields = []
    for pair in head.pairs:
        name, value = pair
        if name == b"etag":
            pairs.append((name, weakened(value)))
        elif name not in _OF_BYTES:
            pairs.append(pair)
    pairs.append((b"content-encoding", coding))
    return head.with_fields(_with_vary(pairs), length)


def not_modified(head: OutgoingHead, condition: bytes) -> OutgoingHead:
    """The head of a 304 as it goes on: who asked with the weak tag of an encoded answer is told that very tag.

    A strong one, which the service says, would name a copy that the client does not have (RFC 9111 section 4.3.4).
    ``condition`` is the request's If-None-Match.
    """
    asked = tags(condition)
    pairs = [
        (name, weakened(value))
        if name == b"etag" and value not in asked and weakened(value) in asked
        else (name, value)
        for name, value in head.pairs
    ]
    return head if pairs == head.pairs else head.with_fields(_with_vary(pairs), head.length)


def _with_vary(pairs: Fields) -> Fields:
    """The same fields, with a Vary that names Accept-Encoding, or everything."""
    for name, value in pairs:
        if name == b"vary":
            named = [member.strip(b" \t") for member in value.lower().split(b",")]
            if _ENCODING in named or b"*" in named:
                return pairs
    return [*pairs, (b"vary", _ENCODING)]
