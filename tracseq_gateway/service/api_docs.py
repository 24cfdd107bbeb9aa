"""The API page of one worker: from the configuration to what the merged document says of each operation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.web.client import Agent
from twisted.web.resource import Resource

from tracseq_gateway import __version__
from tracseq_gateway.admin.api_pages import DOCS, DOCUMENT, POLICY, DocsPage, WaitingPage, kept_document
from tracseq_gateway.admin.described import SCHEMAS, own_paths
from tracseq_gateway.admin.kept import Kept
from tracseq_gateway.config.model import OWN_PATHS, Config, Service
from tracseq_gateway.config.policies import Authentication
from tracseq_gateway.net.quiet import QuietEndpoints
from tracseq_gateway.openapi.addresses import Address
from tracseq_gateway.openapi.catalogue import Catalogue
from tracseq_gateway.openapi.demands import API_KEY, BEARER
from tracseq_gateway.openapi.merge import Front, Part
from tracseq_gateway.openapi.sources import Source, Tools, fetcher
from tracseq_gateway.routing.table import Route, RouteTable
from tracseq_gateway.service.api_rules import ServiceRules
from tracseq_gateway.service.callers import Callers
from tracseq_gateway.service.doors import Doors
from tracseq_gateway.upstream.service import UpstreamService


class ApiDocs:
    """The pages ``/docs`` and ``/openapi.json``."""

    def __init__(
        self,
        config: Config,
        reactor: Any,
        services: Mapping[str, UpstreamService],
        callers: Callers | None,
        doors: Doors,
        now: Callable[[], float],
        further: Iterable[str] = (),
    ) -> None:
        """``further`` are the paths of pages that only some configurations have; ``now`` gives the time of day."""

        def aside(work: Callable[[], Any]) -> Deferred[Any]:
            return deferToThreadPool(reactor, reactor.getThreadPool(), work)

        docs = config.docs

        def tools_of(name: str) -> Tools:
            endpoints = QuietEndpoints(reactor, services[name].peer, docs.timeout)
            fetch = fetcher(Agent.usingEndpointFactory(reactor, endpoints), docs.max_document)
            return Tools(fetch, aside, reactor, now, docs.cache_seconds, docs.timeout)

        settings = config.services.values()
        goes_to = _routing(settings, (*OWN_PATHS, *further))
        parts = []
        for service in settings:
            address = Address(service.prefix, service.rewrite, partial(goes_to, service.name))
            instances = _instances(services[service.name])
            source = Source(service.name, service.openapi, address, instances, tools_of(service.name))
            parts.append((described(service, config, callers), source))
        self._catalogue = Catalogue(_front(config, {*further, DOCS, DOCUMENT}), parts, aside)
        self._security = doors.of_page(POLICY)
        self.pages: dict[str, Resource] = {
            DOCS: DocsPage([(service.name, service.prefix) for service in settings], aside, self._security),
            DOCUMENT: WaitingPage(self._document),
        }
        """By their paths."""

    def _document(self) -> Deferred[Kept]:
        return self._catalogue.document().addCallback(
            lambda made: kept_document(made.plain, made.zipped, made.tag, self._security)
        )

    def stop(self) -> None:
        """Fetch nothing more."""
        self._catalogue.stop()


def described(settings: Service, config: Config, callers: Callers | None) -> Part:
    """One service as the gateway sees it, without its document."""
    if callers is None:
        rules = ServiceRules(settings, config)
    else:
        rules = ServiceRules(settings, config, partial(callers.need, settings.name))
    return Part(settings.name, settings.prefix, None, "none", "", rules.remarks, rules.demand)


def _front(config: Config, further: Collection[str]) -> Front:
    own_root = all(service.prefix != "/" for service in config.services.values())
    return Front(
        "TracSeq Gateway",
        __version__,
        schemes(config.auth) if config.auth.enabled else {},
        config.rate_limit.standard_headers,
        own_paths(own_root, further, config.metrics.path),
        SCHEMAS,
    )


def _routing(services: Iterable[Service], own: Collection[str]) -> Callable[[str, str], bool]:
    """Whether a public path goes to the service of a name."""
    routes = [Route(service.prefix.rstrip("/").encode("ascii"), b"", service.name) for service in services]
    find = RouteTable(routes).find

    def goes_to(name: str, path: str) -> bool:
        if any(path == page or path.startswith(page + "/") for page in own):
            return False
        route = find(path.encode("ascii"))
        return route is not None and route.target == name

    return goes_to


def _instances(service: UpstreamService) -> Callable[[], str | None]:
    def instance() -> str | None:
        chosen = service.choose()
        return chosen.url.rstrip("/") if chosen is not None else None

    return instance


def schemes(settings: Authentication) -> dict[str, Any]:
    """How callers say who they are."""
    found: dict[str, Any] = {
        BEARER: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of the Auth Service: the `access_token` that a login answers with.",
        }
    }
    if settings.api_keys or settings.api_keys_file:
        found[API_KEY] = {
            "type": "apiKey",
            "in": "header",
            "name": settings.api_key_header,
            "description": "A key of an instrument or a service.",
        }
    return found
