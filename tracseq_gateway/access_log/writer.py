"""Writes lines without ever keeping the reactor waiting.

House rules:

1. Everything here belongs to the reactor's thread; the writing thread is handed one batch at a time, and tells when
   it is done. So a target that blocks holds up that thread and nothing else.
2. What may wait is bounded. Beyond that lines are dropped, and the drops are counted and reported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, Generic

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.logger import Logger

from tracseq_gateway.access_log.targets import Line, Lost, Target

MOST_BYTES: Final = 1 << 20
"""What may wait for a batch to be written; as much again may be in that batch."""
BATCH_BYTES: Final = 1 << 18
"""A batch of this size is not kept until its time."""
BATCH_SECONDS: Final = 0.2
"""How long a line waits for others."""
REPORT_SECONDS: Final = 60.0
"""Drops are reported when they begin, and then no more often than this."""
STOP_SECONDS: Final = 0.3
"""How long a stop waits for what is not written yet: less than a worker gets beyond its time to drain."""

Job = Callable[[], None]


class IReactor(IReactorTime, IReactorFromThreads):
    """What is needed of a reactor: time, and to be called from another thread."""


class LogWriter(Generic[Line]):
    """Collects lines and has them written in batches.

    A line is written within a fraction of a second, or dropped: if there is no room for it, or its batch failed. Lines
    that were not yet written are lost with a process that is killed.
    """

    def __init__(
        self,
        reactor: IReactor,
        target: Target[Line],
        dropped: Callable[[int], object] | None = None,
        run: Callable[[Job], None] | None = None,
    ) -> None:
        """``dropped`` is told how many lines were lost, each time; ``run`` does a job in another thread."""
        self.dropped = 0
        """Lines that were lost so far."""
        self._reactor = reactor
        self._target: Target[Line] = target
        self._tell = dropped
        self._run = run or DaemonThread("access log")
        self._lines: list[Line] = []
        self._size = 0
        self._writing = 0
        """Lines of the batch that is being written."""
        self._timer: IDelayedCall | None = None
        self._reporting: IDelayedCall | None = None
        self._unreported = 0
        self._reason = ""
        self._stopping = False
        self._stopped: Deferred[None] = Deferred()
        self._deadline: IDelayedCall | None = None
        self._log = Logger()

    def __repr__(self) -> str:
        return f"<LogWriter {len(self._lines)} waiting, {self._writing} being written, {self.dropped} dropped>"

    def write(self, line: Line) -> None:
        """Take a line. Never waits, never raises."""
        size = self._size + len(line)
        if size > MOST_BYTES or self._stopping:
            self._drop(1, "the log was stopped" if self._stopping else "they come faster than they can be written")
            return
        self._lines.append(line)
        self._size = size
        if not self._writing:
            if size >= BATCH_BYTES:
                self._flush()
            elif self._timer is None:
                self._timer = self._reactor.callLater(BATCH_SECONDS, self._flush)

    def stop(self) -> Deferred[None]:
        """Write what waits, and take no more; to be called once.

        Fires when that is done, or given up after ``STOP_SECONDS``.
        """
        self._stopping = True
        self._deadline = self._reactor.callLater(STOP_SECONDS, self._give_up)
        if not self._writing:
            self._go_on()
        return self._stopped

    def _flush(self) -> None:
        if self._timer is not None:
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        batch, self._lines, self._size = self._lines, [], 0
        self._writing = len(batch)
        self._run(lambda: self._write_batch(batch))

    def _write_batch(self, batch: list[Line]) -> None:
        """In the other thread."""
        lost = self._target.write(batch)
        self._reactor.callFromThread(self._written, lost)

    def _written(self, lost: Lost | None) -> None:
        if self._stopped.called:
            return  # too late: these lines were given up
        self._writing = 0
        if lost is not None:
            self._drop(lost.lines, lost.reason)
        self._go_on()

    def _go_on(self) -> None:
        """Nothing is being written: begin with what waits, now or at its time."""
        if not self._lines:
            if self._stopping:
                self._finish()
        elif self._stopping or self._size >= BATCH_BYTES:
            self._flush()
        elif self._timer is None:
            self._timer = self._reactor.callLater(BATCH_SECONDS, self._flush)

    def _give_up(self) -> None:
        lost = self._writing + len(self._lines)
        self._lines, self._writing = [], 0
        self._drop(lost, "they could not be written before the end")
        self._finish()

    def _finish(self) -> None:
        for call in (self._deadline, self._reporting):
            if call is not None and call.active():
                call.cancel()
        self._report()
        self._stopped.callback(None)

    def _drop(self, lines: int, reason: str) -> None:
        self.dropped += lines
        self._unreported += lines
        self._reason = reason
        if self._tell is not None:
            self._tell(lines)
        if self._reporting is None and not self._stopping:
            self._report_and_wait()

    def _report_and_wait(self) -> None:
        self._reporting = self._reactor.callLater(REPORT_SECONDS, self._report_and_wait) if self._unreported else None
        self._report()

    def _report(self) -> None:
        if self._unreported:
            self._log.error(
                "{lines} lines of the access log were lost: {reason}", lines=self._unreported, reason=self._reason
            )
            self._unreported = 0


class DaemonThread:
    """Runs jobs one after the other in a thread of its own, which the process's end does not wait for.

    The reactor's thread pool will not do: it waits for its threads, and a pipe that nobody reads lets none go.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._started = False

    def __call__(self, job: Job) -> None:
        """Run ``job`` after those before it."""
        self._jobs.put(job)
        if not self._started:
            self._started = True
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while True:
            self._jobs.get()()
