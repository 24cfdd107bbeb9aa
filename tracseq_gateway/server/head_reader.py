"""Finds the heads of requests in what a connection receives."""

from __future__ import annotations

from tracseq_gateway.errors import BAD_REQUEST, RequestRefused
from tracseq_gateway.http.fields import KnownLines
from tracseq_gateway.http.head_probe import HeadProbe
from tracseq_gateway.http.request_head import HeadLimits, RequestHead, RequestParser


class HeadReader:
    """Reads one head after the other; remembers of a head that is not whole only how far it was looked at."""

    __slots__ = ("_limits", "_parse", "_probe", "_skipped")

    def __init__(self, limits: HeadLimits, known: KnownLines) -> None:
        self._limits = limits
        self._parse = RequestParser(limits, known).parse
        self._probe: HeadProbe | None = None
        self._skipped = False

    @property
    def begun(self) -> bool:
        """Whether the beginning of a head has come, and not yet its end."""
        return self._probe is not None

    def take(self, data: bytes) -> tuple[RequestHead | None, bytes]:
        """Return the head at the front of ``data`` and what follows it; or None and what to come back with.

        Raises :class:`RequestRefused` for what is no head, and for the beginning of what can never be one.
        """
        if data[0] == 0x0D:
            if len(data) == 1 and not self._skipped:
                return None, data
            data = self._skip_empty_line(data)
            if not data:
                return None, data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            if self._probe is None:
                self._probe = HeadProbe(self._limits)
            self._probe.look(data)
            return None, data
        size = len(data)
        head = self._parse(data if end == size else data[:end])
        self._probe = None
        self._skipped = False
        return head, data[end:] if end < size else b""

    def _skip_empty_line(self, data: bytes) -> bytes:
        """Skip one empty line before a request (RFC 9112 section 2.2)."""
        if self._skipped or data[1] != 0x0A or data[2:3] == b"\r":
            raise RequestRefused(BAD_REQUEST, "empty lines before the request line")
        self._skipped = True
        return data[2:]
