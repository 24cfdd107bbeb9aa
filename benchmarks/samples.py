"""What was measured: plain values, as they are recorded and as the report reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Literal, TypeVar

from attrs import evolve, field, frozen

from benchmarks.per_request import PerRequest
from benchmarks.proc import Memory
from benchmarks.samples_duties import DutySample, KeysSample, RefusalSample, TokenSample, VerdictsSample
from benchmarks.samples_protocols import EventSample, HandshakeSample, KeptSample, ProtocolSample, WebSocketSample

T = TypeVar("T")


@frozen
class CpuSample(PerRequest):
    """One turn of the part ``cpu``; CPU times in seconds over the whole load."""

    contestant: str
    round: int
    requests: int
    seconds: float
    worker_cpu: float
    overseer_cpu: float
    """Of the process that watches over the workers: the gateway's supervisor, nginx's master."""
    varied: bool = False
    """Whether path, query and two of the fields differed from request to request: what repeats is remembered."""

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def busy(self) -> float:
        """Share of the core that the workers used."""
        return self.worker_cpu / self.seconds


@frozen
class LatencySample:
    """One turn of the part ``latency``; seconds from when a request was due to the end of its answer."""

    contestant: str
    round: int
    requests: int
    p50: float
    p90: float
    p99: float
    worst: float


@frozen
class IdleSample:
    """One turn of the part ``idle``."""

    contestant: str
    round: int
    connections: int
    before: Memory
    after: Memory
    alive: int
    """Connections that were still open when the memory was read."""
    served_again: int
    """Of these idle connections, a sample that was asked once more and answered."""
    again_p99: float
    """Seconds for such an answer."""
    accepted: int
    """New connections that were made and answered while the others were open."""
    accept_p99: float
    """Seconds for that, connecting included."""

    @property
    def each(self) -> Memory:
        """Bytes of the workers' memory for one connection."""
        grown = self.after - self.before
        return Memory(
            grown.resident // self.connections,
            grown.proportional // self.connections,
            grown.unique // self.connections,
        )


@frozen
class BaseSample:
    """The gateway's memory before any load: supervisor and workers together."""

    round: int
    workers: int
    processes: int
    memory: Memory


@frozen
class TransferSample:
    """One large body through the gateway, with a slow peer at its end."""

    direction: Literal["upload", "download"]
    round: int
    size: int
    """Bytes that were sent."""
    received: int
    seconds: float
    sent_sha256: str
    received_sha256: str
    resident_before: int
    resident_peak: int
    """The kernel's own high-water mark."""
    history: tuple[tuple[float, int], ...]
    """Seconds since the start and RSS in bytes, about every 50 ms."""

    @property
    def exact(self) -> bool:
        return self.size == self.received and self.sent_sha256 == self.received_sha256

    @property
    def growth(self) -> int:
        return self.resident_peak - self.resident_before


@frozen
class GrowthSample(PerRequest):
    """One point of the part ``growth``: a load from ``count`` clients, or over ``count`` routes."""

    contestant: str
    over: Literal["clients", "routes"]
    count: int
    round: int
    requests: int
    seconds: float
    worker_cpu: float


@frozen
class ScrapeSample:
    """One turn of the part ``scrape``."""

    round: int
    samples: int
    """On a page."""
    size: int
    """Of a page, in bytes."""
    seconds: tuple[float, ...]
    """From the request for a page to its last byte, for each that was read."""
    p99_alone: float
    """Seconds, of the load while nobody read a page."""
    p99_beside: float
    """Of the same load meanwhile."""

    @property
    def added(self) -> float:
        return self.p99_beside - self.p99_alone


@frozen
class RecordSample(PerRequest):
    """One load of the part ``records``."""

    records: tuple[str, ...]
    """What was written down: ``overview``, ``metrics``, ``log``, ``traces``."""
    varied: bool
    """Whether every request was another one."""
    round: int
    requests: int
    seconds: float
    worker_cpu: float


@frozen
class Run:
    """When and where a part was measured."""

    started: str
    quick: bool
    load_average: float
    """Of the last minute before the start: far above 0, others were using the machine."""
    machine: dict[str, str]


@frozen
class Results:
    """Everything that was recorded; a part that was measured again replaces what it had."""

    runs: dict[str, Run] = field(factory=dict)
    cpu: tuple[CpuSample, ...] = ()
    latency: tuple[LatencySample, ...] = ()
    idle: tuple[IdleSample, ...] = ()
    base: tuple[BaseSample, ...] = ()
    transfer: tuple[TransferSample, ...] = ()
    growth: tuple[GrowthSample, ...] = ()
    duties: tuple[DutySample, ...] = ()
    tokens: tuple[TokenSample, ...] = ()
    refusals: tuple[RefusalSample, ...] = ()
    keys: tuple[KeysSample, ...] = ()
    verdicts: tuple[VerdictsSample, ...] = ()
    scrape: tuple[ScrapeSample, ...] = ()
    records: tuple[RecordSample, ...] = ()
    protocols: tuple[ProtocolSample, ...] = ()
    handshakes: tuple[HandshakeSample, ...] = ()
    kept: tuple[KeptSample, ...] = ()
    websockets: tuple[WebSocketSample, ...] = ()
    events: tuple[EventSample, ...] = ()

    def of_run(self, part: str, run: Run) -> Results:
        """These results, with ``run`` as the one that ``part`` is from."""
        return evolve(self, runs=self.runs | {part: run})


@frozen
class Spread:
    """The median of several values with the smallest and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of one value or more; ValueError of none."""
        ordered = sorted(values)
        if not ordered:
            raise ValueError("no values")
        return cls(median(ordered), ordered[0], ordered[-1])

    def text(self, form: str) -> str:
        """``median (low to high)``, or only the one value; ``form`` is a format specification for each number."""
        if self.low == self.high:
            return f"{self.median:{form}}"
        return f"{self.median:{form}} ({self.low:{form}} to {self.high:{form}})"

    def times(self, factor: float) -> Spread:
        """The same in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor)


def grouped(samples: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """The samples by ``key``, in the order in which the keys first come."""
    groups: dict[str, list[T]] = {}
    for sample in samples:
        groups.setdefault(key(sample), []).append(sample)
    return groups


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(share * 1000) * len(ordered) // 1000) - 1)]
