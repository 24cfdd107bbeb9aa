"""The page of metrics, made by the supervisor for whichever worker is asked for it.

Making it takes longer than many requests, and Python lets one thread of a process run at a time: in a worker, a page
that is made in a thread stalls requests for milliseconds, again and again. The supervisor serves none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.metrics.further import SUPERVISOR, process_families
from tracseq_gateway.metrics.page import render
from tracseq_gateway.process.control import PageNotMade
from tracseq_gateway.process.metrics_directory import MetricsDirectory

T = TypeVar("T")

KEEP_SECONDS: Final = 0.5
"""How long a page is given to further workers that are asked; each of them keeps it for another second."""

Run = Callable[[Callable[[], None]], Deferred[None]]
"""Calls a function in another thread; fires when it has returned."""


@frozen
class Processes:
    """The workers, at a moment."""

    restarts: int
    """How often one was replaced."""
    pids: Mapping[str, int]
    """Process ids by the worker's number."""


class MetricsPages:
    """Pages in files of the metrics directory: each is replaced as a whole, so who opens one reads a whole one."""

    def __init__(
        self, directory: MetricsDirectory, run: Run, seconds: Callable[[], float], processes: Callable[[], Processes]
    ) -> None:
        """``seconds`` gives the seconds of a clock that never goes back; ``processes`` how the workers are now."""
        self._directory = directory
        self._run = run
        self._seconds = seconds
        self._processes = processes
        self._kept: dict[bool, float] = {}
        self._waiting: dict[bool, list[Deferred[str]]] = {}
        self._log = Logger()

    def make(self, openmetrics: bool) -> Deferred[str]:
        """Make a page; fires with its file's path. Fails with :class:`PageNotMade`, after the log has said why.

        Who asks while it is being made, or shortly after, gets that one.
        """
        path = os.path.join(self._directory.path, f"page.{'openmetrics' if openmetrics else 'text'}")
        if self._seconds() < self._kept.get(openmetrics, 0.0):
            return succeed(path)
        asked: Deferred[str] = Deferred()
        waiting = self._waiting.setdefault(openmetrics, [])
        waiting.append(asked)
        if len(waiting) == 1:
            self._begin(openmetrics, path).addBoth(self._ended, openmetrics, path)
        return asked

    def idle(self) -> Deferred[list[tuple[bool, str]]]:
        """Fires when no page is being made any more; the directory can then be removed."""
        return DeferredList([self.make(openmetrics) for openmetrics in list(self._waiting)], consumeErrors=True)

    def _begin(self, openmetrics: bool, path: str) -> Deferred[None]:
        processes = self._processes()
        pids = {SUPERVISOR: os.getpid(), **processes.pids}

        def write() -> None:
            page = render(
                self._directory.path,
                openmetrics,
                lambda: process_families(processes.restarts, pids),
            )
            with open(f"{path}.new", "wb") as file:
                file.write(page.body)
            os.rename(f"{path}.new", path)

        try:
            self._directory.fold()
        except OSError as error:
            self._log.error("the metrics of workers that are gone cannot be kept: {error}", error=error)
        return self._run(write)

    def _ended(self, result: Failure | None, openmetrics: bool, path: str) -> None:
        waiting = self._waiting.pop(openmetrics)
        if isinstance(result, Failure):
            self._log.failure("the metrics could not be put together", failure=result)
            for asked in waiting:
                asked.errback(PageNotMade("see the supervisor's log"))
        else:
            self._kept[openmetrics] = self._seconds() + KEEP_SECONDS
            for asked in waiting:
                asked.callback(path)
