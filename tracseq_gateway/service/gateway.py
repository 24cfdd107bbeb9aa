"""One worker's gateway, built back to front.

Services first, then for each route its proxy, its limits and its chain, then the table, the resource tree and the site:
each stage is given the next one, so that calls go forward while imports go down.

The order of a request's way, and why, is in ``routes``.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.protocol import ClientFactory

from tracseq_gateway.admin.status import Status
from tracseq_gateway.config.model import Config
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.http.forwarding import known_answer_lines
from tracseq_gateway.interfaces import InstanceHealth, Observation, WorkerHealth
from tracseq_gateway.limits.rules import Keys
from tracseq_gateway.metrics.counting import InstanceCount
from tracseq_gateway.net.connect import connect_tcp
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.net.lag import LagMeter
from tracseq_gateway.net.tls_peer import Peers
from tracseq_gateway.net.transport import EagerPort
from tracseq_gateway.overview.digest import Digest
from tracseq_gateway.overview.feed import OverviewFeed
from tracseq_gateway.overview.memory import resident_bytes
from tracseq_gateway.overview.notable import Notable
from tracseq_gateway.routing.resource import GatewayResource
from tracseq_gateway.routing.table import RouteTable
from tracseq_gateway.server.site import GatewaySite
from tracseq_gateway.service.caches import Caches
from tracseq_gateway.service.callers import Callers
from tracseq_gateway.service.compressing import Compressing
from tracseq_gateway.service.digests import Digester
from tracseq_gateway.service.doors import Doors, websocket_origins
from tracseq_gateway.service.explain import Parts, report
from tracseq_gateway.service.front import site_of
from tracseq_gateway.service.gauging import Gauging
from tracseq_gateway.service.own_pages import OwnPages
from tracseq_gateway.service.rates import Rates
from tracseq_gateway.service.records import Records
from tracseq_gateway.service.routes import Shared, routes
from tracseq_gateway.service.uploads import GatewayUploads
from tracseq_gateway.uploads.receipt import Threads
from tracseq_gateway.uploads.uploads import takes_uploads
from tracseq_gateway.upstream.pool import Connect
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
        threads: Threads | None = None,
    ) -> None:
        """Build everything; nothing is connected yet.

        :param connect: opens connections to services; by default by TCP through ``reactor``.
        :param environ: holds the secrets that the configuration names.
        :param now: gives seconds since the epoch.
        :param random: where all that is drawn about services comes from; by default each has its own.
        :param threads: does what blocks, by default in a few threads.
        """
        self.observed: Callable[[Observation], None] = lambda observation: None
        """Told what requests found out about a service; set by who passes it on to the other workers."""
        self.digested: Callable[[Digest], None] = lambda digest: None
        """Told once a second what was counted; set by who passes it on to the supervisor."""
        self.feed = OverviewFeed()
        """The overview of the whole gateway, for the pages that show it."""
        self._reactor = reactor
        self.deadlines = Deadlines(reactor)
        self.status = Status(config)
        self._ports: list[EagerPort] = []
        self._config = config
        self.services = self._build_services(connect or self._connect_tcp, random, now)
        self._lag = LagMeter(reactor)
        self._keys = Keys(config.redis.key_prefix)
        self.records = Records(config, reactor, now, environ)
        self.records.instances = self._instance_counts
        self.doors = Doors(config)
        self.callers = Callers(config, reactor, self.services, environ, now) if config.auth.enabled else None
        if self.callers is not None:
            for service in self.services.values():
                service.lasts = self.callers.lasting.watch
        self.rates = (
            Rates(config, reactor, self._keys, now, self.records.redis_called) if config.rate_limit.enabled else None
        )
        self.compressing = Compressing(config, reactor) if config.compression.enabled else None
        self.caches = None
        if any(settings.cache.enabled for settings in config.services.values()):
            self.caches = Caches(config, reactor, self.deadlines, now, self.records.redis_called)
        self.uploads = (
            GatewayUploads(config, reactor, self._keys.client, self.callers, now, threads)
            if takes_uploads(config)
            else None
        )
        notable = Notable(config.access_log.slow_seconds or float("inf"), self._keys.client)
        self._digester = Digester(reactor, notable, self._present, self._tell_digest)
        if config.dashboard.enabled:
            self.records.watch(notable.request_ended)
            self.records.hand_to(self._digester.take)
        self.site = self._build_site(now)
        self._show_parts()

    def _build_services(
        self, connect: Connect, random: Random | None, now: Callable[[], float]
    ) -> dict[str, UpstreamService]:
        known, peers = known_answer_lines(), Peers(now)
        services = {
            name: UpstreamService(settings, self.deadlines, connect, known, random, peers)
            for name, settings in self._config.services.items()
        }
        for service in services.values():
            service.passive.observed = self._observe
            service.origins = websocket_origins(self._config.cors, service.settings.tunnels)
        return services

    def _build_site(self, now: Callable[[], float]) -> GatewaySite:
        """Build what stands before the services: routes, own pages, and the doors that every request passes."""
        config = self._config
        own = self._own_pages = OwnPages(
            config, self._reactor, self.status, self.records, now, self.doors, self.callers, self.services, self.feed
        )
        table, self._ways = routes(
            Shared(
                config,
                self.services,
                self.deadlines,
                self.doors.rules,
                self.callers,
                self.rates,
                self.compressing,
                self.caches,
                self._keys,
                self.uploads,
                self._lag,
                lambda: self.site.busy,
                self.records.recorder is not None,
            )
        )
        self._root = root = GatewayResource(
            RouteTable(table),
            own.root,
            self.doors.before,
            own.paths,
            self.compressing.own_pages if self.compressing is not None else None,
        )
        return site_of(config, root, self._reactor, self.deadlines, self.doors, self.callers, self.records)

    def _show_parts(self) -> None:
        """Let ``/health`` and the metrics show how the parts are that this worker is made of."""
        self.status.show_judgement(self._judgement)
        metrics, rates, callers = self.records.metrics, self.rates, self.callers
        if rates is not None:
            self.status.show("rate_limits", self._limiter_mode)
        if callers is not None:
            self.status.show("sessions", lambda: "shared" if callers.shared else "alone")
        if metrics is None:
            return
        gauging = Gauging(metrics, self.records)
        gauging.worker(lambda: self.site.active, lambda: len(self.site.channels), lambda: self._lag.lag)
        gauging.services(self.services, self.status)
        if rates is not None:
            gauging.rates(rates)
        if callers is not None:
            gauging.callers(callers)
        if self.compressing is not None:
            gauging.compressing(self.compressing)
        if self.caches is not None:
            gauging.caches(self.caches)
        if self.uploads is not None:
            gauging.uploads(self.uploads)

    def _limiter_mode(self) -> str:
        rates = self.rates
        return "off" if rates is None else "shared" if rates.limiter.shared else rates.when_down

    def _present(self) -> Digest:
        """How this worker is now."""
        passive = {name: service.passive for name, service in self.services.items()}
        circuits = {name: one.breaker.state for name, one in passive.items() if not one.breaker.closed}
        return Digest(
            circuits=[(name, "open" if state == "open" else "half_open") for name, state in circuits.items()],
            ejected=[(name, url) for name, one in passive.items() for url in one.ejected],
            in_flight=self.site.active,
            connections=len(self.site.channels),
            lag=self._lag.lag,
            memory=resident_bytes(),
            limits=self._limiter_mode(),
        )

    def _judgement(self, name: str) -> tuple[str, list[str]]:
        passive = self.services[name].passive
        return passive.breaker.state, passive.ejected

    def _instance_counts(self) -> Mapping[tuple[str, str], InstanceCount]:
        """What each instance did since this was last asked."""
        return {
            (name, instance.url): InstanceCount(*instance.taken(), instance.in_flight)
            for name, service in self.services.items()
            for instance in service.instances
        }

    def _connect_tcp(self, host: str, port: int, factory: ClientFactory, timeout: float | None) -> None:
        connect_tcp(host, port, factory, timeout, self._reactor)

    def start(self) -> Deferred[None]:
        """Connect to what the gateway itself needs; fires when it is there, or has been waited for long enough."""
        self.records.start()
        self._lag.start()
        if self.uploads is not None:
            self.uploads.start()
        ready: list[Deferred[Any]] = []
        if self.rates is not None:
            ready.append(self.rates.start())
        if self.callers is not None:
            ready.append(self.callers.start())
        if self.caches is not None:
            self.caches.start()
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

    def _tell_digest(self, digest: Digest) -> None:
        self.digested(digest)

    def update_workers(self, workers: WorkerHealth) -> None:
        """Take over how many workers there are."""
        self.status.update_workers(workers)
        if workers.stopping:
            self.status.draining = True
        if self.records.metrics is not None:
            self.records.metrics.workers(workers)
        if self.rates is not None:
            self.rates.limiter.local.share_among(workers.configured)

    def take_observation(self, observation: Observation) -> None:
        """Take over what another worker has found out about a service."""
        service = self.services.get(observation.service)
        if service is not None:
            service.passive.take(observation)

    def scrape_by(self, scrape: Callable[[bool], Deferred[str]]) -> None:
        """Have pages of metrics made by ``scrape`` (in OpenMetrics or as text; it gives the path of a file).

        Otherwise they are made here, in a thread, of what this worker can see.
        """
        self.records.scrape = scrape

    def explain(self, question: bytes, *, live: bool = True) -> Deferred[bytes]:
        """Say what would become of a request, in JSON; nothing is sent, and nothing charged: see ``service.explain``.

        ``live``: this gateway serves, so that its state says something. Never fails for what is asked: then the report
        is an ``error``.
        """
        config, site, root = self._config, self.site, self._root
        parts = Parts(config, site, root, self.doors, self._ways, self.callers, self.rates, self._lag, live)
        return Deferred.fromCoroutine(report(parts, question))

    def purge(self, service: str, path: bytes, query: bytes, *, below: bool) -> Deferred[int]:
        """Drop kept answers; fires with how many. See :meth:`tracseq_gateway.service.caches.Caches.purge`."""
        return succeed(0) if self.caches is None else self.caches.purge(service, path, query, below=below)

    def drain(self, seconds: float, gentle: bool = False) -> Deferred[int]:
        """Stop: take up the connections that already wait, accept no others, finish what is open.

        Fires when the last request is done, or after ``seconds`` with the number of requests that were cut.
        ``gentle``: another worker serves the same sockets, so the gateway is not said to stop; see the site's drain.
        """
        self.status.draining = not gentle
        self.site.draining = True
        self._own_pages.close()
        ports, self._ports = self._ports, []
        closed = gatherResults([maybeDeferred(port.stopListening) for port in ports])
        return closed.addCallback(lambda _: self._finish(seconds, gentle)).addCallback(self._close)

    def _finish(self, seconds: float, gentle: bool) -> Deferred[int]:
        """Let requests finish, and what goes on behind them; fires with the number of requests that were cut."""
        drained = self.site.drain(seconds, gentle)
        if self.uploads is None:
            return drained
        finished = self.uploads.finish(seconds)
        return drained.addCallback(lambda cut: finished.addCallback(lambda _: cut))

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
        if self.uploads is not None:
            self.uploads.stop()
        ended: list[Deferred[Any]] = [self.records.stop()]
        self._digester.flush()
        if self.rates is not None:
            ended.append(self.rates.stop())
        if self.callers is not None:
            ended.append(self.callers.stop())
        if self.caches is not None:
            ended.append(self.caches.stop())
        closed: Deferred[int] = gatherResults(ended).addCallback(lambda _: cut)
        return closed
