"""A job that many may ask for, done once at a time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class OneAtATime(Generic[T]):
    """Runs ``job``. All who ask while it runs are served by one further run, since this one may have missed theirs."""

    def __init__(self, job: Callable[[], Coroutine[Deferred[Any], Any, T]]) -> None:
        self._job = job
        self.running = False
        """Whether one is under way."""
        self._waiting: list[Deferred[T]] = []

    def ask(self) -> Deferred[T]:
        """Have the job done; fires with what a run gave, or failed with, that began after this call."""
        asked: Deferred[T] = Deferred()
        self._waiting.append(asked)
        if not self.running:
            self._run()
        return asked

    def _run(self) -> None:
        self.running = True
        served, self._waiting = self._waiting, []

        def ended(result: T | Failure) -> None:
            self.running = False
            if self._waiting:
                self._run()
            for asked in served:
                asked.callback(result)  # a Failure takes the way of failures

        Deferred.fromCoroutine(self._job()).addBoth(ended)
