"""What one worker writes down: counts, metrics, the access log, and traces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall

from tracseq_gateway import __version__
from tracseq_gateway.access_log.log import open_access_log
from tracseq_gateway.config.model import Config
from tracseq_gateway.interfaces import Recorder
from tracseq_gateway.metrics.counting import Counted, InstanceCount, RequestCounts
from tracseq_gateway.metrics.metrics import Metrics
from tracseq_gateway.metrics.recorder import RequestRecorder, Witness
from tracseq_gateway.tracing.tracing import open_tracing

READ_SECONDS = 1.0
"""How often what rooms count for themselves is read; a request does not pay for it."""

Instances = Callable[[], Mapping[tuple[str, str], InstanceCount]]
"""Gives what each instance, by service and URL, did since the last call."""


class Records:
    """Built once from the configuration."""

    def __init__(self, config: Config, reactor: Any, now: Callable[[], float], environ: Mapping[str, str]) -> None:
        """``now`` gives seconds since the epoch; ``environ`` holds secrets that the configuration names."""
        self.metrics = Metrics(config.services, __version__) if config.metrics.enabled else None
        routes = {name: service.prefix for name, service in config.services.items()}
        dropped = self.metrics.log_lines_dropped if self.metrics is not None else None
        self._log = open_access_log(config.access_log, routes, reactor, dropped)
        self.tracing = open_tracing(config, reactor, environ)
        self.instances: Instances = dict
        """Asked whenever what was counted is handed over; set by who has the instances."""
        self.scrape: Callable[[bool], Deferred[str]] | None = None
        """Has a page of metrics made elsewhere; see :meth:`Gateway.scrape_by`."""
        self._counts = RequestCounts(config.services)
        self._takers: list[Callable[[Counted], object]] = []
        self._readings: list[Callable[[], None]] = []
        self._reading = LoopingCall(self._read)
        self._reading.clock = reactor
        self._now = now
        self._clock: Callable[[], float] = reactor.seconds
        self._witnesses: list[Witness] = []
        if self.metrics is not None:
            self.hand_to(self.metrics.add)
        if self._log is not None:
            self.watch(self._log.record)
        if self.tracing is not None:
            self.watch(self.tracing.record)
            if self.metrics is not None:
                self.count(self.tracing.counts, self.metrics.spans_ended)

    @property
    def recorder(self) -> Recorder | None:
        """Who is told of each request's end; None when nobody wants to know. To be asked when all is wired."""
        witnesses = [self._counts.request_ended, *self._witnesses] if self._takers else self._witnesses
        return RequestRecorder(witnesses, self._clock, self._now) if witnesses else None

    def watch(self, witness: Witness) -> None:
        """Have ``witness`` told of each request that is over."""
        self._witnesses.append(witness)

    def hand_to(self, taker: Callable[[Counted], object]) -> None:
        """Have ``taker`` called with what was counted: every second, and in between when a page wants to be exact.

        Without any taker nothing is counted.
        """
        self._takers.append(taker)

    def redis_called(self, outcome: str, seconds: float) -> None:
        """A call of Redis has ended."""
        if self.metrics is not None:
            self.metrics.redis_called(outcome, seconds)

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
        if self._takers or self._readings:
            self._reading.start(READ_SECONDS, now=True)

    def stop(self) -> Deferred[None]:
        """Read for the last time, and write what waits."""
        if self._reading.running:
            self._reading.stop()
            self._read()
        ended = gatherResults([each.stop() for each in (self._log, self.tracing) if each is not None])
        return ended.addCallback(lambda _: self._read())  # what became of the last spans counts, too

    def hand_over(self) -> None:
        """Give what was counted to those who take it."""
        counted = self._counts.taken(self.instances())
        for take in self._takers:
            take(counted)

    def _read(self) -> None:
        for read in self._readings:
            read()
        self.hand_over()
