"""What one worker measures.

House rules:

1. Labels are bounded: they come from the configuration and from fixed sets, and what a client makes up folds.
2. What happens to every request is counted in plain numbers (see ``counting``), and handed over every second; a worker
   that is killed loses what it counted in its last one.
3. prometheus-client is imported when metrics are on and by no module's import: it decides at its first import whether
   values are shared between processes.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, get_args

from attrs import frozen
from twisted.logger import Logger

import twisted
from tracseq_gateway.interfaces import WorkerHealth
from tracseq_gateway.metrics import sheet
from tracseq_gateway.metrics.counting import OWN, UNROUTED, Counted, Exemplar, InstanceCount, folded
from tracseq_gateway.metrics.families import Families
from tracseq_gateway.metrics.page import Page, render, written
from tracseq_gateway.metrics.shared import VARIABLE, shared_directory
from tracseq_gateway.metrics.sheet import InstanceFigures, Place, Sheet

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

_log = Logger()

LimiterOutcome = Literal["admitted", "refused", "remembered", "local", "open", "closed"]
RedisOutcome = Literal["ok", "error", "timeout"]
TokenOutcome = Literal["cached", "verified", "asked", "key", "refused", "stale", "unavailable"]
ServiceStatus = Literal["healthy", "degraded", "unhealthy", "unknown"]
ServiceEvent = Literal["retried", "retry_refused", "ejected", "opened"]

OTHER: Final = "other"
"""Stands for methods and statuses that are none of the usual."""

_METHODS: Final = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}

Count = Callable[..., None]
"""Counts one more, or as many more as it is given."""


@frozen
class ConnectionCounts:
    """The connections of one worker to one service's instances."""

    idle: int
    busy: int
    opening: int
    waiting: int
    """Requests that wait for one."""
    tunnels: int = 0
    """Those that speak another protocol by now; they are not among the busy ones."""


class Metrics:
    """Counts and measures for one gateway; must be called from one thread only, but for :meth:`page`.

    If the environment names a shared directory (see ``shared``), the values are those of this process in files there:
    then there can be only one instance in a process. Otherwise they are this instance's own.

    Raises RuntimeError if the directory was named only after prometheus-client had been imported.
    """

    def __init__(self, services: Iterable[str], version: str) -> None:
        """``services``: the names of all that requests can be routed to."""
        from prometheus_client import CollectorRegistry, values

        self._directory = shared_directory()
        if (self._directory is not None) != values.ValueClass._multiprocess:
            raise RuntimeError(f"prometheus_client was imported before {VARIABLE} was set or unset")
        self._registry = CollectorRegistry(auto_describe=False)
        families = self._families = Families(self._registry)
        self._sheet = Sheet()
        self._shared: Sheet | None = None
        """The sheet that the others have."""
        self._failing = False
        """Whether the last one could not be shared."""
        self._states: Mapping[Place, InstanceFigures] = {}
        self._request_counts = _RequestCounts(families.requests)
        names = [*services, OWN, UNROUTED]
        self._durations = {name: families.durations.labels(name) for name in names}
        self._responses = {name: families.service_responses.labels(name) for name in names[:-2]}
        self._limiter = _counts(families.limiter, get_args(LimiterOutcome))
        self._redis_calls = _counts(families.redis_calls, get_args(RedisOutcome))
        self._tokens = _counts(families.tokens, get_args(TokenOutcome))
        for name in names[:-2]:
            for event in get_args(ServiceEvent):
                families.service_events.labels(name, event)
            for state in ("idle", "busy", "opening"):
                families.connections.labels(name, state)
        self._connects = {name: families.connects.labels(name) for name in names[:-2]}
        families.build.labels(version, platform.python_version(), twisted.__version__).set(1)

    def add(self, counted: Counted) -> None:
        """Take over what was counted."""
        for key, count in counted.requests.items():
            self._request_counts[key](count)
        for (service, slug), count in counted.errors.items():
            self._families.errors.labels(service, slug).inc(count)
        for service, counts in counted.services.items():
            _observe(self._durations[service], folded(counts.durations), counts.seconds)
            if service in self._responses:
                _observe(self._responses[service], folded(counts.first_bytes), counts.seconds_to_first_byte)
            self._families.received.labels(service).inc(counts.received)
            self._families.sent.labels(service).inc(counts.sent)
        self._fill_in(counted.instances, counted.exemplars)

    def _fill_in(self, instances: Mapping[Place, InstanceCount], exemplars: Mapping[tuple[str, int], Exemplar]) -> None:
        """Bring the sheet up to date, and share it if it says something new."""
        before = self._sheet.instances
        self._sheet = Sheet(
            {
                place: _figures(self._states.get(place, _UNKNOWN), count, before.get(place, _UNKNOWN))
                for place, count in instances.items()
            },
            {**self._sheet.exemplars, **exemplars},
        )
        if self._directory is None or self._sheet == self._shared:
            return
        try:
            sheet.write(self._sheet, self._directory, sheet.name_of(os.getpid()))
        except OSError as error:
            if not self._failing:  # said once, until it works again
                _log.error("what is measured of the instances is not shared: {error}", error=error)
            self._failing, self._shared = True, None
        else:
            self._failing, self._shared = False, self._sheet

    def instances(self, states: Mapping[Place, InstanceFigures]) -> None:
        """How all instances are, until this is called again; their counts come by :meth:`add`."""
        self._states = states

    def client_connections(self, connections: int) -> None:
        """So many connections of clients are open in this worker."""
        self._families.client_connections.set(connections)

    def service_connections(self, service: str, counts: ConnectionCounts) -> None:
        """So many connections this worker has to a service."""
        for state in ("idle", "busy", "opening"):
            self._families.connections.labels(service, state).set(getattr(counts, state))
        self._families.waiting.labels(service).set(counts.waiting)
        self._families.tunnels.labels(service).set(counts.tunnels)

    def connected(self, service: str, seconds: float) -> None:
        """A connection to a service came about, after so many seconds."""
        self._connects[service].observe(seconds)

    def not_connected(self, service: str, slug: str) -> None:
        """None came about; ``slug`` is that of a kind of error."""
        self._families.connect_errors.labels(service, slug).inc()

    def compressed(self, service: str, direction: str, size: int) -> None:
        """So many bytes of a service's answers went ``in`` and came ``out`` of compression."""
        self._families.compressed.labels(service, direction).inc(size)

    def in_flight(self, requests: int) -> None:
        """So many requests are open in this worker; to be told every second or so, not for each request."""
        self._families.in_flight.set(requests)

    def service_health(self, service: str, status: str) -> None:
        """A service has this status from now on; it is one of :data:`ServiceStatus`."""
        for each in get_args(ServiceStatus):
            self._families.service_health.labels(service, each).set(each == status)

    def service_events(self, service: str, event: str, times: int) -> None:
        """Something of :data:`ServiceEvent` happened so many times."""
        self._families.service_events.labels(service, event).inc(times)

    def service_kept_out(self, service: str, *, circuit_open: bool, ejected: int) -> None:
        """Whether a service's circuit is open, and how many of its instances are ejected, for now."""
        self._families.circuit_open.labels(service).set(circuit_open)
        self._families.ejected.labels(service).set(ejected)

    def workers(self, workers: WorkerHealth) -> None:
        """So many workers there are, as the supervisor says."""
        for state in ("configured", "running"):
            self._families.workers.labels(state).set(getattr(workers, state))

    def lag(self, seconds: float) -> None:
        """The reactor of this worker runs so late."""
        self._families.lag.set(seconds)

    def limiter_decided(self, outcome: str, requests: int = 1) -> None:
        """The limiter has decided on so many requests; ``outcome`` is one of :data:`LimiterOutcome`."""
        self._limiter[outcome](requests)

    def tls_handshakes(self, version: str, handshakes: int) -> None:
        """So many more clients use this version of TLS."""
        self._families.tls_handshakes.labels(version).inc(handshakes)

    def tls_failures(self, cause: str, handshakes: int) -> None:
        """So many more handshakes of TLS came to nothing; ``cause`` is of the site's own list, so it is bounded."""
        self._families.tls_failures.labels(cause).inc(handshakes)

    def certificate_expires(self, certificate: str, when: float) -> None:
        """A certificate that is shown to clients, by its first name, holds until then, in seconds since the epoch."""
        self._families.certificates.labels(certificate).set(when)

    def service_certificate_expires(self, service: str, when: float) -> None:
        """The first of a service's certificates, as far as they were verified, holds until then, since the epoch."""
        self._families.service_certificates.labels(service).set(when)

    def redis_called(self, outcome: str, seconds: float) -> None:
        """A call of Redis has ended, ``seconds`` after it was sent; ``outcome`` is one of :data:`RedisOutcome`."""
        self._redis_calls[outcome]()
        self._families.redis_seconds.observe(seconds)

    def redis_failed(self, code: str, times: int) -> None:
        """Something went wrong with Redis so many times; ``code`` is of the link's own list, so it is bounded."""
        self._families.redis_errors.labels(code).inc(times)

    def redis_up(self, up: bool) -> None:
        """Whether this worker reaches Redis."""
        self._families.redis_up.set(up)

    def http2_ended(self, error: str, connections: int = 1) -> None:
        """So many HTTP/2 connections were ended for what the client did; ``error`` is the name of an error code."""
        self._families.http2_faults.labels(error).inc(connections)

    def token_judged(self, outcome: str, requests: int = 1) -> None:
        """There is a verdict on the token of so many requests; ``outcome`` is one of :data:`TokenOutcome`."""
        self._tokens[outcome](requests)

    def tokens_remembered(self, verdicts: int) -> None:
        """This worker remembers so many verdicts on good tokens."""
        self._families.remembered.set(verdicts)

    def revocations(self, remembered: int) -> None:
        """So many revocations are remembered now."""
        self._families.revocations.set(remembered)

    def cache_asked(self, service: str, result: str, requests: int) -> None:
        """So many requests to a service met its cache; ``result`` is of the cache's own list, so it is bounded."""
        self._families.cache_requests.labels(service, result).inc(requests)

    def cache_holds(self, size: int, entries: int, *, shared: bool) -> None:
        """So many bytes, and answers, are kept: by this worker, or ``shared`` by all of them."""
        gauges = self._families.shared_cache if shared else self._families.own_cache
        for gauge, value in zip(gauges, (size, entries), strict=True):
            gauge.set(value)

    def uploads(self, states: Mapping[str, int], size: int) -> None:
        """How many resumable uploads are kept, by their states, and how many bytes of them."""
        for state, number in states.items():
            self._families.uploads.labels(state).set(number)
        self._families.upload_bytes.set(size)

    def uploads_delivered(self, service: str, outcome: str, times: int) -> None:
        """A service was sent resumable uploads, with this outcome."""
        self._families.upload_deliveries.labels(service, outcome).inc(times)

    def spans_ended(self, outcome: str, spans: int) -> None:
        """So many spans were ``exported``, ``dropped`` or ``failed``."""
        self._families.spans.labels(outcome).inc(spans)

    def log_lines_dropped(self, lines: int) -> None:
        """Lines of the access log could not be written."""
        self._families.dropped_lines.inc(lines)

    def page(self, openmetrics: bool = False) -> Page:
        """What Prometheus reads; of all workers, if they share a directory, and then to be called in a thread."""
        if self._directory is not None:
            return render(self._directory, openmetrics)
        return written(self._registry.collect(), self._sheet, openmetrics)


class _RequestCounts(dict[tuple[bytes, str, int], Count]):
    """From method, service and status to what counts such a request; keeps only what is usual, so it is bounded."""

    def __init__(self, family: Counter) -> None:
        super().__init__()
        self._family = family

    def __missing__(self, key: tuple[bytes, str, int]) -> Count:
        method, service, status = key
        method_label = _METHODS.get(method, OTHER)
        status_label = str(status) if 100 <= status <= 599 else OTHER
        count = self._family.labels(method_label, service, status_label).inc
        if OTHER not in (method_label, status_label):
            self[key] = count
        return count


def _counts(family: Counter, outcomes: Iterable[str]) -> dict[str, Count]:
    """What counts each outcome; all of them are on the page from the start, with 0."""
    return {outcome: family.labels(outcome).inc for outcome in outcomes}


_UNKNOWN: Final = InstanceFigures()


def _figures(state: InstanceFigures, count: InstanceCount, before: InstanceFigures) -> InstanceFigures:
    requests, failed = before.requests + count.requests, before.failed + count.failed
    return InstanceFigures(state.healthy, state.ejected, state.drained, count.in_flight, requests, failed)


def _observe(histogram: Histogram, counts: Sequence[int], total: float) -> None:
    """Add observations that are counted by bucket already.

    prometheus-client has no way to observe many values at once; these two attributes of its histograms are what its
    own ``observe`` works on, and a test holds them to that.
    """
    histogram._sum.inc(total)
    for bucket, count in zip(histogram._buckets, counts, strict=True):
        if count:
            bucket.inc(count)
