"""Has a worker explain what would become of a request: the ``explain`` of the control socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from tracseq_gateway.process.control_socket import Answer
from tracseq_gateway.process.worker_process import WorkerProcess

ANSWER_SECONDS: Final = 15.0
"""How long a worker may take: it may have to wait for Redis, and when it is told to ask, for the Auth Service."""
LONGEST_QUESTION: Final = 60_000
"""Bytes of a question on its way to a worker."""


class Explanations:
    """Asks one worker, whose state is what the report tells of."""

    def __init__(self, clock: IReactorTime, serving: Callable[[int | None], WorkerProcess | None]) -> None:
        """``serving`` gives the worker of an index, or any, that serves."""
        self._clock = clock
        self._serving = serving

    def answer(self, request: Mapping[str, Any], client: object) -> Deferred[Answer]:
        """Answer ``{"command": "explain", "question": {...}, "worker": N}`` with the worker's report.

        Without ``worker``, or with null, it is the first that serves.
        """
        index = request.get("worker")
        if not isinstance(index, int | None) or isinstance(index, bool):
            return succeed({"error": "worker is no number"})
        worker = self._serving(index)
        if worker is None:
            which = "no worker" if index is None else f"no worker {index}"
            return succeed({"error": f"{which} serves at the moment"})
        question = json.dumps(request.get("question")).encode("ascii")
        if len(question) > LONGEST_QUESTION:
            return succeed({"error": f"the question has more than {LONGEST_QUESTION} bytes"})
        number, pid = worker.index, worker.pid
        report = worker.explain(question).addTimeout(ANSWER_SECONDS, self._clock, _late)
        return report.addCallbacks(lambda said: {**json.loads(said), "worker": number, "pid": pid}, _unanswered)


def _late(result: object, seconds: float) -> NoReturn:
    raise TimeoutError


def _unanswered(failure: Failure) -> Answer:
    """The worker is gone, or takes too long."""
    if failure.check(ConnectionClosed) is not None:
        return {"error": "the worker that was asked is gone: ask again"}
    failure.trap(TimeoutError)
    return {"error": f"the worker gave no answer within {ANSWER_SECONDS:g} s"}
