"""A request body of which the last piece is held back until the whole was looked at."""

from __future__ import annotations

from tracseq_gateway.errors import GatewayError
from tracseq_gateway.interfaces import BodyCheck


class HeldBody:
    """Whoever gets the body is always one piece behind, so that a bad one never becomes whole for him."""

    __slots__ = ("_check", "last")

    def __init__(self, check: BodyCheck) -> None:
        self._check = check
        self.last = b""
        """The piece that is held back."""

    def exchange(self, data: bytes) -> bytes:
        """Take the next piece; return the one before."""
        self._check.take(data)
        data, self.last = self.last, data
        return data

    def end(self) -> GatewayError | None:
        """That was all: what is wrong with it, if anything is."""
        return self._check.end()
