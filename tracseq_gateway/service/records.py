"""What one worker writes down: metrics, and the access log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall

from tracseq_gateway import __version__
from tracseq_gateway.access_log.log import open_access_log
from tracseq_gateway.config.model import Config
from tracseq_gateway.interfaces import Recorder
from tracseq_gateway.metrics.metrics import Metrics
from tracseq_gateway.metrics.recorder import RequestRecorder

READ_SECONDS = 1.0
"""How often what rooms count for themselves is read; a request does not pay for it."""


class Records:
    """Built once from the configuration."""

    def __init__(self, config: Config, reactor: Any, now: Callable[[], float]) -> None:
        """``now`` gives seconds since the epoch."""
        self.metrics = Metrics(config.services, __version__) if config.metrics.enabled else None
        self._log = open_access_log(
            config.access_log, reactor, self.metrics.log_lines_dropped if self.metrics is not None else None
        )
        self._readings: list[Callable[[], None]] = []
        self._reading = LoopingCall(self._read)
        self._reading.clock = reactor
        self.recorder: Recorder | None = None
        if self.metrics is not None or self._log is not None:
            log = self._log.record if self._log is not None else None
            self.recorder = RequestRecorder(self.metrics, log, reactor.seconds, now)

    def redis_called(self, outcome: str, seconds: float) -> None:
        """A call of Redis has ended."""
        if self.metrics is not None:
            self.metrics.redis_called(outcome, seconds)

    def answered(self, service: str) -> Callable[[float], None] | None:
        """What is told how long a service took to answer; None when nobody wants to know."""
        return partial(self.metrics.service_answered, service) if self.metrics is not None else None

    def count(self, counter: Mapping[str, int], tell: Callable[[str, int], None]) -> None:
        """Have ``tell`` called with what is new in ``counter``, and how much that is."""
        told: Counter[str] = Counter()

        def read() -> None:
            for outcome, count in counter.items():
                if count > told[outcome]:
                    tell(outcome, count - told[outcome])
                    told[outcome] = count

        self._readings.append(read)

    def measure(self, read: Callable[[], None]) -> None:
        """Have ``read`` called from time to time, to set what is measured rather than counted."""
        self._readings.append(read)

    def start(self) -> None:
        """Begin to read."""
        if self.metrics is not None:
            self._reading.start(READ_SECONDS, now=True)

    def stop(self) -> Deferred[None]:
        """Read for the last time, and write what waits."""
        if self._reading.running:
            self._reading.stop()
            self._read()
        return self._log.stop() if self._log is not None else succeed(None)

    def _read(self) -> None:
        for read in self._readings:
            read()
        if self.metrics is not None:
            self.metrics.flush()
