"""What stands behind each service's prefix: the doors that its requests pass, its limits, and its proxy.

The order of a request's way, and why; a request gets its place in a trace before all, so that refusals have one:

1. Address lists: one look-up, for everybody.
2. CORS: a preflight carries no credentials and asks for nothing of a service, so it is answered before it could be
   refused for their lack; everybody else's answer, a refusal too, can be read by the script that caused it.
3. Routing.
4. Loops, last hops, and the worker's own limit on requests at once: what protects the gateway itself.
5. Size and type of the body: refused by what the head says, before anything is asked about the caller. A part of an
   upload is none of the service's bodies: it has limits of its own.
6. Identity and role.
7. Requests at once, of the service and of the client.
8. Failed logins, then rates: the last thing, since only they are charged, and only who had the right to ask pays.
9. Resumable uploads: their parts end here, and what is whole goes on.
10. Compression, which waits for the answer.
11. What is kept of the service's answers: behind all doors, so that nobody gets what he might not have asked for.
12. The service.

The first three are the same for all services (``doors``, ``routing``); the rest is built here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from attrs import frozen

from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.config.upstream import Priority
from tracseq_gateway.http.forwarding import AnswerRules
from tracseq_gateway.http.paths import PathPatterns
from tracseq_gateway.http.request_head import METHODS
from tracseq_gateway.interfaces import Request, Stage
from tracseq_gateway.limits.concurrency import ClientConcurrency, ServiceConcurrency
from tracseq_gateway.limits.rules import Keys
from tracseq_gateway.middleware.chain import Chain
from tracseq_gateway.middleware.digests import check_digests
from tracseq_gateway.middleware.limits import concurrency_limit, lag_limit, last_hop, loop_guard
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.net.lag import LagMeter
from tracseq_gateway.routing.table import Route
from tracseq_gateway.service.caches import Caches
from tracseq_gateway.service.callers import Callers
from tracseq_gateway.service.compressing import Compressing
from tracseq_gateway.service.doors import body_links
from tracseq_gateway.service.rates import Rates
from tracseq_gateway.service.uploads import GatewayUploads, not_for_uploads
from tracseq_gateway.service.way import Door, Way
from tracseq_gateway.uploads.stage import UploadStage
from tracseq_gateway.upstream.proxy import Proxy, Times, path_timeouts
from tracseq_gateway.upstream.service import UpstreamService


@frozen(eq=False)
class Shared:
    """What the routes of one worker have in common."""

    config: Config
    services: Mapping[str, UpstreamService]
    deadlines: Deadlines
    rules: AnswerRules | None
    """What becomes of the fields of services' answers."""
    callers: Callers | None
    rates: Rates | None
    compressing: Compressing | None
    caches: Caches | None
    keys: Keys
    uploads: GatewayUploads | None
    lag: LagMeter
    busy: Callable[[], int]
    """How many requests are being worked on."""
    clocked: bool
    """Whether somebody wants to know when requests are passed on and answered."""


def routes(shared: Shared) -> tuple[list[Route[Stage]], dict[bytes, Way]]:
    """Build the routes of all services; and their parts by name, by the prefix."""
    built = [_route(shared, settings) for settings in shared.config.services.values()]
    return [route for route, _ in built], {route.prefix: way for route, way in built}


def _route(shared: Shared, settings: Service) -> tuple[Route[Stage], Way]:
    prefix = settings.prefix.rstrip("/").encode("ascii")
    rewrite = settings.rewrite.rstrip("/").encode("ascii")
    path: Route[None] = Route(prefix, rewrite, None)
    proxy = Proxy(
        shared.services[settings.name],
        path.upstream_path,
        shared.deadlines,
        shared.config.gateway.via.encode("ascii"),
        shared.rules,
        shared.clocked,
        _times_of(settings, len(prefix)),
    )
    last: Stage = proxy
    cache = shared.caches.stage(settings, path, proxy) if shared.caches is not None else None
    if cache is not None:
        last = cache
    if shared.compressing is not None:
        last = shared.compressing.stage(settings, len(prefix), last)
    uploads: UploadStage | None = None
    if shared.uploads is not None and settings.uploads.paths:
        watch = cache.watch if cache is not None else None
        last = uploads = shared.uploads.stage(settings, len(prefix), proxy, last, watch)
    if shared.rates is not None:
        last = shared.rates.stage(settings, len(prefix), last)
    priority = settings.priority or ("high" if settings.name == shared.config.auth.service else "normal")
    doors = tuple(_doors(shared, settings, len(prefix), priority, uploads))
    route = Route(prefix, rewrite, _named(settings.name, Chain([door.link for door in doors], last)))
    return route, Way(settings, len(prefix), rewrite, priority, doors, proxy, cache, uploads)


def _doors(
    shared: Shared, settings: Service, prefix: int, priority: Priority, uploads: UploadStage | None
) -> Iterator[Door]:
    """The links of one service, in their order."""
    gateway = shared.config.gateway
    yield Door("hops", loop_guard(gateway.via))
    yield Door("hops", last_hop(sorted(METHODS)))
    if gateway.max_concurrent_requests:
        yield Door("load", concurrency_limit(gateway.max_concurrent_requests, shared.busy, priority))
    if gateway.max_lag:
        yield Door("load", lag_limit(gateway.max_lag, shared.lag, priority))
    for link in body_links(settings, prefix):
        yield Door("body", link if uploads is None else not_for_uploads(uploads, link))
    if settings.check_digests:
        yield Door("body", check_digests)
    for link in shared.callers.links(settings, prefix) if shared.callers is not None else ():
        yield Door("identity", link)
    if settings.max_concurrent:
        yield Door("at once", ServiceConcurrency(settings.max_concurrent))
    if settings.max_concurrent_per_client:
        fields = shared.config.rate_limit.standard_headers
        yield Door("at once", ClientConcurrency(settings.max_concurrent_per_client, shared.keys, fields=fields))


def _times_of(settings: Service, prefix: int) -> Callable[[bytes], Times | None] | None:
    """The times of the paths that have their own; None when no path has."""
    times = {
        path: Times.of(path_timeouts(settings.timeouts, rule.timeouts), settings.deadline_header)
        for path, rule in settings.paths.items()
        if rule.timeouts is not None
    }
    patterns = PathPatterns(times)
    return (lambda path: patterns.find(path[prefix:])) if times else None


def _named(service: str, stage: Stage) -> Stage:
    """A stage that notes first where a request goes."""

    def named(request: Request) -> None:
        request.service = service
        stage(request)

    return named
