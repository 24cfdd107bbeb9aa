"""One worker process as the supervisor sees it: spawned, told things, asked to leave, buried."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from attrs import Factory, frozen
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionClosed, ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.protocols.amp import Command
from twisted.python.failure import Failure

from tracseq_gateway.interfaces import Observation
from tracseq_gateway.overview.digest import Digest
from tracseq_gateway.overview.pieces import in_pieces
from tracseq_gateway.process import life
from tracseq_gateway.process.control import (
    CONFIG_FD,
    CONTROL_FD,
    LISTEN_FD,
    STACK_SIGNAL,
    Drain,
    OverviewChanged,
    PageNotMade,
    Serve,
    Uncover,
    adopt,
)
from tracseq_gateway.process.lines import LineLogger
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.supervisor_end import SupervisorEnd
from tracseq_gateway.process.watchdog import Watchdog

START_SECONDS: Final = 10.0
"""A worker that does not serve after this many seconds is killed."""
GRACE_SECONDS: Final = 1.0
"""What a worker gets beyond its time to drain before it is killed."""


@frozen
class Launch:
    """How workers are started."""

    reactor: IReactor
    command: Sequence[str]
    """Program and arguments; ``--worker N`` is appended."""
    config: int
    """Descriptor of the file with the configuration."""
    drain_seconds: float
    """How long a worker that leaves of itself may take."""
    variables: Mapping[str, str] = Factory(dict)
    """What is set in a worker's environment beside, or instead of, what is in ours."""
    watchdog_seconds: float = 0.0
    """Within how many seconds a serving worker that answers no more is killed; 0: never."""
    scrape: Callable[[bool], Deferred[str]] = lambda openmetrics: fail(PageNotMade("nothing is measured"))
    """Makes a page of metrics; see ``metrics_pages``."""


@frozen
class Ending:
    """How a worker's life ended."""

    reason: str
    """For the log, for example ``was killed by SIGKILL``."""
    clean: bool
    """Whether it went of itself, with status 0."""
    served: float | None
    """Seconds between being ready and the end; None when it never was ready."""
    cut: int | None
    """Requests that were cut by its drain; None when it did not say."""


class Owner(Protocol):
    """Whom a worker tells about itself."""

    def workerStarted(self, worker: WorkerProcess) -> None:
        """The process exists and reads what it is told; it does not serve yet."""

    def workerServes(self, worker: WorkerProcess) -> None:
        """It accepts connections."""

    def workerLeaves(self, worker: WorkerProcess) -> None:
        """It leaves of itself: it accepts no more, and its place is free while it finishes."""

    def workerWavers(self, worker: WorkerProcess) -> None:
        """Its :attr:`WorkerProcess.wavering` has changed."""

    def workerObserved(self, worker: WorkerProcess, observation: Observation) -> None:
        """It has found out something about a service."""

    def workerDigested(self, worker: WorkerProcess, digest: Digest) -> None:
        """It tells what it counted."""

    def workerGone(self, worker: WorkerProcess, ending: Ending) -> None:
        """The process is gone."""


class WorkerProcess(ProcessProtocol):
    """One process, from its start to its end. It follows ``life.TABLE``; what the table says is done here."""

    def __init__(self, launch: Launch, index: int, owner: Owner) -> None:
        self.index = index
        self.pid: int | None = None
        """The process id, also after the end; None before the start."""
        self.state: life.State = "starting"
        self.since: float = launch.reactor.seconds()
        """When it entered this state, in seconds of the reactor's clock."""
        self.watching = False
        """Whether it wants the overview."""
        self._launch = launch
        self._owner = owner
        self._log = Logger(namespace=f"worker {index}")
        self._lines = LineLogger(self._log)
        self._control = SupervisorEnd(self._log, self, launch.scrape)
        self._process: IProcessTransport | None = None
        self._deadline: IDelayedCall | None = None
        self._watchdog = Watchdog(
            launch.reactor, launch.watchdog_seconds, self._control.ping, self._wavers, self._fellSilent
        )
        self._patience = (launch.drain_seconds, GRACE_SECONDS)
        self._gentle = False
        self._serving_since: float | None = None
        self._cut: int | None = None
        self._reason = ""
        self._clean = False
        self._actions: dict[life.Action, Callable[[], None]] = {
            "nothing": lambda: None,
            "announce": self._announce,
            "ask": self._ask,
            "await": self._expectEnd,
            "succeed": self._succeed,
            "question": self._question,
            "kill": self._kill,
            "bury": self._bury,
        }

    def __repr__(self) -> str:
        return f"<worker {self.index} pid {self.pid} {self.state}>"

    @property
    def wavering(self) -> bool:
        """Whether it should serve and has not answered for a while."""
        return self.state in ("serving", "stuck") and self._watchdog.wavering

    def start(self, listener: socket.socket) -> None:
        """Spawn the process with ``listener`` as its socket. Raises OSError when the system has no room for it."""
        reactor = self._launch.reactor
        ours, theirs = socket.socketpair()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            ours.setblocking(False)
            theirs.setblocking(False)
            command = [*self._launch.command, "--worker", str(self.index)]
            files: dict[int, int | str] = {0: nothing, 2: "r"}
            if sys.__stdout__ is not None:  # else number 1 was closed from the start, and is something else by now
                files[1] = 1
            files |= {CONTROL_FD: theirs.fileno(), LISTEN_FD: listener.fileno(), CONFIG_FD: self._launch.config}
            environment = {**os.environ, **self._launch.variables}
            self._process = reactor.spawnProcess(self, command[0], command, env=environment, childFDs=files)
            self.pid = self._process.pid
            adopt(reactor, ours.fileno(), self._control)
        finally:
            ours.close()
            theirs.close()
            os.close(nothing)
        self._expectWithin(START_SECONDS)
        self._owner.workerStarted(self)
        self._control.callRemote(Serve).addCallbacks(lambda _: self.hear("ready"), self._refused)

    def tell(self, command: type[Command], **arguments: object) -> None:
        """Send a command that needs no answer; nothing happens when the worker is gone."""
        self._control.callRemote(command, **arguments)

    def show(self, overview: bytes) -> None:
        """Send it the overview, if it wants that."""
        if self.watching:
            for piece, last in in_pieces(overview):
                self.tell(OverviewChanged, piece=piece, last=last)

    def explain(self, question: bytes) -> Deferred[bytes]:
        """Ask what would become of a request; to be called while it serves. Fails when it is gone before it answers."""
        return self._control.explain(question)

    def purge(self, service: str, path: bytes, query: bytes, below: bool) -> Deferred[int]:
        """Have it drop kept answers, see :class:`tracseq_gateway.process.control.Purge`; fires with how many."""
        return self._control.purge(service, path, query, below)

    def cover(self, index: int, listener: socket.socket) -> None:
        """Let it accept from the socket of worker ``index``, too. To be called while it serves."""
        self._control.cover(index, listener)

    def uncover(self, index: int) -> None:
        """Let it accept no more from the socket of worker ``index``."""
        self.tell(Uncover, index=index)

    def drain(self, seconds: float, grace: float = GRACE_SECONDS, *, gentle: bool = False) -> None:
        """Let it finish what is open within ``seconds``; ``grace`` seconds later it is killed.

        ``gentle``: a successor serves, so idle connections need not be closed at once.
        """
        self._patience = (seconds, grace)
        self._gentle = gentle
        self.hear("drain")

    def condemn(self) -> None:
        """Kill it now."""
        self.hear("condemned")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """It has written log lines."""
        self._lines.feed(data)

    def childConnectionLost(self, childFD: int) -> None:
        """It has closed its standard error, at the latest by its end."""
        self._lines.finish()

    def processExited(self, reason: Failure) -> None:
        """The kernel reports the end; not :meth:`processEnded`, which also waits for the pipe."""
        self._clean = reason.check(ProcessDone) is not None
        self._reason = describeEnd(reason)
        self.hear("exited")

    def hear(self, event: life.Event) -> None:
        """See ``Reader``."""
        before = self.state
        self.state, action = life.step(before, event)
        if self.state != before:
            self.since = self._launch.reactor.seconds()
        if self.state != "serving":
            self._watchdog.stop()
        self._actions[action]()

    def hearObservation(self, observation: Observation) -> None:
        """See ``Reader``."""
        self._owner.workerObserved(self, observation)

    def hearDigest(self, digest: Digest) -> None:
        """See ``Reader``."""
        self._owner.workerDigested(self, digest)

    def hearWatching(self, watching: bool) -> None:
        """See ``Reader``."""
        self.watching = watching

    def _announce(self) -> None:
        self._serving_since = self._launch.reactor.seconds()
        self._forgetDeadline()
        self._watchdog.start()
        self._owner.workerServes(self)

    def _refused(self, failure: Failure) -> None:
        if failure.check(ConnectionClosed) is None:  # else the connection's end is told by itself
            self._log.error("does not serve: {error}", error=failure.getErrorMessage())
            self.hear("condemned")

    def _ask(self) -> None:
        self._expectEnd()
        seconds, _ = self._patience
        self._control.callRemote(Drain, seconds=seconds, gentle=self._gentle).addCallbacks(
            self._drained, self._unanswered
        )

    def _drained(self, answer: dict[str, int]) -> None:
        self._cut = answer["cut"]

    def _unanswered(self, failure: Failure) -> None:
        if failure.check(ConnectionClosed) is None:  # else it went before it could answer; how, the kernel will tell
            self._log.error("does not drain: {error}", error=failure.getErrorMessage())

    def _succeed(self) -> None:
        self._expectEnd()
        self._owner.workerLeaves(self)

    def _wavers(self) -> None:
        self._owner.workerWavers(self)

    def _fellSilent(self, seconds: float) -> None:
        self._log.error(
            "has not answered for {seconds:.1f} s: it writes down what it is doing if it can, and is killed",
            seconds=seconds,
        )
        self.hear("silent")

    def _question(self) -> None:
        self._expectWithin(self._watchdog.stack_seconds)
        assert self._process is not None, "a worker without a process is gone"
        self._process.signalProcess(STACK_SIGNAL)

    def _kill(self) -> None:
        self._forgetDeadline()
        assert self._process is not None, "a worker without a process is gone"
        self._process.signalProcess("KILL")

    def _bury(self) -> None:
        self._forgetDeadline()
        since = self._serving_since
        served = None if since is None else self._launch.reactor.seconds() - since
        self._owner.workerGone(self, Ending(self._reason, self._clean, served, self._cut))

    def _expectEnd(self) -> None:
        self._expectWithin(sum(self._patience))

    def _expectWithin(self, seconds: float) -> None:
        self._forgetDeadline()
        self._deadline = self._launch.reactor.callLater(seconds, self._overdue)

    def _overdue(self) -> None:
        self._deadline = None
        if self.state != "stuck":  # else it was said when the silence was noticed
            self._log.error("killed: still {state} at its deadline", state=self.state)
        self.hear("condemned")

    def _forgetDeadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def describeEnd(reason: Failure) -> str:
    """How a process ended, from what ``processExited`` gets: ``exited with status 1``, ``was killed by SIGKILL``."""
    ended = reason.value
    if not isinstance(ended, ProcessTerminated):
        return "exited with status 0"
    if ended.signal is not None:
        return f"was killed by {signal.Signals(ended.signal).name}"
    return f"exited with status {ended.exitCode}"
