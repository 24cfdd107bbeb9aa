"""What the parts about protocols record: ``protocols``, ``tls``, ``websockets`` and ``events``."""

from __future__ import annotations

from attrs import frozen

from benchmarks.per_request import PerRequest
from benchmarks.proc import Memory


@frozen
class ProtocolSample(PerRequest):
    """One load of the part ``protocols``; CPU times in seconds over the whole load."""

    contestant: str
    protocol: str
    """``HTTP/1.1`` or ``HTTP/2``."""
    secure: bool
    """Whether it is over TLS."""
    connections: int
    streams: int
    """Requests at once on each connection."""
    round: int
    requests: int
    seconds: float
    worker_cpu: float


@frozen
class HandshakeSample:
    """One load of the part ``tls``: connections that do nothing but begin and end."""

    contestant: str
    kind: str
    """``ECDSA P-256``, ``RSA 2048``, ``resumed``; or ``in clear``, a connection without any handshake."""
    round: int
    connections: int
    seconds: float
    worker_cpu: float

    @property
    def microseconds(self) -> float:
        """CPU microseconds of the workers for one connection."""
        return self.worker_cpu / self.connections * 1e6

    @property
    def per_cpu_second(self) -> float:
        """Connections for each second of the workers' CPU."""
        return self.connections / self.worker_cpu


@frozen
class KeptSample(PerRequest):
    """One load of the part ``tls``: requests on kept connections; CPU times in seconds over the whole load."""

    contestant: str
    secure: bool
    round: int
    requests: int
    seconds: float
    worker_cpu: float


@frozen
class WebSocketSample:
    """One turn of the part ``websockets``."""

    contestant: str
    round: int
    connections: int
    messages: int
    seconds: float
    worker_cpu: float
    before: Memory
    after: Memory
    """When all of them were open."""
    p50: float
    """Seconds from a message to its echo."""
    p99: float

    @property
    def busy(self) -> float:
        """Share of a core."""
        return self.worker_cpu / self.seconds

    @property
    def each(self) -> Memory:
        """Bytes of the workers' memory for one WebSocket."""
        grown = self.after - self.before
        return Memory(*(size // self.connections for size in (grown.resident, grown.proportional, grown.unique)))


@frozen
class EventSample:
    """One turn of the part ``events`` with so many open streams."""

    contestant: str
    round: int
    streams: int
    events: int
    seconds: float
    worker_cpu: float
    p50: float
    """Seconds from when the service sent an event to when the client had it."""
    p99: float
