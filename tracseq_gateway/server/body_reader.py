"""Reads one request body off a connection, and holds the client to its least rate."""

from __future__ import annotations

from tracseq_gateway.config.model import Client
from tracseq_gateway.http.chunked import ChunkedDecoder
from tracseq_gateway.http.framing import CHUNKED


class BodyRate:
    """Measures how fast a body comes."""

    __slots__ = ("_bytes", "_since")

    def __init__(self, now: float) -> None:
        """``now`` in the seconds that :meth:`too_slow` is told later."""
        self._since = now
        self._bytes = 0

    def restart(self, now: float) -> None:
        """Count the rate anew: reading was paused, or the client had to wait for its 100."""
        self._since = now
        self._bytes = 0

    def too_slow(self, size: int, now: float, limits: Client) -> bool:
        """Count ``size`` bytes; return whether too little came since the last window of ``body_idle_seconds`` began."""
        self._bytes += size
        elapsed = now - self._since
        if not limits.body_rate or not 0 < limits.body_idle_seconds <= elapsed:
            return False
        slow = self._bytes < limits.body_rate * elapsed
        self.restart(now)
        return slow


class BodyReader(BodyRate):
    """Takes the bytes of a connection until the body is complete."""

    __slots__ = ("_decoder", "_left", "ended", "rest")

    def __init__(self, length: int, now: float) -> None:
        """``length`` as ``RequestFields`` has it; ``now`` in the seconds that :meth:`too_slow` is told later."""
        super().__init__(now)
        self._decoder = ChunkedDecoder() if length == CHUNKED else None
        self._left = length
        self.ended = False
        self.rest = b""
        """Once ``ended``: what came behind the body."""

    def feed(self, data: bytes) -> bytes:
        """Return the bytes of the body in ``data``; raises :class:`tracseq_gateway.http.chunked.BadChunk`."""
        decoder = self._decoder
        if decoder is not None:
            piece = decoder.feed(data)
            self.ended, self.rest = decoder.done, decoder.surplus
            return piece
        if len(data) < self._left:
            self._left -= len(data)
            return data
        self.ended, self.rest = True, data[self._left :]
        return data[: self._left]
