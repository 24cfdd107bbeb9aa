"""The door that looks at what kind of body a request has."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tracseq_gateway.errors import BAD_REQUEST, UNSUPPORTED_MEDIA_TYPE, GatewayError
from tracseq_gateway.interfaces import Request
from tracseq_gateway.middleware.chain import Link

_PART = rb"[a-z0-9][a-z0-9!#$&^_.+-]*"  # RFC 6838 section 4.2
_MEDIA_TYPE = re.compile(rb"(%b)/(%b)[ \t]*(?:;|$)" % (_PART, _PART)).match
_GRPC = re.compile(rb"application/grpc(?![^+; \t])", re.IGNORECASE).match
_RANGE = re.compile(rb"\*/\*|%b/(?:\*|%b)" % (_PART, _PART)).fullmatch

_NO_GRPC = GatewayError(
    UNSUPPORTED_MEDIA_TYPE, "gRPC is not passed on, because services are asked by HTTP/1.1; gRPC-Web or JSON would be"
)


def no_grpc(request: Request) -> GatewayError | None:
    """Refuse gRPC with 415: its status is a trailer, which an answer by HTTP/1.1 does not bring to the client.

    gRPC-Web, which has it in the body, passes.
    """
    fields = request.head.fields
    if fields.length and any(line.name == b"content-type" and _GRPC(line.value) for line in fields.received):
        return _NO_GRPC
    return None


def content_types(allowed: Sequence[str]) -> Link:
    """Refuse with 415 a body whose media type is not ``allowed`` or not said, and with 400 one that says two.

    ``allowed`` has media types without parameters, ``image/*`` for a whole type, ``*/*`` for any that is said; empty:
    any, said or not. The refusal names them, also by Accept (RFC 9110 section 15.5.16). Raises :class:`ValueError` for
    what is no type.
    """
    ranges = frozenset(_range(text) for text in allowed)
    named = ", ".join(allowed)
    refusal = GatewayError(UNSUPPORTED_MEDIA_TYPE, f"the request body must be one of: {named}")
    accept = b"accept: %b\r\n" % named.encode("ascii")

    def check(request: Request) -> GatewayError | None:
        fields = request.head.fields
        if not fields.length:
            return None
        said = [line.value for line in fields.received if line.name == b"content-type"]
        if len(said) > 1:
            return GatewayError(BAD_REQUEST, "more than one Content-Type field")
        if not ranges or (said and _is_one_of(said[0], ranges)):
            return None
        request.answer_lines += accept
        return refusal

    return check


def _range(text: str) -> bytes:
    written = text.lower().encode("ascii", "replace")
    if _RANGE(written) is None:
        raise ValueError(f"{text!r} is no media type: application/json or image/* would be right")
    return written


def _is_one_of(value: bytes, ranges: frozenset[bytes]) -> bool:
    match = _MEDIA_TYPE(value.lower())
    if match is None:
        return False
    kind, subtype = match.groups()
    return not ranges.isdisjoint((b"%b/%b" % (kind, subtype), kind + b"/*", b"*/*"))
