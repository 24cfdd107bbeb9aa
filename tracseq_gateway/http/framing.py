"""How long a message body is: one truth table for requests and responses (RFC 9112 section 6.3).

Stricter than the RFC where it leaves a choice: a message with both Transfer-Encoding and Content-Length, with either
of them twice, or with any transfer coding but ``chunked`` is refused, never repaired.
"""

from __future__ import annotations

CHUNKED = -1
"""The body is sent in chunks."""

UNTIL_CLOSE = -2
"""The body ends with the connection; for responses only."""

NO_BODY = -3
"""There is no body, whatever the fields say."""

MAX_LENGTH_DIGITS = 18
"""Content-Length below 10**18: far above any body, far below 2**63."""


class BadFraming(ValueError):
    """The fields that frame a body are missing, doubled, contradictory or malformed; the text says which."""

    def __init__(self, detail: str, *, unknown_coding: bool = False) -> None:
        super().__init__(detail)
        self.unknown_coding = unknown_coding


def content_length(value: bytes) -> int:
    """Read one Content-Length value: ASCII digits only. Raises :class:`BadFraming`."""
    # bytes.isdigit() knows ASCII digits alone; int() would take signs, spaces, underscores and Unicode digits.
    if not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
        raise BadFraming("the Content-Length is not a plain decimal number")
    return int(value)


def body_length(lengths: list[bytes], codings: list[bytes], minor: int) -> int | None:
    """Decide from the fields alone: a number of bytes, :data:`CHUNKED`, or None when neither field is there.

    ``lengths`` and ``codings`` are the values of all Content-Length and Transfer-Encoding lines, ``minor`` the minor
    version of HTTP/1. Raises :class:`BadFraming`.
    """
    if codings:
        if minor == 0:
            raise BadFraming("Transfer-Encoding in an HTTP/1.0 message")
        if lengths:
            raise BadFraming("both Transfer-Encoding and Content-Length")
        if len(codings) > 1:
            raise BadFraming("Transfer-Encoding twice")
        if codings[0].lower() != b"chunked":
            raise BadFraming("a transfer coding other than chunked", unknown_coding=_is_coding_list(codings[0]))
        return CHUNKED
    if not lengths:
        return None
    if len(lengths) > 1:
        raise BadFraming("Content-Length twice")
    return content_length(lengths[0])


def _is_coding_list(value: bytes) -> bool:
    """Whether the value is a genuine coding that is not implemented (501), rather than a malformed one (400)."""
    return all(part.strip(b" \t").isalpha() for part in value.split(b","))


def answer_length(method: bytes, minor: int, status: int, length: int | None) -> int:
    """Decide how an answer is framed for a client: a number of bytes or one of the constants above.

    ``method`` and ``minor`` are the request's; ``length`` is None where it is not known yet.
    """
    if status in (204, 304) or method == b"HEAD":
        return NO_BODY
    if length is not None:
        return length
    return CHUNKED if minor else UNTIL_CLOSE
