"""The door that holds bodies to their digests (RFC 9530)."""

from __future__ import annotations

from tracseq_gateway.errors import GatewayError, RequestRefused
from tracseq_gateway.http.digest_fields import DigestCheck, claims_of
from tracseq_gateway.interfaces import Request

_BODILESS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"DELETE"})
"""Methods that mean nothing by an empty body: their fields need not be searched."""


def check_digests(request: Request) -> GatewayError | None:
    """A link: see that a body with a digest of another one is refused with 400, and never comes whole to a service.

    A body that streams is looked at piece by piece, with its last piece held back. A field that cannot be read is
    refused at once.
    """
    head = request.head
    fields = head.fields
    if (not fields.length and head.method in _BODILESS) or not fields.digests:
        return None
    try:
        claims = claims_of(head)
    except RequestRefused as refusal:
        return refusal.error
    return request.check_body(DigestCheck(claims)) if claims else None
