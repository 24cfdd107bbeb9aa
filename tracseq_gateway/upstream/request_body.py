"""The body of one request on its way to a service, framed as its head says, and kept while it is small.

What was sent is needed again if the request is sent to another instance. A body that has grown beyond what is kept can
be sent once only.
"""

from __future__ import annotations

from tracseq_gateway.http.framing import CHUNKED


class RequestBody:
    """Made for a request that has a body."""

    __slots__ = ("_chunked", "_most", "_taken", "replayable", "taken", "whole")

    def __init__(self, length: int, most: int) -> None:
        """``length`` as ``RequestFields`` has it; ``most`` bytes are kept of one that comes in pieces."""
        self._chunked = length == CHUNKED
        self._most = most
        self._taken = b""
        self.taken = False
        """Whether its first bytes were taken from the client."""
        self.whole = False
        """Whether all of it was."""
        self.replayable = True
        """Whether all that was taken is still here."""

    def take(self, data: bytes, whole: bool) -> None:
        """The first bytes; one that is whole is kept whatever its size, for it is in memory already."""
        self.taken, self.whole = True, whole
        self._taken = data
        self.replayable = whole or len(data) <= self._most

    def opening(self) -> bytes:
        """What is sent with the head: all that is kept, framed."""
        data = self._taken
        if not self.replayable:
            self._taken = b""
        return self.framed(data, self.whole)

    def add(self, data: bytes, sent: bool) -> None:
        """More came; what is not ``sent`` now must be kept until it can be."""
        if not self.replayable:
            return
        self._taken += data
        if sent and len(self._taken) > self._most:
            self.replayable = False
            self._taken = b""

    def framed(self, data: bytes, last: bool) -> bytes:
        """Frame a piece as the head announced it."""
        if not self._chunked:
            return data
        framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return framed + b"0\r\n\r\n" if last else framed
