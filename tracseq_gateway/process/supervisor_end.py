"""The supervisor's end of one worker's control connection; ``attendant`` is the other."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.interfaces import Observation
from tracseq_gateway.overview.digest import Digest
from tracseq_gateway.overview.pieces import Assembly
from tracseq_gateway.process import life
from tracseq_gateway.process.control import (
    Conversation,
    Cover,
    Digested,
    Explain,
    Leaving,
    Observed,
    Ping,
    Purge,
    Scrape,
    Watching,
    unpackObservation,
)


class Reader(Protocol):
    """Who is told what the worker says; the worker's process, as we see it."""

    def hear(self, event: life.Event) -> None:
        """What it means for the worker's life."""

    def hearObservation(self, observation: Observation) -> None:
        """The worker found out something about a service."""

    def hearDigest(self, digest: Digest) -> None:
        """What the worker counted."""

    def hearWatching(self, watching: bool) -> None:
        """Whether the worker wants the overview."""


class SupervisorEnd(Conversation):
    """What the worker says is passed to ``reader``; ``scrape`` makes a page of metrics for it, in OpenMetrics or as
    text, and gives its file's path."""

    def __init__(self, log: Logger, reader: Reader, scrape: Callable[[bool], Deferred[str]]) -> None:
        super().__init__()
        self._scrape = scrape
        self._log = log
        self._reader = reader
        self._digest = Assembly()
        self._unreadable = False

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

    def explain(self, question: bytes) -> Deferred[bytes]:
        """Fires with the worker's report; fails when the connection is lost before."""
        answer: Deferred[dict[str, bytes]] = self.callRemote(Explain, question=question)
        return answer.addCallback(lambda said: said["report"])

    def purge(self, service: str, path: bytes, query: bytes, below: bool) -> Deferred[int]:
        """Fires with how many answers the worker dropped; fails when it could not, or the connection is lost before."""
        answer: Deferred[dict[str, int]] = self.callRemote(Purge, service=service, path=path, query=query, below=below)
        return answer.addCallback(lambda said: said["purged"])

    def _notCovered(self, failure: Failure) -> None:
        if failure.check(ConnectionClosed) is None:  # else it accepts nothing any more
            self._log.error("does not accept for another: {error}", error=failure.getErrorMessage())

    @Leaving.responder
    def leaving(self) -> dict[str, Any]:
        """The worker leaves of itself."""
        self._reader.hear("farewell")
        return {}

    @Observed.responder
    def observed(self, observation: bytes) -> dict[str, Any]:
        """The worker has found out something."""
        self._reader.hearObservation(unpackObservation(observation))
        return {}

    @Digested.responder
    def digested(self, piece: bytes, last: bool) -> dict[str, Any]:
        """A second of the worker's has passed."""
        digest = self._digest.take(piece, last)
        if digest is not None:
            try:
                self._reader.hearDigest(Digest.unpack(digest))
            except (ValueError, TypeError, KeyError) as error:  # a worker of another version, after a reload
                if not self._unreadable:
                    self._log.warn("its digests cannot be read, and are not shown: {error!r}", error=error)
                self._unreadable = True
        return {}

    @Watching.responder
    def watching(self, watching: bool) -> dict[str, Any]:
        """The worker shows the overview to somebody, or to nobody any more."""
        self._reader.hearWatching(watching)
        return {}

    @Scrape.responder
    def scrape(self, openmetrics: bool) -> Deferred[dict[str, str]]:
        """The worker is asked for the metrics."""
        return self._scrape(openmetrics).addCallback(lambda path: {"path": path})

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See ``IProtocol``."""
        super().connectionLost(reason)
        self._reader.hear("detached")
