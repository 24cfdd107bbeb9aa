"""The workers' digests of the last seconds, added up."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable
from typing import Final

from attrs import Factory, define

from tracseq_gateway.overview.digest import Digest, ServiceDigest

WINDOW_SECONDS: Final = 10.0


@define
class ServiceSum:
    """What the requests to one service came to, in all workers."""

    requests: int = 0
    errors: int = 0
    refused: int = 0
    durations: Counter[int] = Factory(Counter)
    """Requests by the index of their bucket."""

    def take(self, digest: ServiceDigest) -> None:
        """Add what one worker counted."""
        self.requests += digest.requests
        self.errors += digest.errors
        self.refused += digest.refused
        for bucket, count in digest.durations:
            self.durations[bucket] += count

    def __add__(self, other: ServiceSum) -> ServiceSum:
        return ServiceSum(
            self.requests + other.requests,
            self.errors + other.errors,
            self.refused + other.refused,
            self.durations + other.durations,
        )


@define
class Sums:
    """What was counted in the last seconds."""

    seconds: float = 0.0
    """How much time that covers: the longest that any one worker tells of, for they count at the same time."""
    services: dict[str, ServiceSum] = Factory(dict)
    asked: Counter[tuple[str, str]] = Factory(Counter)
    """Attempts by service and URL."""
    failed: Counter[tuple[str, str]] = Factory(Counter)
    by_worker: dict[int, float] = Factory(dict)
    """Requests a second, by process id."""
    received: int = 0
    sent: int = 0

    def rate(self, count: int) -> float:
        """A count as so many a second."""
        return round(count / self.seconds, 2) if self.seconds else 0.0

    def durations(self, services: Iterable[str]) -> Counter[int]:
        """The durations of the requests to these services."""
        together: Counter[int] = Counter()
        for name in services:
            if name in self.services:
                together.update(self.services[name].durations)
        return together


class Window:
    """Keeps each worker's digests for ten seconds, also when the worker has gone, and the last of those that live."""

    def __init__(self) -> None:
        self.latest: dict[int, Digest] = {}
        """The last digest of each worker, by process id."""
        self._digests: dict[int, deque[tuple[float, Digest]]] = {}

    def take(self, worker: int, digest: Digest, now: float) -> None:
        """A digest of the worker with this process id came at ``now``."""
        self.latest[worker] = digest
        self._digests.setdefault(worker, deque()).append((now, digest))
        self._forget(now)

    def retain(self, workers: Collection[int]) -> None:
        """Only these workers live: of others nothing is under way any more, but what they did stays counted."""
        self.latest = {worker: digest for worker, digest in self.latest.items() if worker in workers}

    def sums(self, now: float, seconds: float = WINDOW_SECONDS) -> Sums:
        """What came within the last ``seconds``, at most ten, before ``now``."""
        self._forget(now)
        sums = Sums()
        for worker, digests in self._digests.items():
            recent = [digest for came, digest in digests if came > now - seconds]
            covered, requests = sum(digest.seconds for digest in recent), 0
            for digest in recent:
                requests += _add(sums, digest)
            sums.by_worker[worker] = round(requests / covered, 2) if covered else 0.0
            sums.seconds = max(sums.seconds, covered)
        return sums

    def _forget(self, now: float) -> None:
        for worker, digests in list(self._digests.items()):
            while digests and digests[0][0] <= now - WINDOW_SECONDS:
                digests.popleft()
            if not digests:
                del self._digests[worker]


def _add(sums: Sums, digest: Digest) -> int:
    """Add one digest; return how many requests it tells of."""
    for service in digest.services:
        sums.services.setdefault(service.name, ServiceSum()).take(service)
    for instance in digest.instances:
        sums.asked[instance.service, instance.url] += instance.requests
        sums.failed[instance.service, instance.url] += instance.failed
    sums.received += digest.received
    sums.sent += digest.sent
    return sum(service.requests for service in digest.services)
