"""One worker's gateway, built back to front.

Services first, then for each route its proxy, its limits and its chain, then the table, the resource tree and the site:
each stage is given the next one, so that calls go forward while imports go down.

The order of a request's way, and why:

1. Address lists: one look-up, for everybody.
2. CORS: a preflight carries no credentials and asks for nothing of a service, so it is answered before it could be
   refused for their lack; everybody else's answer, a refusal too, can be read by the script that caused it.
3. Routing.
4. Loops, last hops, and the worker's own limit on requests at once: what protects the gateway itself.
5. Size and type of the body: refused by what the head says, before anything is asked about the caller.
6. Identity and role.
7. Requests at once, of the service and of the client.
8. Failed logins, then rates: the last thing, since only they are charged, and only who had the right to ask pays.
9. The service.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.protocol import ClientFactory

from tracseq_gateway.admin.status import Status
from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.http.forwarding import known_answer_lines
from tracseq_gateway.http.paths import PathPatterns
from tracseq_gateway.http.request_head import METHODS
from tracseq_gateway.interfaces import InstanceHealth, Observation, Request, Stage, WorkerHealth
from tracseq_gateway.limits.concurrency import client_concurrency, service_concurrency
from tracseq_gateway.limits.rules import Keys
from tracseq_gateway.metrics.counting import InstanceCount
from tracseq_gateway.metrics.metrics import Metrics
from tracseq_gateway.middleware.chain import Chain, Link
from tracseq_gateway.middleware.limits import concurrency_limit, lag_limit, last_hop, loop_guard
from tracseq_gateway.net.connect import connect_tcp
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.net.lag import LagMeter
from tracseq_gateway.net.transport import EagerPort
from tracseq_gateway.routing.resource import GatewayResource
from tracseq_gateway.routing.table import Route, RouteTable
from tracseq_gateway.server.site import GatewaySite
from tracseq_gateway.service.callers import Callers
from tracseq_gateway.service.doors import Doors, body_links
from tracseq_gateway.service.own_pages import OwnPages
from tracseq_gateway.service.rates import Rates
from tracseq_gateway.service.records import Records
from tracseq_gateway.upstream.pool import Connect
from tracseq_gateway.upstream.proxy import Proxy, Times, path_timeouts
from tracseq_gateway.upstream.service import UpstreamService

READY_SECONDS = 2.0
"""How long a worker that starts waits for Redis and for published keys before it serves without them."""


class Gateway:
    """Give it listening sockets and the supervisor's news; drain it at the end."""

    def __init__(
        self,
        config: Config,
        reactor: Any,
        connect: Connect | None = None,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.time,
        random: Random | None = None,
    ) -> None:
        """Build everything; nothing is connected yet.

        :param connect: opens connections to services; by default by TCP through ``reactor``.
        :param environ: holds the secrets that the configuration names.
        :param now: gives seconds since the epoch.
        :param random: where all that is drawn about services comes from; by default each has its own.
        """
        self.observed: Callable[[Observation], None] = lambda observation: None
        """Told what requests found out about a service; set by who passes it on to the other workers."""
        self._reactor = reactor
        self.deadlines = Deadlines(reactor)
        self.status = Status(config)
        self._ports: list[EagerPort] = []
        self._config = config
        known = known_answer_lines()
        connect = connect or self._connect_tcp
        self.services = {
            name: UpstreamService(settings, self.deadlines, connect, known, random)
            for name, settings in config.services.items()
        }
        for service in self.services.values():
            service.passive.observed = self._observe
        self._lag = LagMeter(reactor)
        self._keys = Keys(config.redis.key_prefix)
        self.records = Records(config, reactor, now)
        self.records.instances = self._instance_counts
        self.doors = Doors(config)
        self._rules = self.doors.rules
        self.callers = Callers(config, reactor, self.services, environ, now) if config.auth.enabled else None
        self.rates = (
            Rates(config, reactor, self._keys, now, self.records.redis_called) if config.rate_limit.enabled else None
        )
        self._show_parts()
        self.site = self._build_site(now)

    def _build_site(self, now: Callable[[], float]) -> GatewaySite:
        """Build what stands before the services: routes, own pages, and the doors that every request passes."""
        config, front = self._config, self.doors.front
        settings = config.services.values()
        own = self._own_pages = OwnPages(
            config, self._reactor, self.status, self.records, now, self.doors, self.callers, self.services
        )
        self._recorder = self.records.recorder
        root = GatewayResource(
            RouteTable([self._route(service) for service in settings]),
            own.root,
            (lambda following: Chain(front, following)) if front else None,
            own.paths,
        )
        deadlines = {service.deadline_header.lower().encode("ascii") for service in settings}
        return GatewaySite(
            root,
            self._reactor,
            self.deadlines,
            config.client,
            config.gateway.trusted_proxies,
            config.gateway.via,
            own_lines=self.doors.own_lines,
            kept_back=frozenset({self.callers.secret_header} if self.callers is not None else ()),
            replaced=frozenset(deadlines - {b""}),
            recorder=self._recorder,
            proxied=config.gateway.proxy_protocol,
        )

    def _show_parts(self) -> None:
        """Let ``/health`` and the metrics show how the parts are that this worker is made of."""
        self.status.show_judgement(self._judgement)
        records, metrics, rates, callers = self.records, self.records.metrics, self.rates, self.callers
        if rates is not None:
            self.status.show("rate_limits", lambda: "shared" if rates.limiter.shared else rates.when_down)
        if callers is not None:
            self.status.show("sessions", lambda: "shared" if callers.shared else "alone")
        if metrics is None:
            return
        records.measure(lambda: metrics.in_flight(self.site.active))
        records.measure(lambda: metrics.lag(self._lag.lag))
        for name, service in self.services.items():
            records.measure(partial(self._measure_service, metrics, name))
            records.count(service.passive.counts, partial(metrics.service_events, name))
        if rates is not None:
            records.count(rates.limiter.outcomes, metrics.limiter_decided)
            records.count(rates.link.errors, metrics.redis_failed)
            records.measure(lambda: metrics.redis_up(rates.limiter.shared))
        if callers is not None:
            records.count(callers.authenticator.outcomes, metrics.token_judged)
            records.measure(lambda: metrics.revocations(len(callers.revocations)))

    def _judgement(self, name: str) -> tuple[str, list[str]]:
        passive = self.services[name].passive
        return passive.breaker.state, passive.ejected

    def _measure_service(self, metrics: Metrics, name: str) -> None:
        passive = self.services[name].passive
        metrics.service_health(name, self.status.service_state(name))
        metrics.service_kept_out(name, circuit_open=not passive.breaker.closed, ejected=len(passive.ejected))

    def _instance_counts(self) -> Mapping[tuple[str, str], InstanceCount]:
        """What each instance did since this was last asked."""
        return {
            (name, instance.url): InstanceCount(*instance.taken(), instance.in_flight)
            for name, service in self.services.items()
            for instance in service.instances
        }

    def _route(self, settings: Service) -> Route[Stage]:
        """Build what stands behind one service's prefix."""
        prefix = settings.prefix.rstrip("/").encode("ascii")
        rewrite = settings.rewrite.rstrip("/").encode("ascii")
        via = self._config.gateway.via
        path: Route[None] = Route(prefix, rewrite, None)
        last: Stage = Proxy(
            self.services[settings.name],
            path.upstream_path,
            self.deadlines,
            via.encode("ascii"),
            self._rules,
            self._recorder is not None,
            _times_of(settings, len(prefix)),
        )
        if self.rates is not None:
            last = self.rates.stage(settings, len(prefix), last)
        return Route(prefix, rewrite, _named(settings.name, Chain(self._links(settings, len(prefix)), last)))

    def _links(self, settings: Service, prefix: int) -> list[Link]:
        """The links of one service, in their order."""
        gateway = self._config.gateway
        links: list[Link] = [loop_guard(gateway.via), last_hop(sorted(METHODS))]
        priority = settings.priority or ("high" if settings.name == self._config.auth.service else "normal")
        if gateway.max_concurrent_requests:
            links.append(concurrency_limit(gateway.max_concurrent_requests, lambda: self.site.busy, priority))
        if gateway.max_lag:
            links.append(lag_limit(gateway.max_lag, self._lag, priority))
        links += body_links(settings, prefix)
        if self.callers is not None:
            links += self.callers.links(settings, prefix)
        if settings.max_concurrent:
            links.append(service_concurrency(settings.max_concurrent))
        if settings.max_concurrent_per_client:
            links.append(
                client_concurrency(
                    settings.max_concurrent_per_client, self._keys, fields=self._config.rate_limit.standard_headers
                )
            )
        return links

    def _connect_tcp(self, host: str, port: int, factory: ClientFactory, timeout: float | None) -> None:
        connect_tcp(host, port, factory, timeout, self._reactor)

    def start(self) -> Deferred[None]:
        """Connect to what the gateway itself needs; fires when it is there, or has been waited for long enough."""
        self.records.start()
        self._lag.start()
        ready: list[Deferred[Any]] = []
        if self.rates is not None:
            ready.append(self.rates.start())
        if self.callers is not None:
            ready.append(self.callers.start())
        if not ready:
            return succeed(None)
        done: Deferred[None] = Deferred()
        timer = self._reactor.callLater(READY_SECONDS, done.callback, None)

        def complete(_: object) -> None:
            if timer.active():
                timer.cancel()
                done.callback(None)

        gatherResults(ready).addCallback(complete)
        return done

    def listen(self, listening: socket.socket) -> Callable[[], None]:
        """Serve a listening socket, which the caller gives away. What is returned ends that; a drain does as well."""
        port = EagerPort.adopt(self._reactor, listening, self.site)
        self._ports.append(port)

        def stop() -> None:
            if port in self._ports:
                self._ports.remove(port)
                port.stopListening()

        return stop

    def update_instances(self, instances: Sequence[InstanceHealth]) -> None:
        """Take over what the supervisor's probes say."""
        self.status.update_instances(instances)
        for health in instances:
            service = self.services.get(health.service)
            if service is not None:
                service.update(health)

    def list_instances(self, service: str, instances: Sequence[Instance]) -> None:
        """Take over which instances a service has now. Nothing under way is touched."""
        upstream = self.services.get(service)
        if upstream is not None:
            self.status.list_instances(service, [instance.url for instance in instances])
            upstream.set_instances(instances)

    def _observe(self, observation: Observation) -> None:
        self.observed(observation)

    def update_workers(self, workers: WorkerHealth) -> None:
        """Take over how many workers there are."""
        self.status.update_workers(workers)
        if self.records.metrics is not None:
            self.records.metrics.workers(workers)
        if self.rates is not None:
            self.rates.limiter.local.share_among(workers.configured)

    def take_observation(self, observation: Observation) -> None:
        """Take over what another worker has found out about a service."""
        service = self.services.get(observation.service)
        if service is not None:
            service.passive.take(observation)

    def drain(self, seconds: float, gentle: bool = False) -> Deferred[int]:
        """Stop: take up the connections that already wait, accept no others, finish what is open.

        Fires when the last request is done, or after ``seconds`` with the number of requests that were cut.
        ``gentle``: another worker serves the same sockets, so the gateway is not said to stop; see the site's drain.
        """
        self.status.draining = not gentle
        self.site.draining = True
        ports, self._ports = self._ports, []
        closed = gatherResults([maybeDeferred(port.stopListening) for port in ports])
        return closed.addCallback(lambda _: self.site.drain(seconds, gentle)).addCallback(self._close)

    def hasten(self) -> None:
        """The gateway does stop: a drain that was gentle is so no more."""
        self.status.draining = True
        self.site.hasten()

    def _close(self, cut: int) -> Deferred[int]:
        for service in self.services.values():
            service.close()
        self._own_pages.stop()
        self.deadlines.stop()
        self._lag.stop()
        ended: list[Deferred[Any]] = [self.records.stop()]
        if self.rates is not None:
            ended.append(self.rates.stop())
        if self.callers is not None:
            ended.append(self.callers.stop())
        closed: Deferred[int] = gatherResults(ended).addCallback(lambda _: cut)
        return closed


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
