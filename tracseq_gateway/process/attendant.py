"""The supervisor's voice in a worker: what the control connection says is done to the gateway here."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.config import Instance, Log
from tracseq_gateway.interfaces import InstanceHealth, Observation, WorkerHealth
from tracseq_gateway.overview.digest import Digest
from tracseq_gateway.overview.feed import OverviewFeed
from tracseq_gateway.overview.pieces import Assembly, in_pieces
from tracseq_gateway.process.control import (
    Conversation,
    Cover,
    Digested,
    Drain,
    Explain,
    InstancesChanged,
    InstancesListed,
    Leaving,
    LevelsChanged,
    NotPurged,
    Observed,
    OverviewChanged,
    Ping,
    Purge,
    Scrape,
    Serve,
    Uncover,
    Watching,
    WorkersChanged,
    packObservation,
    unpackInstances,
    unpackLevels,
    unpackList,
    unpackObservation,
    unpackWorkers,
)
from tracseq_gateway.process.reactor import IReactor

ORPHAN_SECONDS: Final = 5.0
"""How long a worker without a supervisor goes on at most."""


class Serves(Protocol):
    """What a worker serves with: ``tracseq_gateway.service.Gateway``."""

    observed: Callable[[Observation], None]
    """To be called with what its requests found out about a service, so that the other workers learn of it."""
    digested: Callable[[Digest], None]
    """To be called once a second with what was counted."""
    feed: OverviewFeed
    """Where the overview of the whole gateway is to be put while somebody watches."""

    def start(self) -> Deferred[None]:
        """Make ready; fires when it is."""

    def listen(self, sock: socket.socket) -> Callable[[], None]:
        """Accept connections from ``sock``, which now belongs to it; what is returned ends that."""

    def list_instances(self, service: str, instances: Sequence[Instance]) -> None:
        """Take over which instances a service has now."""

    def update_instances(self, instances: Sequence[InstanceHealth]) -> None:
        """Take news of these instances."""

    def update_workers(self, workers: WorkerHealth) -> None:
        """Take news of the workers."""

    def take_observation(self, observation: Observation) -> None:
        """Take over what another worker has found out; not to be reported in turn."""

    def scrape_by(self, scrape: Callable[[bool], Deferred[str]]) -> None:
        """Have pages of metrics made by ``scrape``: in OpenMetrics or as text, it gives the path of a file."""

    def explain(self, question: bytes) -> Deferred[bytes]:
        """Say what would become of a request, as JSON; never fails for what is asked."""

    def purge(self, service: str, path: bytes, query: bytes, *, below: bool) -> Deferred[int]:
        """Drop kept answers; fires with how many."""

    def drain(self, seconds: float, gentle: bool) -> Deferred[int]:
        """Stop accepting, finish within ``seconds``; fires with the number of requests that were cut.

        ``gentle``: idle connections may stay for as long, since a successor takes up the new ones.
        """

    def hasten(self) -> None:
        """The drain that is under way shall be gentle no longer."""


class Attendant(Conversation):
    """A worker's end of the control connection. It ends the reactor when the worker has nothing more to do.

    ``abandoned`` is called when the supervisor is gone: nobody reads our log from then on. ``log_by`` is told by which
    levels to log.
    """

    def __init__(
        self,
        reactor: IReactor,
        gateway: Serves,
        listener: socket.socket,
        drain_seconds: float,
        abandoned: Callable[[], None],
        log_by: Callable[[Log], None] = lambda levels: None,
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._gateway = gateway
        self._listener = listener
        self._covered: dict[int, Callable[[], None]] = {}
        """How to end what is done for other workers, by their index."""
        self._drain_seconds = drain_seconds
        self._abandoned = abandoned
        self._log_by = log_by
        self._connected = True
        self._draining = False
        self._gently = False
        self._stopped = False
        self._cut: int | None = None
        self._askers: list[Deferred[dict[str, int]]] = []
        self._overview = Assembly()
        self._log = Logger()
        gateway.observed = self._tellObservation
        gateway.scrape_by(self._scrape)
        gateway.digested = self._tellDigest
        gateway.feed.watched = self._tellWatching

    @Serve.responder
    def serve(self) -> Deferred[dict[str, Any]]:
        """Make ready, then accept connections."""
        return self._gateway.start().addCallback(self._listen)

    def _listen(self, _: None) -> dict[str, Any]:
        if not self._draining:
            self._gateway.listen(self._listener)
        return {}

    @Ping.responder
    def ping(self) -> dict[str, Any]:
        """Answer: that this reactor turns is all that is asked."""
        return {}

    @InstancesListed.responder
    def instancesListed(self, service: str, instances: bytes) -> dict[str, Any]:
        """Pass the list on."""
        self._gateway.list_instances(service, unpackList(instances))
        return {}

    @InstancesChanged.responder
    def instancesChanged(self, instances: bytes) -> dict[str, Any]:
        """Pass the news on."""
        news = unpackInstances(instances)
        self._log.debug("heard of {count} instances", count=len(news))
        self._gateway.update_instances(news)
        return {}

    @WorkersChanged.responder
    def workersChanged(self, workers: bytes) -> dict[str, Any]:
        """Pass the news on."""
        self._gateway.update_workers(unpackWorkers(workers))
        return {}

    @Explain.responder
    def explain(self, question: bytes) -> Deferred[dict[str, Any]]:
        """Pass the question on, and the report back."""
        return self._gateway.explain(question).addCallback(lambda report: {"report": report})

    @Purge.responder
    def purge(self, service: str, path: bytes, query: bytes, below: bool) -> Deferred[dict[str, int]]:
        """Have it done, and say how much that was."""
        purged = self._gateway.purge(service, path, query, below=below)
        return purged.addCallbacks(lambda count: {"purged": count}, self._notPurged)

    def _notPurged(self, failure: Failure) -> NoReturn:
        self._log.warn("kept answers could not be dropped: {error}", error=failure.getErrorMessage())
        raise NotPurged(failure.getErrorMessage())

    @LevelsChanged.responder
    def levelsChanged(self, levels: bytes) -> dict[str, Any]:
        """Log by these from now on."""
        self._log_by(unpackLevels(levels))
        return {}

    @Cover.responder
    def cover(self, index: int, descriptor: int) -> dict[str, Any]:
        """Accept connections for a neighbour."""
        listener = socket.socket(fileno=descriptor)
        if self._draining:
            listener.close()
        else:
            self._covered[index] = self._gateway.listen(listener)
        return {}

    @Uncover.responder
    def uncover(self, index: int) -> dict[str, Any]:
        """The neighbour can do that himself."""
        if index in self._covered:
            self._covered.pop(index)()
        return {}

    @Observed.responder
    def observed(self, observation: bytes) -> dict[str, Any]:
        """Pass the news on."""
        self._gateway.take_observation(unpackObservation(observation))
        return {}

    def _tellObservation(self, observation: Observation) -> None:
        if self._connected:
            self.callRemote(Observed, observation=packObservation(observation))

    def _scrape(self, openmetrics: bool) -> Deferred[str]:
        answer: Deferred[dict[str, str]] = self.callRemote(Scrape, openmetrics=openmetrics)
        return answer.addCallback(lambda found: found["path"])

    def _tellDigest(self, digest: Digest) -> None:
        if self._connected:
            for piece, last in in_pieces(digest.pack()):
                self.callRemote(Digested, piece=piece, last=last)

    def _tellWatching(self, watching: bool) -> None:
        if self._connected:
            self.callRemote(Watching, watching=watching)

    @OverviewChanged.responder
    def overviewChanged(self, piece: bytes, last: bool) -> dict[str, Any]:
        """Pass it on when it is whole."""
        overview = self._overview.take(piece, last)
        if overview is not None:
            self._gateway.feed.publish(overview)
        return {}

    @Drain.responder
    def drain(self, seconds: float, gentle: bool) -> Deferred[dict[str, int]]:
        """Drain, and answer with the number of requests that were cut.

        Asked again, it is the same drain, though perhaps not as gentle any more.
        """
        answer: Deferred[dict[str, int]] = Deferred()
        self._askers.append(answer)
        self._drainWithin(seconds, gentle)
        return answer

    def leave(self) -> None:
        """A signal tells this worker to go: say so, and drain."""
        if self._connected and not self._draining:
            self.callRemote(Leaving)
        self._drainWithin(self._drain_seconds)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The supervisor is gone, or has heard our last word: finish soon."""
        super().connectionLost(reason)
        self._connected = False
        self._abandoned()
        if self._cut is None:
            limit = min(self._drain_seconds, ORPHAN_SECONDS)
            self._log.warn("the supervisor is gone: leaving within {limit:g} s", limit=limit)
            self._reactor.callLater(limit, self._stop)
            self._drainWithin(limit)
        else:
            self._stop()

    def _drainWithin(self, seconds: float, gentle: bool = False) -> None:
        if not self._draining:
            self._draining = True
            self._gently = gentle
            self._gateway.drain(seconds, gentle).addCallbacks(self._drained, self._failed)
        elif self._gently and not gentle:
            self._gently = False
            self._gateway.hasten()

    def _drained(self, cut: int) -> None:
        self._cut = cut
        if cut:
            self._log.warn("{cut} requests were cut", cut=cut)
        for asker in self._askers:
            asker.callback({"cut": cut})
        if self._connected:
            assert self.transport is not None
            self.transport.loseConnection()  # after the answers are written
        else:
            self._stop()

    def _failed(self, failure: Failure) -> None:
        self._log.failure("the drain failed; leaving without it", failure)
        self._stop()

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._reactor.stop()
