"""Request heads that arrive in pieces."""

from __future__ import annotations

import re

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from tracseq_gateway.errors import BAD_REQUEST, HEAD_TOO_LARGE, TARGET_TOO_LONG, RequestRefused
from tracseq_gateway.http.heads import NOTHING
from tracseq_gateway.http.request_head import (
    METHODS,
    REQUEST_LINE,
    HeadLimits,
    refuse_method,
    refuse_size_or_line,
)

# What a request line may look like before its end has come.
_LINE_SO_FAR = re.compile(rb"[A-Z][A-Z_-]*(?: (?:[\x21\x22\x24-\x7e]+(?: [HTP/0-9.]{0,8}\r?)?)?)?").fullmatch


class HeadProbe:
    """Watches a request head that arrives in pieces, so that what can never be good is refused at once.

    Its verdicts are those of :class:`RequestParser` on the whole, only earlier.
    """

    __slots__ = ("_fed", "_limits", "_parser")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._parser: HttpRequestParser | None = None
        self._fed = 0

    def look(self, raw: bytes) -> None:
        """Look at all that has come of the head; raises :class:`RequestRefused`."""
        limits = self._limits
        if self._parser is None:
            end = raw.find(b"\r\n")
            if end > limits.request_line or (end < 0 and len(raw) > limits.request_line + 1):
                raise RequestRefused(TARGET_TOO_LONG, f"a request line longer than {limits.request_line} bytes")
            if end < 0:
                if _LINE_SO_FAR(raw) is None:
                    raise RequestRefused(BAD_REQUEST, "a malformed request line")
                return
            line = REQUEST_LINE(raw)
            if line is None:
                raise refuse_size_or_line(raw, limits)
            if line[1] not in METHODS:
                raise refuse_method(line[1])
            self._parser = HttpRequestParser(NOTHING)
        if len(raw) > limits.head:
            raise RequestRefused(HEAD_TOO_LARGE, f"a request head larger than {limits.head} bytes")
        try:
            self._parser.feed_data(raw[self._fed :])
        except (HttpParserError, HttpParserUpgrade) as error:
            raise RequestRefused(BAD_REQUEST, f"malformed request head: {error}") from None
        self._fed = len(raw)
