"""What Prometheus reads: put together elsewhere, so that a scrape stalls no request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tracseq_gateway.admin.pages import Missing
from tracseq_gateway.errors import INTERNAL, METHOD_NOT_ALLOWED, GatewayError
from tracseq_gateway.metrics.page import Page, wants_openmetrics

KEEP_SECONDS = 1.0
"""How long a page is given again: making one costs as much as a hundred requests, and nothing is charged for it."""

Make = Callable[[bool], "Deferred[Page]"]
"""Makes a page: in OpenMetrics, or as text."""


class MetricsPage(Resource):
    """``GET /metrics``. Whoever asks while a page is being made, or just after, gets that one."""

    _log = Logger()

    def __init__(
        self,
        make: Make,
        seconds: Callable[[], float],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """``make`` makes a page, after a call of ``prepare``; ``seconds`` gives the seconds of a clock that never goes
        back."""
        super().__init__()
        self._seconds = seconds
        self._kept: dict[bool, tuple[float, Page]] = {}
        self._prepare = prepare
        self._make = make
        self._waiting: dict[bool, list[Any]] = {}
        self._working = False

    def getChild(self, path: bytes, request: Any) -> Resource:
        """A trailing slash is the page itself; anything else below it does not exist."""
        return self if path == b"" else Missing()

    def render(self, request: Any) -> Any:
        """Answer GET and HEAD; refuse other methods."""
        if request.method not in (b"GET", b"HEAD"):
            request.refuse(GatewayError(METHOD_NOT_ALLOWED, "this page can only be read", allow=("GET", "HEAD")))
            return NOT_DONE_YET
        accept = cast("str | None", request.getHeader("accept")) or ""
        openmetrics = wants_openmetrics(accept)
        until, page = self._kept.get(openmetrics, (0.0, None))
        if page is not None and self._seconds() < until:
            _answer(request, page)
        else:
            self._waiting.setdefault(openmetrics, []).append(request)
            self._go_on()
        return NOT_DONE_YET

    def _go_on(self) -> None:
        """Make a page for those who wait, one at a time."""
        if self._working or not self._waiting:
            return
        openmetrics, requests = self._waiting.popitem()
        self._working = True
        self._prepare()
        made = self._make(openmetrics)
        made.addCallbacks(self._made, self._failed, (openmetrics, requests), {}, (requests,))
        made.addBoth(self._done)

    def _made(self, page: Page, openmetrics: bool, requests: list[Any]) -> None:
        self._kept[openmetrics] = (self._seconds() + KEEP_SECONDS, page)
        for request in requests:
            if not request.finished:
                _answer(request, page)

    def _failed(self, failure: Failure, requests: list[Any]) -> None:
        self._log.failure("the metrics could not be put together", failure=failure)
        for request in requests:
            request.refuse(GatewayError(INTERNAL))

    def _done(self, _: object) -> None:
        self._working = False
        self._go_on()


def _answer(request: Any, page: Page) -> None:
    request.setHeader(b"content-type", page.content_type.encode("ascii"))
    request.setHeader(b"cache-control", b"no-store")
    request.write_all(page.body)
