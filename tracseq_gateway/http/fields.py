"""Header fields as an answer carries them to a client."""

from __future__ import annotations

Fields = list[tuple[bytes, bytes]]
"""Names in lower case, values without white space around them, in the order of the wire."""


class FieldBlock:
    """Fields of an answer, written for HTTP/1.1 at most once however often they are sent.

    Framing (Content-Length, Transfer-Encoding, Connection), Date where ``dated`` is False, and X-Request-Id are added
    by the channel.
    """

    __slots__ = ("_lines", "dated", "pairs")

    def __init__(self, pairs: Fields, dated: bool = False) -> None:
        self.pairs = pairs
        self.dated = dated
        self._lines: bytes | None = None

    def lines(self) -> bytes:
        """The fields as lines, each with its CRLF."""
        if self._lines is None:
            self._lines = b"".join([n + b": " + v + b"\r\n" for n, v in self.pairs])
        return self._lines
