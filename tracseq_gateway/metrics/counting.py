"""What requests cost to count: a few steps on plain numbers, which are handed over all at once every second.

prometheus-client's own values are shared between processes by files; each ``inc`` looks at the process id, packs two
numbers and writes them, and a histogram does so twice. That would be the dearest thing that happens to a request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeVar

from attrs import field, frozen

from tracseq_gateway.interfaces import SWITCHED, Request

OWN: Final = "gateway"
"""The service of what the gateway answers itself: its own pages."""
UNROUTED: Final = "none"
"""The service of a request that was refused before it was known where it should go."""

REQUEST_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds; the platform promises less than 5 ms for the gateway, and gives services 30 s."""

_BETWEEN: Final = 4
"""Steps from one bucket's bound to the next."""


def _fine(bounds: Sequence[float]) -> tuple[float, ...]:
    between = [low * (high / low) ** (step / _BETWEEN) for low, high in pairwise(bounds) for step in range(1, _BETWEEN)]
    return tuple(sorted([0.0001, 0.0002, 0.0003, 0.0005, 0.0007, *bounds, *between, 60.0, 120.0, 300.0]))


FINE_BOUNDS: Final = _fine(REQUEST_BUCKETS)
"""Upper bounds in seconds, close enough to tell percentiles by; those of :data:`REQUEST_BUCKETS` are among them."""

_FOLDED: Final = (*[bisect_left(REQUEST_BUCKETS, bound) for bound in FINE_BOUNDS], len(REQUEST_BUCKETS))


def folded(fine: Sequence[int]) -> list[int]:
    """Counts by the fine buckets, the last beyond all bounds, as counts by :data:`REQUEST_BUCKETS` and beyond."""
    counts = [0] * (len(REQUEST_BUCKETS) + 1)
    for bucket, count in zip(_FOLDED, fine, strict=True):
        counts[bucket] += count
    return counts


Label = TypeVar("Label", bound=Hashable)


class Tally(dict[Label, int]):
    """Counts by label."""

    def __missing__(self, label: Label) -> int:
        return 0


class ServiceCounts:
    """What the requests to one service came to."""

    __slots__ = ("durations", "first_bytes", "received", "seconds", "seconds_to_first_byte", "sent")

    def __init__(self) -> None:
        self.durations = [0] * (len(FINE_BOUNDS) + 1)
        """Requests by the bucket of how long they took."""
        self.seconds = 0.0
        """How long they took, in all."""
        self.first_bytes = [0] * (len(FINE_BOUNDS) + 1)
        """Answers of the service by the bucket of how long their heads took."""
        self.seconds_to_first_byte = 0.0
        self.received = 0
        """Bytes of bodies."""
        self.sent = 0


@frozen
class Exemplar:
    """A request that stands for those of its bucket, and can be looked up."""

    trace_id: str
    seconds: float
    ended: float
    """Seconds since the epoch."""


@frozen
class InstanceCount:
    """What one instance did since the last time."""

    requests: int
    """How often it was asked, each attempt counted."""
    failed: int
    in_flight: int
    """How many it is at work on now."""


@frozen
class Counted:
    """What was counted since the last time."""

    requests: Mapping[tuple[bytes, str, int], int]
    """Requests by method, service and status; methods are whatever clients sent."""
    errors: Mapping[tuple[str, str], int]
    """Errors of the gateway's own by service and kind."""
    services: Mapping[str, ServiceCounts]
    """Only those that had requests."""
    exemplars: Mapping[tuple[str, int], Exemplar] = field(factory=dict)
    """The newest sampled request by service and bucket of :data:`REQUEST_BUCKETS`."""
    instances: Mapping[tuple[str, str], InstanceCount] = field(factory=dict)
    """By service and URL: every instance that there is now."""


class RequestCounts:
    """Counts requests that are over, in one worker. Labels are those of the configuration, or bounded by a second."""

    def __init__(self, services: Iterable[str]) -> None:
        """``services``: the names of all that requests can be routed to."""
        self._names = (*services, OWN, UNROUTED)
        self._begin()

    def _begin(self) -> None:
        self._requests: Tally[tuple[bytes, str, int]] = Tally()
        self._errors: Tally[tuple[str, str]] = Tally()
        self._services = {name: ServiceCounts() for name in self._names}
        self._exemplars: dict[tuple[str, int], Exemplar] = {}

    def request_ended(self, request: Request, ended: float, seconds: float) -> None:
        """A request is over at ``ended`` (seconds since the epoch), ``seconds`` after its head was complete."""
        error = request.error
        service = request.service or (OWN if error is None else UNROUTED)
        self._requests[request.head.method, service, request.status] += 1
        counts = self._services[service]
        if request.status == SWITCHED:
            seconds = request.answered - request.began  # how long it was open afterwards, is nobody's slowness
        bucket = bisect_left(FINE_BOUNDS, seconds)
        counts.durations[bucket] += 1
        counts.seconds += seconds
        counts.sent += request.sent
        if request.received:
            counts.received += request.received
        if request.answered:
            waited = request.answered - request.passed_on
            counts.first_bytes[bisect_left(FINE_BOUNDS, waited)] += 1
            counts.seconds_to_first_byte += waited
        if error is not None:
            self._errors[service, error.kind.slug] += 1
        trace = request.trace
        if trace is not None and trace.sampled:
            self._exemplars[service, _FOLDED[bucket]] = Exemplar(trace.trace_id, seconds, ended)

    def taken(self, instances: Mapping[tuple[str, str], InstanceCount]) -> Counted:
        """Return what was counted, and begin anew; ``instances`` is what they did meanwhile."""
        busy = {name: counts for name, counts in self._services.items() if any(counts.durations)}
        counted = Counted(self._requests, self._errors, busy, self._exemplars, instances)
        self._begin()
        return counted
