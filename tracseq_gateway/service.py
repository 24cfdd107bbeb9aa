"""The roof: builds one worker's gateway from the configuration, back to front.

Services first, then for each route its proxy and its chain, then the table, the resource tree and the site: each
stage is given the next one, so that calls go forward while imports go down.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.protocol import ClientFactory

from tracseq_gateway.admin.pages import pages
from tracseq_gateway.admin.status import Status
from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.http.forwarding import known_answer_lines
from tracseq_gateway.http.request_head import METHODS
from tracseq_gateway.interfaces import InstanceHealth, Stage, WorkerHealth
from tracseq_gateway.middleware.chain import Chain, Link
from tracseq_gateway.middleware.limits import body_limit, concurrency_limit, last_hop, loop_guard
from tracseq_gateway.net.connect import connect_tcp
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.net.transport import EagerPort
from tracseq_gateway.routing.resource import GatewayResource
from tracseq_gateway.routing.table import Route, RouteTable
from tracseq_gateway.server.site import GatewaySite
from tracseq_gateway.upstream.pool import Connect
from tracseq_gateway.upstream.proxy import Proxy
from tracseq_gateway.upstream.service import UpstreamService


class Gateway:
    """One worker's gateway: give it listening sockets and the supervisor's news; drain it at the end."""

    def __init__(self, config: Config, reactor: Any, connect: Connect | None = None) -> None:
        """``connect`` opens connections to services; by default by TCP through ``reactor``."""
        self._reactor = reactor
        self.deadlines = Deadlines(reactor)
        self.status = Status(config)
        self._ports: list[EagerPort] = []
        self._config = config
        known = known_answer_lines()
        connect = connect or self._connect_tcp
        self.services = {
            name: UpstreamService(settings, self.deadlines, connect, known)
            for name, settings in config.services.items()
        }
        table = RouteTable([self._route(settings) for settings in config.services.values()])
        self.site = GatewaySite(
            GatewayResource(table, pages(self.status)),
            reactor,
            self.deadlines,
            config.client,
            config.gateway.trusted_proxies,
            config.gateway.via,
        )

    def _route(self, settings: Service) -> Route[Stage]:
        """Build what stands behind one service's prefix."""
        prefix = settings.prefix.rstrip("/").encode("ascii")
        rewrite = settings.rewrite.rstrip("/").encode("ascii")
        via = self._config.gateway.via
        path: Route[None] = Route(prefix, rewrite, None)
        proxy = Proxy(self.services[settings.name], path.upstream_path, self.deadlines, via.encode("ascii"))
        links: list[Link] = [loop_guard(via), last_hop(sorted(METHODS))]
        if self._config.gateway.max_concurrent_requests:
            links.append(concurrency_limit(self._config.gateway.max_concurrent_requests, lambda: self.site.active))
        if settings.max_body:
            links.append(body_limit(settings.max_body))
        return Route(prefix, rewrite, Chain(links, proxy))

    def _connect_tcp(self, host: str, port: int, factory: ClientFactory, timeout: float | None) -> None:
        connect_tcp(host, port, factory, timeout, self._reactor)

    def listen(self, listening: socket.socket) -> None:
        """Serve a listening socket; the caller gives it away."""
        self._ports.append(EagerPort.adopt(self._reactor, listening, self.site))

    def update_instances(self, instances: Sequence[InstanceHealth]) -> None:
        """Take over what the supervisor's probes say."""
        self.status.update_instances(instances)
        for health in instances:
            service = self.services.get(health.service)
            if service is not None:
                service.update(health)

    def update_workers(self, workers: WorkerHealth) -> None:
        """Take over how many workers there are."""
        self.status.update_workers(workers)

    def drain(self, seconds: float) -> Deferred[int]:
        """Stop: take up the connections that already wait, accept no others, finish what is open.

        Fires when the last request is done, or after ``seconds`` with the number of requests that were cut.
        """
        self.status.draining = True
        self.site.draining = True
        ports, self._ports = self._ports, []
        closed = gatherResults([maybeDeferred(port.stopListening) for port in ports])
        return closed.addCallback(lambda _: self.site.drain(seconds)).addBoth(self._close)

    def _close(self, cut: int) -> int:
        for service in self.services.values():
            service.close()
        self.deadlines.stop()
        return cut
