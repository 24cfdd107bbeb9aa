"""The body of an answer that the gateway asked for itself, as far as it may be long."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse


def read_body(response: IResponse, most: int) -> Deferred[bytes]:
    """The body of ``response``, which has no more than ``most`` bytes.

    Fails with :exc:`ValueError` as soon as there are more, or with why the connection broke. In both cases, and when it
    is cancelled, the connection is closed.
    """
    reader = _Reader(most)
    response.deliverBody(reader)
    return reader.done


class _Reader(Protocol):
    def __init__(self, most: int) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._hang_up())
        self._most = most
        self._content = bytearray()

    def dataReceived(self, data: bytes) -> None:
        if self.done.called:
            return
        self._content += data
        if len(self._content) > self._most:
            # First the failure: a transport may close at once, and tell us that all has come.
            self.done.errback(ValueError(f"an answer of more than {self._most} bytes"))
            self._hang_up()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(bytes(self._content))
        else:
            self.done.errback(reason)

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
