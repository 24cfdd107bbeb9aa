"""Has all workers drop answers that they keep: the ``purge`` of the control socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

from twisted.internet.defer import Deferred, FirstError, gatherResults, succeed
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.config import Config
from tracseq_gateway.config.problem import show
from tracseq_gateway.errors import RequestRefused
from tracseq_gateway.http.target import normalise
from tracseq_gateway.process.control import NotPurged
from tracseq_gateway.process.control_socket import Answer
from tracseq_gateway.process.worker_process import WorkerProcess

ANSWER_SECONDS: Final = 15.0
"""How long the workers may take."""
LONGEST_TARGET: Final = 8192


class Purges:
    """Asks every worker, for each has requests under way whose answers it would keep."""

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, config: Callable[[], Config], workers: Callable[[], Sequence[WorkerProcess]]
    ) -> None:
        self._clock = clock
        self._config = config
        self._workers = workers

    def answer(self, request: Mapping[str, Any], client: object) -> Deferred[Answer]:
        """Do what ``{"command": "purge", "service": NAME, "path": PATH}`` says; with both empty all is meant.

        ``path`` may have a query, and may end in ``/*``. The answer has how many answers were ``purged``.
        """
        service, target = request.get("service", ""), request.get("path", "")
        if not isinstance(service, str) or not isinstance(target, str):
            return succeed({"error": "service and path are texts"})
        services = self._config().services
        keeping = [name for name, settings in services.items() if settings.cache.enabled]
        if not keeping:
            return succeed({"error": "no service has its answers kept (services.NAME.cache.enabled)"})
        if service and service not in keeping:
            return succeed({"error": f"no answers of {show(service)} are kept; those of {', '.join(keeping)} are"})
        try:
            path, query, below = parsed(target)
        except ValueError as error:
            return succeed({"error": str(error)})
        shown = path.decode() + "*" * below or "all"
        self._log.info("purge: {service}: {target}", service=service or "all services", target=shown)
        asked = [worker.purge(service, path, query, below) for worker in self._workers()]
        counted = [each.addErrback(_gone) for each in asked]
        done = gatherResults(counted, consumeErrors=True).addTimeout(ANSWER_SECONDS, self._clock, _late)
        return done.addCallbacks(lambda counts: {"purged": sum(counts), "workers": len(counts)}, _failed)


def parsed(target: str) -> tuple[bytes, bytes, bool]:
    """Path, query with its ``?``, and whether all below is meant; raises ValueError for what is no such thing."""
    if not target:
        return b"", b"", False
    if not target.startswith("/") or len(target) > LONGEST_TARGET or not target.isascii() or not target.isprintable():
        raise ValueError(f"{show(target[:200])} is no path: one such as /samples/42 or /samples/* would be right")
    path, mark, query = target.encode("ascii").partition(b"?")
    below = path.endswith(b"/*") and not mark
    try:
        return normalise(path[:-1] if below else path, keep_separators=True), mark + query, below
    except RequestRefused as error:
        raise ValueError(f"{show(target[:200])} is no path: {error}") from None


def _gone(failure: Failure) -> int:
    """A worker that is gone keeps nothing any more."""
    failure.trap(ConnectionClosed)
    return 0


def _late(result: object, seconds: float) -> NoReturn:
    raise TimeoutError


def _failed(failure: Failure) -> Answer:
    error = failure.value
    reason = error.subFailure if isinstance(error, FirstError) else failure
    if reason.check(NotPurged) is not None:
        return {"error": f"not all was dropped: {reason.getErrorMessage()}"}
    reason.trap(TimeoutError)
    return {"error": f"the workers gave no answer within {ANSWER_SECONDS:g} s"}
