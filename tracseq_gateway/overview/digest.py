"""What one worker tells the supervisor once a second: counts since the last time, and how it is now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from attrs import asdict, frozen


@frozen
class ServiceDigest:
    """What the requests to one service came to."""

    name: str
    requests: int
    errors: int
    """Answered with 5xx."""
    refused: int
    """Answered with 429."""
    durations: Sequence[tuple[int, int]]
    """Index of a bucket of :data:`tracseq_gateway.metrics.counting.FINE_BOUNDS`, and how many requests were in it."""


@frozen
class InstanceDigest:
    """What one instance did; only of those that did anything."""

    service: str
    url: str
    requests: int
    """Attempts."""
    failed: int
    """Attempts that were held against it."""
    in_flight: int


@frozen
class Ended:
    """A request that is worth being looked at: it was slow, or it failed."""

    time: float
    """When it ended, in seconds since the epoch."""
    method: str
    path: str
    """Without the query, which may hold secrets."""
    service: str
    instance: str
    """The URL of the instance that was asked last; empty when none was."""
    status: int
    duration_ms: float
    error: str | None
    """The kind of an error of the gateway's own."""
    reason: str | None
    request_id: str
    trace_id: str | None


@frozen
class Digest:
    """One worker's; the counts cover ``seconds``."""

    seconds: float = 0.0
    services: Sequence[ServiceDigest] = ()
    """Also of what the gateway answers itself, by the names that the metrics give that."""
    instances: Sequence[InstanceDigest] = ()
    errors: Sequence[tuple[str, str, int]] = ()
    """Service, kind, count."""
    refused: Sequence[tuple[str, str, int]] = ()
    """Service, client as the limiter names it, count."""
    received: int = 0
    """Bytes of bodies, of requests that are over; ``sent`` likewise."""
    sent: int = 0
    in_flight: int = 0
    connections: int = 0
    lag: float = 0.0
    """How late the reactor runs, in seconds."""
    memory: int = 0
    """Resident, in bytes."""
    limits: str = "off"
    """``off``, ``shared`` (by Redis), or while Redis is away what is done then: ``local``, ``open`` or ``closed``."""
    circuits: Sequence[tuple[str, str]] = ()
    """Services whose circuit is not closed, and how it is: ``open`` or ``half_open``."""
    ejected: Sequence[tuple[str, str]] = ()
    """Service and URL of the instances that get no requests because requests failed there."""
    slow: Sequence[Ended] = ()
    failed: Sequence[Ended] = ()

    def pack(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Digest:
        """From JSON that :meth:`pack` made; raises ValueError, TypeError or KeyError for other."""
        fields: dict[str, Any] = json.loads(data)
        return cls(
            **{
                **fields,
                "services": [ServiceDigest(**item) for item in fields["services"]],
                "instances": [InstanceDigest(**item) for item in fields["instances"]],
                "slow": [Ended(**item) for item in fields["slow"]],
                "failed": [Ended(**item) for item in fields["failed"]],
            }
        )
