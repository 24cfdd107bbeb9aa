"""Bodies of answers that the gateway asked for itself."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone

from tracseq_gateway.net.body import read_body


class Response:
    """Gives its body in pieces, on a connection that closes as soon as it is told to."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self._reader: Protocol | None = None
        self.closed = False

    def deliverBody(self, reader: Protocol) -> None:
        self._reader = reader
        transport: Any = self
        reader.makeConnection(transport)
        for piece in self._pieces:
            reader.dataReceived(piece)
        if not self.closed:
            self.loseConnection()

    def loseConnection(self) -> None:
        self.closed = True
        assert self._reader is not None
        self._reader.connectionLost(Failure(ResponseDone()))


class BodyTests(SynchronousTestCase):
    def test_whole(self) -> None:
        """A body of at most so many bytes is given as a whole."""
        response: Any = Response(b"ab", b"cd")
        self.assertEqual(self.successResultOf(read_body(response, 4)), b"abcd")

    def test_too_long(self) -> None:
        """One of more is never taken for a whole one, however soon its connection closes."""
        response: Any = Response(b"ab", b"cde")
        self.failureResultOf(read_body(response, 4), ValueError)
        self.assertTrue(response.closed)
