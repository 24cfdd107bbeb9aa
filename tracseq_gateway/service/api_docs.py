"""The API page of one worker: from the configuration to what the merged document says of each operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.web.client import Agent
from twisted.web.resource import Resource

from tracseq_gateway import __version__
from tracseq_gateway.admin.api_pages import DOCS, DOCUMENT, POLICY, DocsPage, WaitingPage, kept_document
from tracseq_gateway.admin.described import SCHEMAS, own_paths
from tracseq_gateway.config.model import OWN_PATHS, Config, Service
from tracseq_gateway.config.policies import Authentication, Limit, RateLimit
from tracseq_gateway.http.paths import PathPatterns
from tracseq_gateway.identity.access import Need
from tracseq_gateway.interfaces import ROLES
from tracseq_gateway.net.quiet import QuietEndpoints
from tracseq_gateway.openapi.addresses import Address
from tracseq_gateway.openapi.catalogue import Catalogue
from tracseq_gateway.openapi.demands import API_KEY, BEARER, Demand
from tracseq_gateway.openapi.merge import Front, Part
from tracseq_gateway.openapi.sources import Source, Tools, fetcher
from tracseq_gateway.routing.table import Route, RouteTable
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
        agent = Agent.usingEndpointFactory(reactor, QuietEndpoints(reactor, config.docs.timeout))

        def aside(work: Callable[[], Any]) -> Deferred[Any]:
            return deferToThreadPool(reactor, reactor.getThreadPool(), work)

        tools = Tools(
            fetcher(agent, config.docs.max_document),
            aside,
            reactor,
            now,
            config.docs.cache_seconds,
            config.docs.timeout,
        )
        own = (*OWN_PATHS, *further)
        find = RouteTable([Route(_bytes(it.prefix), b"", it.name) for it in config.services.values()]).find
        parts = [
            (
                described(settings, config, callers),
                Source(
                    settings.name,
                    settings.openapi,
                    Address(settings.prefix, settings.rewrite, partial(_goes_to, settings.name, find, own)),
                    _instances(services[settings.name]),
                    tools,
                ),
            )
            for settings in config.services.values()
        ]
        own_root = all(it.prefix != "/" for it in config.services.values())
        front = Front(
            "TracSeq Gateway",
            __version__,
            schemes(config.auth) if config.auth.enabled else {},
            config.rate_limit.standard_headers,
            own_paths(own_root, {*further, DOCS, DOCUMENT}, config.metrics.path),
            SCHEMAS,
        )
        self.catalogue = Catalogue(front, parts, aside)
        security = doors.of_page(POLICY)
        listed = [(settings.name, settings.prefix) for settings in config.services.values()]
        self.pages: dict[str, Resource] = {
            DOCS: DocsPage(listed, aside, security),
            DOCUMENT: WaitingPage(
                lambda: self.catalogue.document().addCallback(
                    lambda made: kept_document(made.plain, made.zipped, made.tag, security)
                )
            ),
        }

    def stop(self) -> None:
        """Fetch nothing more."""
        self.catalogue.stop()


def _bytes(prefix: str) -> bytes:
    return prefix.rstrip("/").encode("ascii")


def _goes_to(name: str, find: Callable[[bytes], Route[str] | None], own: Iterable[str], path: str) -> bool:
    """Whether a public path goes to this service."""
    if any(path == page or path.startswith(page + "/") for page in own):
        return False
    route = find(path.encode("ascii"))
    return route is not None and route.target == name


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


def described(settings: Service, config: Config, callers: Callers | None) -> Part:
    """One service as the gateway sees it, without its document."""
    prefix = len(_bytes(settings.prefix))
    has_keys = bool(config.auth.api_keys or config.auth.api_keys_file)
    limited = config.rate_limit.enabled
    rates = PathPatterns({path: rule.rate_limit for path, rule in settings.paths.items() if rule.rate_limit})
    sizes = PathPatterns({path: (rule.max_body,) for path, rule in settings.paths.items() if rule.max_body is not None})
    types = PathPatterns(
        {path: (rule.content_types,) for path, rule in settings.paths.items() if rule.content_types is not None}
    )
    further = [
        (limit, PathPatterns(dict.fromkeys(limit.paths, True)))
        for limit in (config.rate_limit.limits.values() if limited else ())
        if not limit.services or settings.name in limit.services
    ]

    def demand(method: str, path: str) -> Demand:
        below = path.encode("ascii")[prefix:]
        need = callers.access[settings.name].need(path.encode("ascii")) if callers is not None else Need.of("none", {})
        rank = need.ranks.get(method.upper().encode("ascii"))
        rate = rates.find(below) if limited else None
        size = sizes.find(below)
        kinds = types.find(below)
        remarks = [f"{_rate(rate)} for this path."] if rate is not None else []
        for limit, paths in further:
            if (not limit.methods or method.upper() in limit.methods) and (not limit.paths or paths.find(below)):
                remarks.append(_limit(limit))
        if size is not None and size != (settings.max_body,):
            remarks.append(f"Takes bodies of up to {_size(size[0])}." if size[0] else "Takes bodies of any size.")
        return Demand(
            need.auth,
            ROLES[rank] if rank is not None and need.auth != "none" else "",
            has_keys,
            limited or bool(settings.max_concurrent_per_client),
            size[0] if size is not None else settings.max_body,
            kinds[0] if kinds is not None else settings.content_types,
            tuple(remarks),
        )

    said = [f"{_rate(settings.rate_limit or config.rate_limit.default)}."] if limited else []
    if settings.max_body:
        said.append(f"Bodies of up to {_size(settings.max_body)}.")
    return Part(settings.name, settings.prefix, None, "none", "", tuple(said), demand)


def _rate(rate: RateLimit) -> str:
    return f"At most {rate.requests_per_minute} requests a minute for each client, {rate.burst} at once"


def _limit(limit: Limit) -> str:
    who = {
        "client": "each client",
        "address": "each address",
        "service": "all clients of a service together",
        "everyone": "all clients together",
    }[limit.per]
    what = "bytes of request bodies" if limit.unit == "bytes" else "requests"
    return f"At most {limit.per_minute} {what} a minute for {who}, {limit.burst} at once."


def _size(size: int) -> str:
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power and size % 1024**power == 0:
            return f"{size // 1024**power} {unit}"
    return f"{size} bytes"
