"""The chain: links that look at a request's head, compiled once for each route.

A link answers None (go on), or an answer or error at once, or a Deferred of any of these. Only a link that really
waits makes a Deferred; bodies never pass through here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen
from twisted.internet.defer import Deferred
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
            verdict.addCallback(self._resume, request, following)
            verdict.addErrback(self._failed, request)
        elif isinstance(verdict, GatewayError):
            request.refuse(verdict)
        elif verdict is not None:
            request.begin(verdict.head, verdict.body, True)

    def _resume(self, verdict: Verdict, request: Request, following: int) -> None:
        """Go on where a link had to wait."""
        if verdict is not None:
            self._settle(request, verdict, following)
        elif not request.finished:
            Chain(self._links[following:], self._last)(request)

    def _failed(self, failure: Failure, request: Request) -> None:
        self.log.failure("a middleware failed on {path!r}", failure=failure, path=request.head.path)
        request.refuse(GatewayError(INTERNAL))
