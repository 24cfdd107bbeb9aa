"""What of a worker's parts is shown in the metrics: read every second, so that no request pays for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tracseq_gateway.admin.status import Status
from tracseq_gateway.metrics.metrics import ConnectionCounts, Metrics
from tracseq_gateway.metrics.sheet import InstanceFigures
from tracseq_gateway.server.tls_contexts import ServerContexts
from tracseq_gateway.service.caches import Caches
from tracseq_gateway.service.callers import Callers
from tracseq_gateway.service.compressing import Compressing
from tracseq_gateway.service.rates import Rates
from tracseq_gateway.service.records import Records
from tracseq_gateway.service.uploads import GatewayUploads
from tracseq_gateway.upstream.service import UpstreamService


class Gauging:
    """Each method has one kind of part read from then on."""

    def __init__(self, metrics: Metrics, records: Records) -> None:
        self._metrics = metrics
        self._records = records

    def worker(self, requests: Callable[[], int], connections: Callable[[], int], lag: Callable[[], float]) -> None:
        """The worker itself: requests that are open, connections of clients, and the lag of its reactor."""
        metrics = self._metrics

        def read() -> None:
            metrics.in_flight(requests())
            metrics.client_connections(connections())
            metrics.lag(lag())

        self._records.measure(read)

    def http2(self, faults: Mapping[str, int]) -> None:
        """HTTP/2 connections that were ended for what their clients did, by the names of error codes."""
        self._records.count(faults, self._metrics.http2_ended)

    def services(self, services: Mapping[str, UpstreamService], status: Status) -> None:
        """The services, their instances, and the connections to them."""
        metrics, records = self._metrics, self._records

        def read() -> None:
            for name, service in services.items():
                metrics.service_health(name, status.service_state(name))
                passive = service.passive
                metrics.service_kept_out(name, circuit_open=not passive.breaker.closed, ejected=len(passive.ejected))
                metrics.service_connections(name, _connections(service))
                expires = service.certificate_expires
                if expires:
                    metrics.service_certificate_expires(name, expires)
            metrics.instances(
                {
                    (name, instance.url): InstanceFigures(
                        _HEALTHY[instance.state], instance.record.ejected, instance.drained
                    )
                    for name, service in services.items()
                    for instance in service.instances
                }
            )

        records.measure(read)
        for name, service in services.items():
            records.count(service.passive.counts, partial(metrics.service_events, name))
            service.connect_ended = partial(self._connect_ended, name)

    def _connect_ended(self, service: str, seconds: float, error: str) -> None:
        if error:
            self._metrics.not_connected(service, error)
        else:
            self._metrics.connected(service, seconds)

    def tls(self, tls: ServerContexts) -> None:
        """TLS towards clients: handshakes, and how long certificates hold."""
        metrics, records = self._metrics, self._records
        records.count(tls.handshakes, metrics.tls_handshakes)
        records.count(tls.failures, metrics.tls_failures)
        for certificate in tls.certificates:
            metrics.certificate_expires(certificate.label, certificate.expires)

    def rates(self, rates: Rates) -> None:
        """The limiter and its Redis."""
        metrics, records = self._metrics, self._records
        records.count(rates.limiter.outcomes, metrics.limiter_decided)
        records.count(rates.link.errors, metrics.redis_failed)
        records.measure(lambda: metrics.redis_up(rates.limiter.shared))

    def callers(self, callers: Callers) -> None:
        """Verdicts on tokens."""
        metrics, records = self._metrics, self._records
        records.count(callers.authenticator.outcomes, metrics.token_judged)
        records.measure(lambda: metrics.tokens_remembered(len(callers.authenticator.verdicts)))
        records.measure(lambda: metrics.revocations(len(callers.revocations)))

    def compressing(self, compressing: Compressing) -> None:
        """Bytes before and after compression."""
        for service, counts in compressing.counts.items():
            self._records.count(counts, partial(self._metrics.compressed, service))

    def caches(self, caches: Caches) -> None:
        """What is kept of services' answers, and what requests made of it."""
        metrics, records = self._metrics, self._records
        for name, results in caches.results.items():
            records.count(results, partial(metrics.cache_asked, name))

        def read() -> None:
            usage = caches.store.usage
            metrics.cache_holds(usage.bytes, usage.entries, shared=caches.store.shared)

        records.measure(read)

    def uploads(self, uploads: GatewayUploads) -> None:
        """What is kept of resumable uploads."""

        def read() -> None:
            if uploads.census is not None:
                self._metrics.uploads(uploads.census.states, uploads.census.size)

        self._records.measure(read)
        for name, deliveries in uploads.deliveries.items():
            self._records.count(deliveries, partial(self._metrics.uploads_delivered, name))


_HEALTHY = {"healthy": True, "unhealthy": False, "unknown": None}


def _connections(service: UpstreamService) -> ConnectionCounts:
    pools = [instance.pool.state for instance in service.instances]
    return ConnectionCounts(
        idle=sum(pool.idle for pool in pools),
        busy=sum(pool.busy for pool in pools),
        opening=sum(pool.opening for pool in pools),
        waiting=sum(pool.waiting for pool in pools),
        tunnels=service.tunnels,
    )
