"""One place in the workforce: a listening socket, and the workers that follow one another on it."""

from __future__ import annotations

import socket
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from tracseq_gateway.interfaces import Observation
from tracseq_gateway.overview.digest import Digest
from tracseq_gateway.process.backoff import Backoff
from tracseq_gateway.process.worker_process import Ending, Launch, WorkerProcess


class Employer(Protocol):
    """Whom a slot tells about its workers. The workforce."""

    def brief(self, worker: WorkerProcess) -> None:
        """``worker`` has started: tell it all it must know before it serves."""

    def changed(self) -> None:
        """A worker serves, leaves or is gone, or a slot is abandoned or no longer."""

    def observed(self, worker: WorkerProcess, observation: Observation) -> None:
        """``worker`` has found out something about a service."""

    def heard(self, worker: WorkerProcess, digest: Digest) -> None:
        """``worker`` tells what it counted."""

    def ended(self, worker: WorkerProcess, ending: Ending) -> None:
        """``worker`` is gone."""

    def successorServes(self) -> None:
        """The successor that was prepared accepts connections."""

    def successorFailed(self, why: str) -> None:
        """It is gone, or leaves."""


class Slot:
    """Keeps one worker alive on one socket until it is closed.

    The socket stays open here, so what connects while no worker is alive waits for the next one.
    """

    def __init__(self, launch: Launch, index: int, listener: socket.socket, employer: Employer) -> None:
        self.restarts = 0
        self.workers: set[WorkerProcess] = set()
        """All living processes: the current one, its successor and those that finish what they had."""
        self._launch = launch
        self._index = index
        self._listener = listener
        self._employer = employer
        self._current: WorkerProcess | None = None
        self.successor: WorkerProcess | None = None
        """The worker that is being prepared to take the place of the current one."""
        self._next = launch
        """How the successor was started."""
        self._backoff = Backoff()
        self._pause: IDelayedCall | None = None
        self._paused = False
        """Whether there was a pause since a worker last served here."""
        self._closed = False
        self._log = Logger()

    def __repr__(self) -> str:
        return f"<slot {self._index}: {', '.join(map(repr, self.workers)) or 'empty'}>"

    @property
    def serving(self) -> bool:
        """Whether a worker accepts connections here."""
        return self._current is not None and self._current.state == "serving"

    @property
    def pid(self) -> int | None:
        """The process that serves here, or is about to."""
        return self._current.pid if self._current is not None else None

    @property
    def prepared(self) -> bool:
        """Whether the successor accepts connections."""
        return self.successor is not None and self.successor.state == "serving"

    @property
    def able(self) -> WorkerProcess | None:
        """The worker that accepts connections here, if it can take up more than its own."""
        return self._current if self.serving and self.abandoned is None else None

    @property
    def abandoned(self) -> socket.socket | None:
        """Our socket, if who connects to it would have to wait: the worker crash-loops, or does not answer."""
        wavering = self._current is not None and self._current.wavering
        return self._listener if (self._paused or wavering) and not self._closed else None

    def fill(self) -> None:
        """Start a worker."""
        self._pause = None
        self._current = WorkerProcess(self._launch, self._index, self)
        self._start(self._current)

    def prepare(self, launch: Launch) -> None:
        """Start a successor beside the worker; the employer hears what becomes of it."""
        self._next = launch
        self.successor = WorkerProcess(launch, self._index, self)
        self._start(self.successor)

    def promote(self) -> None:
        """Let the successor, which serves, take the place of the worker, which finishes what it has.

        From now on workers are started as the successor was.
        """
        old, self._current, self.successor = self._current, self.successor, None
        self._launch = self._next
        self._backoff = Backoff()
        self._forgetPause()
        self._paused = False
        if old is not None:
            old.drain(self._launch.drain_seconds, gentle=True)

    def dismiss(self) -> None:
        """Do without the successor: it is killed, or if it serves already, finishes what it has."""
        successor, self.successor = self.successor, None
        if successor is None:
            return
        if successor.state == "serving":
            successor.drain(self._launch.drain_seconds, gentle=True)
        else:
            successor.condemn()

    def close(self) -> None:
        """Start no more workers, and give up the socket: once the worker has closed its own, the port refuses."""
        self._closed = True
        self._listener.close()
        self._forgetPause()

    def workerStarted(self, worker: WorkerProcess) -> None:
        """See ``Owner``."""
        self._employer.brief(worker)

    def workerServes(self, worker: WorkerProcess) -> None:
        """See ``Owner``."""
        self._paused = False
        self._log.info("worker {index} serves (pid {pid})", index=self._index, pid=worker.pid)
        if worker is self.successor:
            self._employer.successorServes()
        self._employer.changed()

    def workerLeaves(self, worker: WorkerProcess) -> None:
        """See ``Owner``: another takes the place while this one finishes."""
        if worker is self._current and not self._closed:
            self._log.info("worker {index} was told to leave; starting another", index=self._index)
            self._refill(0.0)
        elif worker is self.successor:
            self.successor = None
            self._employer.successorFailed(f"worker {self._index} was told to leave")
        self._employer.changed()

    def workerWavers(self, worker: WorkerProcess) -> None:
        """See ``Owner``."""
        self._employer.changed()

    def workerObserved(self, worker: WorkerProcess, observation: Observation) -> None:
        """See ``Owner``."""
        self._employer.observed(worker, observation)

    def workerDigested(self, worker: WorkerProcess, digest: Digest) -> None:
        """See ``Owner``."""
        self._employer.heard(worker, digest)

    def workerGone(self, worker: WorkerProcess, ending: Ending) -> None:
        """See ``Owner``: when nobody wanted it to go, another is started at once or after a pause."""
        self.workers.discard(worker)
        if worker is self._current and not self._closed:
            pause = self._backoff.died(ending.served)
            self._reportDeath(ending, pause)
            self._refill(pause)
        elif worker is self.successor:
            self.successor = None
            self._employer.successorFailed(f"worker {self._index} {ending.reason} {_lived(ending)}")
        elif not self._closed:
            self._reportEnd(worker, ending)
        self._employer.ended(worker, ending)
        self._employer.changed()

    def _start(self, worker: WorkerProcess) -> None:
        self.workers.add(worker)
        try:
            worker.start(self._listener)
        except OSError as error:
            self.workerGone(worker, Ending(f"could not be started: {error}", False, None, None))

    def _refill(self, pause: float) -> None:
        self._current = None
        self.restarts += 1
        self._paused = self._paused or pause > 0.0
        self._pause = self._launch.reactor.callLater(pause, self.fill)

    def _forgetPause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _reportEnd(self, worker: WorkerProcess, ending: Ending) -> None:
        """A worker that was not the current one has gone: what it cut, somebody may look for."""
        if ending.served is not None and (ending.cut or not ending.clean):
            self._log.warn(
                "worker {index} (pid {pid}), whose place others have taken, {reason}: {cut} requests were cut",
                index=self._index,
                pid=worker.pid,
                reason=ending.reason,
                cut="an unknown number of" if ending.cut is None else ending.cut,
            )

    def _reportDeath(self, ending: Ending, pause: float) -> None:
        lived = _lived(ending)
        if pause == 0.0:
            self._log.error(
                "worker {index} {reason} {lived}; starting another",
                index=self._index,
                reason=ending.reason,
                lived=lived,
            )
        else:
            self._log.error(
                "worker {index} {reason} {lived}: crash {count} in a row, next start in {pause:g} s",
                index=self._index,
                reason=ending.reason,
                lived=lived,
                count=self._backoff.crashes,
                pause=pause,
            )


def _lived(ending: Ending) -> str:
    return "before it served" if ending.served is None else f"after serving for {ending.served:.1f} s"
