"""What the parts ``duties``, ``tokens`` and ``memory`` measured."""

from __future__ import annotations

from attrs import frozen

from benchmarks.per_request import PerRequest
from benchmarks.proc import Memory


@frozen
class DutySample(PerRequest):
    """One load of the part ``duties``; CPU times in seconds over the whole load."""

    contestant: str
    duties: tuple[str, ...]
    """Those of :data:`benchmarks.duties.DUTIES` that were on."""
    clients: int
    round: int
    requests: int
    seconds: float
    worker_cpu: float
    redis_cpu: float
    calls: int
    """How often Redis was asked."""

    @property
    def redis_microseconds(self) -> float:
        """CPU microseconds of Redis for one request."""
        return self.redis_cpu / self.requests * 1e6

    @property
    def calls_per_request(self) -> float:
        return self.calls / self.requests


@frozen
class TokenSample(PerRequest):
    """Requests with valid tokens: ``new`` if the verdict on each had to be found, else it was remembered."""

    algorithm: str
    introspected: bool
    new: bool
    round: int
    requests: int
    seconds: float
    worker_cpu: float
    asked: int
    """Questions to the Auth Service."""

    @property
    def asked_per_request(self) -> float:
        return self.asked / self.requests


@frozen
class RefusalSample(PerRequest):
    """One client's requests with all duties on, all of them served or all of them over its limit."""

    refused: bool
    round: int
    requests: int
    seconds: float
    worker_cpu: float
    redis_cpu: float
    calls: int


@frozen
class KeysSample:
    """Redis with the limits of many users."""

    round: int
    keys: int
    expiring: int
    """Of these keys, those that end by themselves."""
    taken: int
    """Bytes that they have taken."""
    each: float
    """Bytes for one."""


@frozen
class VerdictsSample:
    """A worker that remembers many tokens."""

    round: int
    tokens: int
    before: Memory
    after: Memory

    @property
    def each(self) -> float:
        """Bytes of the worker's memory (PSS) for one token."""
        return (self.after - self.before).proportional / self.tokens
