"""The gateway's own pages, as the configuration wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.web.resource import Resource

from tracseq_gateway.admin.metrics_page import MetricsPage
from tracseq_gateway.admin.pages import pages
from tracseq_gateway.admin.status import Status
from tracseq_gateway.config.model import Config
from tracseq_gateway.metrics.page import Page
from tracseq_gateway.service.api_docs import ApiDocs
from tracseq_gateway.service.callers import Callers
from tracseq_gateway.service.doors import Doors
from tracseq_gateway.service.records import Records
from tracseq_gateway.upstream.service import UpstreamService


class OwnPages:
    """The tree of pages, and what routing must know of it."""

    def __init__(
        self,
        config: Config,
        reactor: Any,
        status: Status,
        records: Records,
        now: Callable[[], float],
        doors: Doors,
        callers: Callers | None,
        services: Mapping[str, UpstreamService],
    ) -> None:
        """``now`` gives seconds since the epoch; ``callers`` knows who calls, if anybody asks."""
        self._config = config
        self._reactor = reactor
        self._records = records
        further = self._further()
        self._docs: ApiDocs | None = None
        if config.docs.enabled:
            self._docs = ApiDocs(config, reactor, services, callers, doors, now, tuple(further))
            further |= self._docs.pages
        self.root = pages(status, now, further)
        self.paths = tuple(further)
        """The paths of the pages that only some configurations have: they go before a service's."""

    def _further(self) -> dict[str, Resource]:
        """Pages that there are only when the configuration wants them, by their path."""
        further: dict[str, Resource] = {}
        if self._records.metrics is not None:
            further[self._config.metrics.path] = self._metrics_page()
        return further

    def _metrics_page(self) -> Resource:
        metrics, reactor = self._records.metrics, self._reactor
        assert metrics is not None, "asked for only when metrics are on"

        def run(make: Callable[[], Page]) -> Deferred[Page]:
            return deferToThreadPool(reactor, reactor.getThreadPool(), make)

        return MetricsPage(metrics.page, run, reactor.seconds, self._records.hand_over)

    def stop(self) -> None:
        """Break off what was begun for a page."""
        if self._docs is not None:
            self._docs.stop()
