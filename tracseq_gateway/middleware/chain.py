"""The chain: links that look at a request's head, compiled once for each route.

A link answers None (go on), or an answer or error at once, or a Deferred of any of these. Only a link that really
waits makes a Deferred, which is cancelled when the client leaves; bodies never pass through here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.errors import INTERNAL, GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.interfaces import Request, Stage


@frozen
class Answer:
    """A whole answer that a link gives itself."""

    head: OutgoingHead
    body: bytes = b""


Verdict = Answer | GatewayError | None
Link = Callable[[Request], "Verdict | Deferred[Verdict]"]


class Chain:
    """Runs a request through its links and hands it to the last stage."""

    log = Logger()

    def __init__(self, links: Sequence[Link], last: Stage) -> None:
        self._links = tuple(links)
        self._steps = tuple((link, following) for following, link in enumerate(links, 1))
        self._last = last

    def __call__(self, request: Request) -> None:
        """Take over a request."""
        for link, following in self._steps:
            verdict = link(request)
            if verdict is not None:
                self._settle(request, verdict, following)
                return
        self._last(request)

    def _settle(self, request: Request, verdict: Verdict | Deferred[Verdict], following: int) -> None:
        if isinstance(verdict, Deferred):
            waiting = _Waiting(verdict)
            request.attend(waiting)
            verdict.addCallback(self._resume, request, following)
            verdict.addErrback(self._failed, request, waiting)
        elif isinstance(verdict, GatewayError):
            request.refuse(verdict)
        elif verdict is not None:
            request.begin(verdict.head, verdict.body, True)

    def _resume(self, verdict: Verdict, request: Request, following: int) -> None:
        """Go on where a link had to wait."""
        if request.finished:
            return
        if verdict is not None:
            self._settle(request, verdict, following)
        else:
            Chain(self._links[following:], self._last)(request)

    def _failed(self, failure: Failure, request: Request, waiting: _Waiting) -> None:
        if waiting.cancelled and failure.check(CancelledError) is not None:
            return
        self.log.failure("a middleware failed on {path!r}", failure=failure, path=request.head.path)
        request.break_off(GatewayError(INTERNAL))


class _Waiting:
    """Attends a request while a link waits for something: nobody takes its body, and if its client leaves, the wait
    is over."""

    def __init__(self, verdict: Deferred[Verdict]) -> None:
        self._verdict = verdict
        self.cancelled = False

    def body_received(self, data: bytes) -> None:
        """Never called: the body was not taken."""

    def body_ended(self) -> None:
        """Never called either."""

    def client_gone(self) -> None:
        self.cancelled = True
        self._verdict.cancel()

    def pause(self) -> None:
        """Nothing is sent yet."""

    def resume(self) -> None:
        """Nothing was paused."""

    def leave(self) -> None:
        """Never called."""
