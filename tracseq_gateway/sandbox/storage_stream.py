"""Server-sent events: one a second for as long as the client stays."""

from __future__ import annotations

import json
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from .kit.routes import Outcome
from .kit.schema import Json

INTERVAL = 1.0


@implementer(IPushProducer)
class EventStream:
    """Writes one event a second to a client, the first at once. A client that does not read misses events.

    :param produce: makes the next event.
    """

    def __init__(self, request: Request, clock: IReactorTime, produce: Callable[[], Json]) -> None:
        self._request = request
        self._produce = produce
        self._paused = False
        self._loop = LoopingCall(self._send)
        self._loop.clock = clock

    def start(self) -> Deferred[Outcome]:
        """Begin. The Deferred is cancelled by Klein when the client leaves, and fails if ``produce`` does."""
        self._request.setHeader("Content-Type", "text/event-stream")
        self._request.setHeader("Cache-Control", "no-store")
        self._request.registerProducer(self, True)
        done: Deferred[Outcome] = Deferred(lambda _: self.stopProducing())
        self._loop.start(INTERVAL).addErrback(self._failed, done)
        return done

    def _failed(self, failure: Failure, done: Deferred[Outcome]) -> None:
        self._request.unregisterProducer()
        done.errback(failure)

    def _send(self) -> None:
        if not self._paused:
            event = json.dumps(self._produce())
            self._request.write(f"event: reading\ndata: {event}\n\n".encode())

    def pauseProducing(self) -> None:
        """Send nothing for now: the client's connection is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Go on with the next second's event."""
        self._paused = False

    def stopProducing(self) -> None:
        """Stop for good: the client is gone."""
        if self._loop.running:
            self._loop.stop()
