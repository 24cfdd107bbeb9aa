"""Metrics of what not every gateway has; each is made when it is first set, so that others do not speak of it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge


class OptionalFamilies:
    """See the module, and ``families``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    @cached_property
    def redis_up(self) -> Gauge:
        """Made when it is first set: a gateway that uses no Redis does not say that it is down."""
        from prometheus_client import Gauge

        return Gauge(
            "gateway_redis_up",
            "1 while every worker reaches Redis, 0 when one does not.",
            multiprocess_mode="livemin",
            registry=self._registry,
        )

    @cached_property
    def tls_handshakes(self) -> Counter:
        """By the version of TLS."""
        from prometheus_client import Counter

        return Counter(
            "gateway_tls_handshakes_total",
            "Handshakes of clients that were completed, by the version of TLS.",
            ["version"],
            registry=self._registry,
        )

    @cached_property
    def tls_failures(self) -> Counter:
        """By their cause."""
        from prometheus_client import Counter

        return Counter(
            "gateway_tls_handshake_failures_total",
            "Handshakes of clients that came to nothing: no protocol in common by ALPN, refused by either side, left "
            "by the client, or not over in time.",
            ["cause"],
            registry=self._registry,
        )

    @cached_property
    def certificates(self) -> Gauge:
        """By the first name in them."""
        from prometheus_client import Gauge

        return Gauge(
            "gateway_certificate_expiry_seconds",
            "When a certificate that is shown to clients expires, in seconds since the epoch.",
            ["certificate"],
            multiprocess_mode="livemostrecent",
            registry=self._registry,
        )

    @cached_property
    def service_certificates(self) -> Gauge:
        """By the service."""
        from prometheus_client import Gauge

        return Gauge(
            "gateway_upstream_certificate_expiry_seconds",
            "When the first certificate of a service's instances expires, as they showed them last, in seconds since "
            "the epoch.",
            ["service"],
            multiprocess_mode="livemax",
            registry=self._registry,
        )

    @cached_property
    def own_cache(self) -> tuple[Gauge, Gauge]:
        """What the workers keep of answers, each for itself; made when it is first set."""
        return self._cache_gauges("livesum")

    @cached_property
    def shared_cache(self) -> tuple[Gauge, Gauge]:
        """What they keep together."""
        return self._cache_gauges("livemostrecent")

    def _cache_gauges(self, mode: Literal["livesum", "livemostrecent"]) -> tuple[Gauge, Gauge]:
        from prometheus_client import Gauge

        return (
            Gauge(
                "gateway_cache_bytes",
                "Bytes of the answers that are kept.",
                multiprocess_mode=mode,
                registry=self._registry,
            ),
            Gauge("gateway_cache_entries", "Answers that are kept.", multiprocess_mode=mode, registry=self._registry),
        )

    @cached_property
    def uploads(self) -> Gauge:
        """Made when it is first set, as is the next: a gateway without uploads does not speak of them."""
        from prometheus_client import Gauge

        return Gauge(
            "gateway_uploads",
            "Resumable uploads that are kept, by how far they are.",
            ["state"],
            multiprocess_mode="livemostrecent",
            registry=self._registry,
        )

    @cached_property
    def upload_deliveries(self) -> Counter:
        """See :attr:`uploads`."""
        from prometheus_client import Counter

        return Counter(
            "gateway_upload_deliveries_total",
            "Resumable uploads that were sent to a service: taken, refused (they may be sent again), or unknown, when "
            "nobody knows whether it took them.",
            ["service", "outcome"],
            registry=self._registry,
        )

    @cached_property
    def upload_bytes(self) -> Gauge:
        """See :attr:`uploads`."""
        from prometheus_client import Gauge

        return Gauge(
            "gateway_upload_bytes",
            "Bytes of resumable uploads that have come, and are kept.",
            multiprocess_mode="livemostrecent",
            registry=self._registry,
        )

    @property
    def optional(self) -> list[Counter | Gauge]:
        """Those that not every gateway has."""
        tls = (self.tls_handshakes, self.tls_failures, self.certificates, self.service_certificates)
        uploads = (self.uploads, self.upload_deliveries, self.upload_bytes)
        return [self.redis_up, *tls, *self.own_cache, *uploads]
