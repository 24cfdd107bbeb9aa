"""The supervisor's end of one worker's control connection; ``attendant`` is the other."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.interfaces import Observation
from tracseq_gateway.process import life
from tracseq_gateway.process.control import Conversation, Cover, Leaving, Observed, Ping, Scrape, unpackObservation


class SupervisorEnd(Conversation):
    """``hear`` is told what it means for the worker's life, ``observed`` what the worker found out about a service;
    ``scrape`` makes a page of metrics, in OpenMetrics or as text, and gives its file's path."""

    def __init__(
        self,
        log: Logger,
        hear: Callable[[life.Event], None],
        observed: Callable[[Observation], None],
        scrape: Callable[[bool], Deferred[str]],
    ) -> None:
        super().__init__()
        self._scrape = scrape
        self._log = log
        self._hear = hear
        self._observed = observed

    def ping(self) -> Deferred[object]:
        """Fires when the worker has answered."""
        answer: Deferred[object] = self.callRemote(Ping)
        return answer

    def cover(self, index: int, listener: socket.socket) -> None:
        """Let the worker accept from the socket of worker ``index``, too. To be called while it is connected."""
        # The descriptor leaves in another turn of the reactor, when the listener may be closed.
        copy = listener.dup()
        answer = self.callRemote(Cover, index=index, descriptor=copy.fileno())
        answer.addErrback(self._notCovered).addBoth(lambda _: copy.close())

    def _notCovered(self, failure: Failure) -> None:
        if failure.check(ConnectionClosed) is None:  # else it accepts nothing any more
            self._log.error("does not accept for another: {error}", error=failure.getErrorMessage())

    @Leaving.responder
    def leaving(self) -> dict[str, Any]:
        """The worker leaves of itself."""
        self._hear("farewell")
        return {}

    @Observed.responder
    def observed(self, observation: bytes) -> dict[str, Any]:
        """The worker has found out something."""
        self._observed(unpackObservation(observation))
        return {}

    @Scrape.responder
    def scrape(self, openmetrics: bool) -> Deferred[dict[str, str]]:
        """The worker is asked for the metrics."""
        return self._scrape(openmetrics).addCallback(lambda path: {"path": path})

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See ``IProtocol``."""
        super().connectionLost(reason)
        self._hear("detached")
