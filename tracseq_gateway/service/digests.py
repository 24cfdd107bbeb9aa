"""What one worker counted, made into digests for the supervisor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from attrs import evolve
from twisted.internet.interfaces import IReactorTime

from tracseq_gateway.metrics.counting import Counted, InstanceCount
from tracseq_gateway.overview.digest import Digest, InstanceDigest, ServiceDigest
from tracseq_gateway.overview.notable import TOO_MANY, Notable
from tracseq_gateway.overview.window import ServiceSum

LEAST_SECONDS: Final = 0.9
"""Counts may come more often than once a second; digests are not sent more often than this."""


class Digester:
    """Takes what is counted, and tells it once a second."""

    def __init__(
        self,
        reactor: IReactorTime,
        notable: Notable,
        present: Callable[[], Digest],
        tell: Callable[[Digest], None],
    ) -> None:
        """``present`` gives a digest of how the worker is now, without any counts; ``tell`` is told each digest."""
        self._tell = tell
        self._seconds = reactor.seconds
        self._notable = notable
        self._present = present
        self._told = reactor.seconds()
        self._begin()

    def _begin(self) -> None:
        self._services: dict[str, ServiceSum] = {}
        self._errors: Counter[tuple[str, str]] = Counter()
        self._instances: dict[tuple[str, str], InstanceDigest] = {}
        self._received = self._sent = 0

    def take(self, counted: Counted) -> None:
        """Take what was counted, and tell a digest if it is time for one."""
        for (_, name, status), count in counted.requests.items():
            service = self._services.setdefault(name, ServiceSum())
            service.requests += count
            service.errors += count if status >= 500 else 0
            service.refused += count if status == TOO_MANY else 0
        for name, counts in counted.services.items():
            service = self._services.setdefault(name, ServiceSum())
            service.durations.update({bucket: count for bucket, count in enumerate(counts.durations) if count})
            self._received += counts.received
            self._sent += counts.sent
        self._errors.update(counted.errors)
        self._instances = {place: self._joined(place, count) for place, count in counted.instances.items()}
        if self._seconds() - self._told >= LEAST_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Tell what was not told yet: the worker is about to end."""
        now = self._seconds()
        digest = self._digest(now - self._told)
        self._told = now
        self._begin()
        self._tell(digest)

    def _joined(self, place: tuple[str, str], count: InstanceCount) -> InstanceDigest:
        before = self._instances.get(place)
        requests, failed = (before.requests, before.failed) if before is not None else (0, 0)
        return InstanceDigest(*place, requests + count.requests, failed + count.failed, count.in_flight)

    def _digest(self, seconds: float) -> Digest:
        noted = self._notable.taken()
        errors = [(service, kind, count) for (service, kind), count in self._errors.items()]
        return evolve(
            self._present(),
            seconds=seconds,
            services=[
                ServiceDigest(name, counts.requests, counts.errors, counts.refused, list(counts.durations.items()))
                for name, counts in self._services.items()
            ],
            instances=[one for one in self._instances.values() if one.requests or one.in_flight or one.failed],
            errors=[*errors, *noted.answered],
            refused=noted.refused,
            received=self._received,
            sent=self._sent,
            slow=noted.slow,
            failed=noted.failed,
        )
