"""Digest fields of requests (RFC 9530): what they claim of a body, and whether it is so.

Rules:

1. ``sha-256`` and ``sha-512`` are checked, wherever they are given. Every other algorithm is passed over, the
   obsolete ones among them (section 5): whoever sends one alone has his body checked by nobody.
2. ``Content-Digest`` is of the content as it comes, behind transfer codings and before content codings (section 2).
3. ``Repr-Digest`` is of the same bytes where they are a whole representation: in POST and PUT, but for parts of one
   (Content-Range) and the requests of resumable uploads. In PATCH it speaks of what the patch makes of its target,
   which nobody here can know (section 3.1).
4. Fields in trailers are not looked at: trailers go no further.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from hmac import compare_digest

from attrs import frozen

from tracseq_gateway.errors import BAD_REQUEST, DIGEST_MISMATCH, GatewayError, RequestRefused
from tracseq_gateway.http.byte_sequences import byte_sequences
from tracseq_gateway.http.request_head import RequestHead

SIZES = {b"sha-256": 32, b"sha-512": 64}
"""The algorithms that are checked, and the bytes of their digests."""

_CONTENT, _REPRESENTATION = b"content-digest", b"repr-digest"
_SPELLED = {_CONTENT: "Content-Digest", _REPRESENTATION: "Repr-Digest"}
_OF_THE_CONTENT = frozenset({b"POST", b"PUT"})
"""Methods whose content is a representation."""
_IN_PARTS = frozenset({b"content-range", b"upload-complete", b"tus-resumable"})
"""Fields of requests whose content may be a part of one."""


@frozen
class Claim:
    """What one field says of a body by one algorithm."""

    field: str
    """As RFC 9530 spells it."""
    algorithm: str
    digest: bytes


def claims_of(head: RequestHead) -> Sequence[Claim]:
    """What a request's head claims of its body, as far as that is checked; raises RequestRefused for a field that
    cannot be read, or a digest that has not its algorithm's length."""
    given = {line.name for line in head.fields.digests}
    if _REPRESENTATION in given and not _is_representation(head):
        given.discard(_REPRESENTATION)
    return [claim for name in sorted(given) for claim in _claims(name, head)]


def _is_representation(head: RequestHead) -> bool:
    """Whether the content is a whole representation."""
    return head.method in _OF_THE_CONTENT and _IN_PARTS.isdisjoint(line.name for line in head.fields.received)


def _claims(name: bytes, head: RequestHead) -> list[Claim]:
    field = _SPELLED[name]
    try:
        said = byte_sequences(b", ".join([line.value for line in head.fields.digests if line.name == name]))
    except ValueError as fault:
        raise RequestRefused(BAD_REQUEST, f"{field}: {fault}") from None
    for algorithm, digest in said.items():
        size = SIZES.get(algorithm, len(digest))
        if len(digest) != size:
            detail = f"{field}: {algorithm.decode('ascii')} has {size} bytes, and not {len(digest)}"
            raise RequestRefused(BAD_REQUEST, detail)
    return [Claim(field, algorithm.decode("ascii"), said[algorithm]) for algorithm in SIZES if algorithm in said]


class DigestCheck:
    """Holds one body to what was claimed of it; see :class:`tracseq_gateway.interfaces.BodyCheck`."""

    __slots__ = ("_claims", "_hashes")

    def __init__(self, claims: Sequence[Claim]) -> None:
        self._claims = claims
        self._hashes = {claim.algorithm: hashlib.new(claim.algorithm.replace("-", "")) for claim in claims}

    def take(self, data: bytes) -> None:
        """More of the body came."""
        for one in self._hashes.values():
            one.update(data)

    def end(self) -> GatewayError | None:
        """The body is complete: the first claim that is not so."""
        digests = {algorithm: one.digest() for algorithm, one in self._hashes.items()}
        for claim in self._claims:
            computed = digests[claim.algorithm]
            if not compare_digest(computed, claim.digest):
                return _mismatch(claim, computed)
        return None


def _mismatch(claim: Claim, computed: bytes) -> GatewayError:
    written = base64.b64encode(computed).decode("ascii")
    return GatewayError(
        DIGEST_MISMATCH,
        f"the body that came is not the one that {claim.field} has the {claim.algorithm} digest of",
        members=(("field", claim.field), ("algorithm", claim.algorithm), ("computed", f":{written}:")),
    )
