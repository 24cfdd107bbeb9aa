"""What supervisor and worker say to each other, in AMP over a socket pair.

In order: the supervisor sends what it knows (``InstancesListed``, ``InstancesChanged``, ``WorkersChanged``), then
``Serve``; the worker's answer to that says that it accepts connections. News follow as they come. ``Drain`` is the end:
its answer is the last thing that a worker says. A worker that was told by somebody else to leave says ``Leaving``.

A worker that is asked for the metrics has the page made (``Scrape``).
Once a second a worker sends a ``Digest`` of what it counted. One that shows the overview of the whole gateway to
somebody says so (``Watching``), and is sent it once a second (``OverviewChanged``).

While a worker serves it is asked every moment whether it still answers (``Ping``); ``STACK_SIGNAL`` makes one that
does not write down what it is doing.

The connection is also a lifeline: a side that loses it acts as if the other were gone.
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final

from attrs import asdict, evolve
from twisted.internet.interfaces import IAddress, IReactorSocket, ITransport
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

from tracseq_gateway.config import Instance, Log
from tracseq_gateway.interfaces import InstanceHealth, Observation, WorkerHealth

CONTROL_FD: Final = 3
"""The worker's end of the socket pair."""
LISTEN_FD: Final = 4
"""The worker's listening socket."""
CONFIG_FD: Final = 5
"""A file with the whole configuration. Several workers share its offset: read it by position."""

STACK_SIGNAL: Final = signal.SIGUSR1
"""Has a worker write the stacks of its threads to its standard error, even when its reactor hangs."""

PIECE: Final = 32 * 1024
"""Bytes of one list on the wire, well under the 65535 of an AMP value."""

REASON_LENGTH: Final = 200
"""Most characters of an observation's reason."""


class Serve(amp.Command):
    """Begin to accept connections. The answer says that they are accepted."""


class Drain(amp.Command):
    """Stop accepting, finish what is open within ``seconds``, answer how many requests were cut, and exit.

    ``gentle``: a successor serves on the same socket, so no client need notice; see ``GatewaySite.drain``.
    """

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"seconds", amp.Float()), (b"gentle", amp.Boolean())]
    response: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"cut", amp.Integer())]


class InstancesListed(amp.Command):
    """All instances that a service has now, in the place of those that it had. Comes before any news of new ones."""

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"service", amp.Unicode()), (b"instances", amp.String())]
    requiresAnswer = False


class Ping(amp.Command):
    """Are you there? The answer says that the worker's reactor turns."""


class InstancesChanged(amp.Command):
    """News of some instances; those that are not named are as before."""

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"instances", amp.String())]
    requiresAnswer = False


class WorkersChanged(amp.Command):
    """News of the workers."""

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"workers", amp.String())]
    requiresAnswer = False


class LevelsChanged(amp.Command):
    """By which levels to log from now on, instead of those in the configuration."""

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"levels", amp.String())]
    requiresAnswer = False


class Observed(amp.Command):
    """What a worker has found out about a service; from that worker, and then to the others."""

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"observation", amp.String())]
    requiresAnswer = False


class PageNotMade(Exception):
    """The page of metrics could not be made; the supervisor's log says why."""


class Scrape(amp.Command):
    """From a worker that is asked for the metrics: the answer names a file with the page that shows all workers."""

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"openmetrics", amp.Boolean())]
    response: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"path", amp.Unicode())]
    errors: ClassVar[dict[type[Exception], bytes]] = {PageNotMade: b"PAGE_NOT_MADE"}


class Digested(amp.Command):
    """From a worker: a piece of the digest of its last second, which is complete with the ``last``."""

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"piece", amp.String()), (b"last", amp.Boolean())]
    requiresAnswer = False


class Watching(amp.Command):
    """From a worker: whether it wants the overview from now on."""

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"watching", amp.Boolean())]
    requiresAnswer = False


class OverviewChanged(amp.Command):
    """A piece of the overview, as JSON, which is complete with the ``last``."""

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"piece", amp.String()), (b"last", amp.Boolean())]
    requiresAnswer = False


class Cover(amp.Command):
    """Accept from the listening socket of worker ``index`` as well, which cannot do that itself at the moment."""

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [
        (b"index", amp.Integer()),
        (b"descriptor", amp.Descriptor()),
    ]


class Uncover(amp.Command):
    """Accept no more from the socket of worker ``index``."""

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"index", amp.Integer())]
    requiresAnswer = False


class Explain(amp.Command):
    """What would become of a request? ``question`` and ``report`` are JSON; a report that names an ``error`` is none.

    The question may hold a token: it is neither logged nor part of a report.
    """

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"question", amp.String())]
    response: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"report", amp.String())]


class NotPurged(Exception):
    """Answers could not be dropped; says why."""


class Purge(amp.Command):
    """Drop kept answers: of ``service`` or of all, at ``path`` or all, with any query or this one.

    ``below``: also at all paths below. The answer has how many that were.
    """

    arguments: ClassVar[list[tuple[bytes, amp.Argument]]] = [
        (b"service", amp.Unicode()),
        (b"path", amp.String()),
        (b"query", amp.String()),
        (b"below", amp.Boolean()),
    ]
    response: ClassVar[list[tuple[bytes, amp.Argument]]] = [(b"purged", amp.Integer())]
    errors: ClassVar[dict[type[Exception], bytes]] = {NotPurged: b"NOT_PURGED"}


class Leaving(amp.Command):
    """From a worker: a signal told it to leave; it finishes what is open and wants no successor to wait for that."""

    requiresAnswer = False


class Conversation(amp.AMP):
    """Either end, without the two lines that AMP logs for each connection."""

    def makeConnection(self, transport: ITransport) -> None:
        """See ``IProtocol``."""
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See ``IProtocol``."""
        amp.BinaryBoxProtocol.connectionLost(self, reason)


class _Only(ServerFactory):
    """Builds the one protocol of an adopted connection."""

    def __init__(self, end: Conversation) -> None:
        self._end = end

    def buildProtocol(self, addr: IAddress | None) -> Conversation:
        return self._end


def adopt(reactor: IReactorSocket, descriptor: int, end: Conversation) -> None:
    """Let ``end`` speak over one end of the socket pair. The reactor works on a copy: close the descriptor yourself."""
    reactor.adoptStreamConnection(descriptor, socket.AF_UNIX, _Only(end))


def packList(instances: Iterable[Instance]) -> bytes:
    """A service's instances as JSON; discovery finds no more of them than there is room for in one AMP value."""
    return json.dumps([[instance.url, instance.weight] for instance in instances], separators=(",", ":")).encode()


def unpackList(data: bytes) -> Sequence[Instance]:
    """A service's instances from JSON."""
    return [Instance(url, weight) for url, weight in json.loads(data)]


def packInstances(instances: Iterable[InstanceHealth]) -> Iterator[bytes]:
    """The instances as JSON lists, each short enough for one message."""
    piece: list[str] = []
    size = 0
    for instance in instances:
        text = json.dumps(asdict(instance))
        if piece and size + len(text) > PIECE:
            yield _asList(piece)
            piece, size = [], 0
        piece.append(text)
        size += len(text) + 1
    if piece:
        yield _asList(piece)


def unpackInstances(data: bytes) -> Sequence[InstanceHealth]:
    """The instances of one piece."""
    return [InstanceHealth(**item) for item in json.loads(data)]


def packWorkers(workers: WorkerHealth) -> bytes:
    """The workers' health as JSON."""
    return json.dumps(asdict(workers)).encode()


def unpackWorkers(data: bytes) -> WorkerHealth:
    """The workers' health from JSON."""
    return WorkerHealth(**json.loads(data))


def packLevels(log: Log) -> bytes:
    """The levels as JSON."""
    return json.dumps([log.level, log.levels]).encode()


def unpackLevels(data: bytes) -> Log:
    """The levels from JSON."""
    level, levels = json.loads(data)
    return Log(level, levels)


def packObservation(observation: Observation) -> bytes:
    """The observation as JSON; a reason that is no longer a few words is cut off."""
    return json.dumps(asdict(evolve(observation, reason=observation.reason[:REASON_LENGTH]))).encode()


def unpackObservation(data: bytes) -> Observation:
    """The observation from JSON."""
    return Observation(**json.loads(data))


def _asList(texts: list[str]) -> bytes:
    return b"[" + ",".join(texts).encode() + b"]"
