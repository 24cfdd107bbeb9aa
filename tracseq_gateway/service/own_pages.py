"""The gateway's own pages, as the configuration wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.web.resource import Resource

from tracseq_gateway.admin.assets import Care
from tracseq_gateway.admin.dashboard import POLICY, DashboardPage
from tracseq_gateway.admin.events import Feed, Streams
from tracseq_gateway.admin.metrics_page import MetricsPage
from tracseq_gateway.admin.pages import DASHBOARD, pages
from tracseq_gateway.admin.status import Status
from tracseq_gateway.config.model import Config
from tracseq_gateway.interfaces import Request, Stage
from tracseq_gateway.metrics.page import Page, load
from tracseq_gateway.middleware.chain import Chain, Link
from tracseq_gateway.service.api_docs import ApiDocs
from tracseq_gateway.service.callers import Callers
from tracseq_gateway.service.doors import Doors
from tracseq_gateway.service.records import Records
from tracseq_gateway.upstream.service import UpstreamService

SCRAPE_SECONDS = 10.0
"""How long the supervisor is waited for that makes the page of metrics; as long as Prometheus waits for us."""


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
        feed: Feed,
    ) -> None:
        """``now`` gives seconds since the epoch; ``callers`` knows who calls, if anybody asks; ``feed`` gives what the
        dashboard shows.
        """
        self._config = config
        self._reactor = reactor
        self._records = records
        self._doors = doors
        self._access = callers.page_link("dashboard", config.dashboard.role) if callers is not None else None
        self._streams = Streams(feed, reactor, now, config.dashboard.interval, self._access or _anybody)
        if callers is not None:
            callers.revocations.on_change(lambda revocation: self._streams.judge_all())
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
        if self._config.dashboard.enabled:
            further[DASHBOARD] = self._dashboard()
        return further

    def _dashboard(self) -> Resource:
        config, access = self._config, self._access
        events: Stage = Chain([cast(Link, access)], self._streams) if access is not None else self._streams
        return DashboardPage(_settings(config), events, Care(*self._doors.of_page(POLICY)))

    def _metrics_page(self) -> Resource:
        return MetricsPage(self._make_metrics, self._reactor.seconds, self._records.hand_over)

    def _make_metrics(self, openmetrics: bool) -> Deferred[Page]:
        metrics, scrape, reactor = self._records.metrics, self._records.scrape, self._reactor
        assert metrics is not None, "asked for only when metrics are on"
        if scrape is None:
            return deferToThreadPool(reactor, reactor.getThreadPool(), metrics.page, openmetrics)
        return scrape(openmetrics).addTimeout(SCRAPE_SECONDS, reactor).addCallback(load, openmetrics)

    def close(self) -> None:
        """End what is open on the pages, so that their clients go to another worker."""
        self._streams.close()

    def stop(self) -> None:
        """Break off what was begun for a page."""
        if self._docs is not None:
            self._docs.stop()


def _settings(config: Config) -> dict[str, object]:
    """What the dashboard must know: public."""
    auth = config.auth
    service = config.services.get(auth.service) if auth.enabled else None
    prefix = service.prefix.rstrip("/") if service is not None else None
    return {
        "login": None if prefix is None else prefix + config.dashboard.login,
        "logout": None if prefix is None or not auth.logout else prefix + auth.logout[0],
        "interval": config.dashboard.interval,
    }


def _anybody(request: Request) -> None:
    """Without authentication nobody is refused."""
