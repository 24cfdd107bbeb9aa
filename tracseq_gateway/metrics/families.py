"""Every metric: its name, its labels, its help text, its buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracseq_gateway.metrics.counting import REQUEST_BUCKETS
from tracseq_gateway.metrics.optional import OptionalFamilies

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

CONNECT_BUCKETS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Seconds; an attempt to connect is given up after 5 s unless configured otherwise."""
REDIS_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
"""Seconds; a call is given up after 50 ms unless configured otherwise."""


class Families(OptionalFamilies):
    """All metrics of one gateway, in ``registry``.

    A gauge says how the workers' values become one: ``livesum`` adds them, ``livemin`` and ``livemax`` take the worst,
    ``livemostrecent`` the newest; ``live`` leaves dead workers out.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._define_requests(registry)
        self._define_services(registry)
        self._define_connections(registry)
        self._define_limits(registry)
        self._define_identity(registry)
        self._define_cache(registry)
        self._define_gateway(registry)

    def _define_requests(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self.requests = Counter(
            "gateway_requests_total",
            "Requests that are over, by the status that the client got; 499: it left before.",
            ["method", "service", "status"],
            registry=registry,
        )
        self.durations = Histogram(
            "gateway_request_duration_seconds",
            "From the end of a request's head to the end of its answer.",
            ["service"],
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self.errors = Counter(
            "gateway_errors_total",
            "Requests that the gateway itself refused or broke off, by the kind of error.",
            ["service", "error_type"],
            registry=registry,
        )
        self.received = Counter(
            "gateway_received_bytes_total",
            "Bytes of the bodies of requests, without their framing.",
            ["service"],
            registry=registry,
        )
        self.sent = Counter(
            "gateway_sent_bytes_total",
            "Bytes of the bodies of answers, without their framing.",
            ["service"],
            registry=registry,
        )
        self.compressed = Counter(
            "gateway_compression_bytes_total",
            "Bytes of the bodies of answers that were compressed: before (in) and after (out).",
            ["service", "direction"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "gateway_requests_in_flight",
            "Requests that are not over.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.service_health = Gauge(
            "service_health_status",
            "1 for the status that a service has, 0 for the others.",
            ["service", "status"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.service_responses = Histogram(
            "service_response_time_seconds",
            "From a request passed on to the head of the service's answer; of several attempts the last.",
            ["service"],
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )

    def _define_services(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge

        self.service_events = Counter(
            "gateway_service_events_total",
            "Requests that were sent again, or were not for the budget of retries; instances that were ejected, and "
            "circuits that were opened, each counted by the worker that found out.",
            ["service", "event"],
            registry=registry,
        )
        self.circuit_open = Gauge(
            "gateway_circuit_open",
            "1 while a worker refuses requests to a service because all of its instances failed.",
            ["service"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.ejected = Gauge(
            "gateway_instances_ejected",
            "Instances of a service that get no requests because they failed them.",
            ["service"],
            multiprocess_mode="livemax",
            registry=registry,
        )

    def _define_connections(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self.client_connections = Gauge(
            "gateway_client_connections",
            "Connections of clients that are open.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.http2_faults = Counter(
            "gateway_http2_connection_errors_total",
            "HTTP/2 connections that were ended for what the client did, by the name of the error code; "
            "enhance_your_calm: a flood.",
            ["error"],
            registry=registry,
        )
        self.connections = Gauge(
            "gateway_upstream_connections",
            "Connections to a service's instances that serve a request (busy), are kept for one (idle), or are being "
            "opened (opening).",
            ["service", "state"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.tunnels = Gauge(
            "gateway_tunnels",
            "Connections that changed to another protocol, such as WebSocket, and are open.",
            ["service"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.waiting = Gauge(
            "gateway_upstream_waiting",
            "Requests that wait for a connection to a service.",
            ["service"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.connects = Histogram(
            "gateway_upstream_connect_seconds",
            "How long it took to open a connection to a service; requests that find one open are not counted.",
            ["service"],
            buckets=CONNECT_BUCKETS,
            registry=registry,
        )
        self.connect_errors = Counter(
            "gateway_upstream_connect_errors_total",
            "Connections to a service that could not be opened, by the kind of error; whether the request was then "
            "sent elsewhere is another matter.",
            ["service", "error_type"],
            registry=registry,
        )

    def _define_limits(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Histogram

        self.limiter = Counter(
            "gateway_limiter_decisions_total",
            "Decisions on rate limits: admitted or refused by Redis; refused because that is remembered; without "
            "Redis made locally, or left open or closed.",
            ["outcome"],
            registry=registry,
        )
        self.redis_calls = Counter(
            "gateway_redis_calls_total", "Calls of Redis; one may carry many checks.", ["outcome"], registry=registry
        )
        self.redis_errors = Counter(
            "gateway_redis_errors_total",
            "What went wrong with Redis: error replies by their first word, and connections that timed out, were lost "
            "or spoke nonsense.",
            ["code"],
            registry=registry,
        )
        self.redis_seconds = Histogram(
            "gateway_redis_call_seconds",
            "How long calls of Redis took, failed ones among them.",
            buckets=REDIS_BUCKETS,
            registry=registry,
        )

    def _define_identity(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge

        self.tokens = Counter(
            "gateway_token_verdicts_total",
            "Verdicts on tokens: known, verified locally, given by the Auth Service, refused; without an answer of it "
            "an old one that still held, or none.",
            ["outcome"],
            registry=registry,
        )
        self.remembered = Gauge(
            "gateway_token_cache_entries",
            "Verdicts on good tokens that the workers remember, each for itself.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.revocations = Gauge(
            "gateway_revocations",
            "Revoked sessions and users that are remembered.",
            multiprocess_mode="livemax",
            registry=registry,
        )

    def _define_cache(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter

        self.cache_requests = Counter(
            "gateway_cache_requests_total",
            "Requests to services whose answers are kept: answered by what is kept, fresh (hit) or stale, or found "
            "still to hold (revalidated), or by the answer to another request (collapsed), or by the service (miss); "
            "passed by; or having changed what is kept (invalidated).",
            ["service", "result"],
            registry=registry,
        )

    def _define_gateway(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge

        self.lag = Gauge(
            "gateway_reactor_lag_seconds",
            "How late the reactor of a worker runs; that of the latest.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.workers = Gauge(
            "gateway_workers",
            "Worker processes: how many there should be (configured), and how many serve (running).",
            ["state"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.dropped_lines = Counter(
            "gateway_access_log_dropped_total", "Lines of the access log that could not be written.", registry=registry
        )
        self.spans = Counter(
            "gateway_spans_total",
            "Spans of sampled requests: exported, dropped because too many waited, or failed because the collector did "
            "not take them.",
            ["outcome"],
            registry=registry,
        )
        self.build = Gauge(
            "gateway_build_info",
            "1; the versions that run: of the gateway, of Python and of Twisted.",
            ["version", "python", "twisted"],
            multiprocess_mode="livemax",
            registry=registry,
        )
