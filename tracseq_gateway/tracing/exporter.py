"""Sends spans in batches, one after the other, beside the requests.

House rules:

1. What waits is bounded: ``queue_spans``, and one batch that is under way. Beyond that spans are dropped.
2. Every span ends as one of ``exported``, ``dropped`` (there was no room for it) and ``failed`` (the collector did not
   take it), and is counted.
3. A collector that is down costs two lines in the log: one when it goes and one when it is back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure as TwistedFailure

from tracseq_gateway.config.tracing import Tracing
from tracseq_gateway.net.jitter import jittered
from tracseq_gateway.tracing.collector import LONGEST_WORDS, Export, Failure, Outcome

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds before a batch is sent again: twice as many each time, or as many as the collector asks for."""
TRIED_SECONDS: Final = 60.0
"""How long one batch is tried; then it is given up, and the next one has its turn."""
LONGEST_REST: Final = 600.0
"""A collector that asks to be left alone for longer is asked again all the same."""
STOP_SECONDS: Final = 0.4
"""How long a stop waits for what is not sent yet: less than a worker gets beyond its time to drain."""
REPORT_SECONDS: Final = 60.0
"""Drops and spans that were rejected are reported no more often than this."""


class SpanExporter:
    """Collects encoded spans and has them exported."""

    def __init__(
        self,
        reactor: IReactorTime,
        settings: Tracing,
        seal: Callable[[Sequence[bytes]], bytes],
        export: Export,
        random: Random | None = None,
    ) -> None:
        """``seal`` makes one export of spans; ``export`` sends it."""
        self.counts: Counter[str] = Counter(exported=0, dropped=0, failed=0)
        self._reactor = reactor
        self._settings = settings
        self._seal = seal
        self._export = export
        self._random = random or Random()  # noqa: S311
        self._queue: list[bytes] = []
        self._sending = 0
        """Spans of the batch that is under way, also while it waits to be sent again."""
        self._pauses = 0
        self._given_up = 0.0
        """When the present batch is not sent again any more."""
        self._rests_until = 0.0
        """Until when the collector is left alone."""
        self._timer: IDelayedCall | None = None
        """Sends the next batch, or the present one again."""
        self._exchange: Deferred[Outcome] | None = None
        self._in_trouble = False
        self._report_again: dict[str, float] = {}
        """When each of the few things that are reported may be said again."""
        self._stopping = False
        self._stopped: Deferred[None] = Deferred()
        self._deadline: IDelayedCall | None = None
        self._log = Logger()

    def __repr__(self) -> str:
        return f"<SpanExporter {len(self._queue)} waiting, {self._sending} being sent, {dict(self.counts)}>"

    def add(self, spans: Sequence[bytes]) -> None:
        """Take spans. Never waits, never raises."""
        if self._stopping or len(self._queue) + len(spans) > self._settings.queue_spans:
            self.counts["dropped"] += len(spans)
            self._report("spans are dropped: they come faster than the collector takes them")
            return
        self._queue += spans
        if not self._sending and (self._timer is None or self._is_due()):
            self._await_batch()

    def stop(self) -> Deferred[None]:
        """Send what waits, and take no more; to be called once.

        Fires when that is done, or given up after ``STOP_SECONDS``.
        """
        self._stopping = True
        self._deadline = self._reactor.callLater(STOP_SECONDS, self._give_up)
        if self._sending and self._exchange is None:
            self._finish_batch(self._sending)  # it would have been sent again
        elif not self._sending:
            self._await_batch()
        return self._stopped

    def _is_due(self) -> bool:
        """Whether a whole batch waits, and the collector does not ask to be left alone."""
        return len(self._queue) >= self._settings.batch_spans and self._reactor.seconds() >= self._rests_until

    def _await_batch(self) -> None:
        """Nothing is under way: send what waits now, or at its time."""
        self._cancel_timer()
        if not self._queue:
            if self._stopping:
                self._end()
            return
        now = self._reactor.seconds()
        whole = self._stopping or len(self._queue) >= self._settings.batch_spans
        pause = max(0.0 if whole else self._settings.batch_seconds, self._rests_until - now)
        if pause > 0 and not self._stopping:
            self._timer = self._reactor.callLater(pause, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._timer = None
        batch = self._queue[: self._settings.batch_spans]
        del self._queue[: len(batch)]
        self._sending = len(batch)
        self._pauses = 0
        self._given_up = self._reactor.seconds() + TRIED_SECONDS
        self._post(self._seal(batch))

    def _post(self, body: bytes) -> None:
        self._timer = None
        exchange = self._export(body)
        self._exchange = exchange
        exchange.addCallback(self._answered, body).addErrback(self._broken)

    def _answered(self, outcome: Outcome, body: bytes) -> None:
        self._exchange = None
        if isinstance(outcome, Failure):
            self._failed(outcome, body)
            return
        rejected = min(outcome.rejected, self._sending)
        if outcome.message or rejected:
            words = outcome.message[:LONGEST_WORDS]
            self._report(
                "the collector rejects {n} of {of} spans: {words!r}", n=rejected, of=self._sending, words=words
            )
        self._out_of_trouble()
        self._finish_batch(rejected)

    def _failed(self, failure: Failure, body: bytes) -> None:
        """Send the batch again, if the collector may take it yet, or give it up."""
        self._into_trouble(failure.reason)
        if failure.again:
            pause = min(FIRST_PAUSE * 2**self._pauses, LONGEST_PAUSE)
            pause = jittered(pause, self._random) if failure.after is None else min(failure.after, LONGEST_REST)
            self._rests_until = self._reactor.seconds() + pause
            if self._rests_until <= self._given_up and not self._stopping:
                self._pauses += 1
                self._timer = self._reactor.callLater(pause, self._post, body)
                return
        self._finish_batch(self._sending)

    def _broken(self, failure: TwistedFailure) -> None:
        self._exchange = None
        if failure.check(CancelledError) is None:
            self._log.failure("an export of spans failed", failure=failure)
        self._finish_batch(self._sending)

    def _finish_batch(self, failed: int) -> None:
        """The present batch is over, and so many of its spans have failed."""
        self.counts["exported"] += self._sending - failed
        self.counts["failed"] += failed
        self._sending = 0
        self._await_batch()

    def _give_up(self) -> None:
        """There is no more time."""
        self._deadline = None
        spans = self._sending + len(self._queue)
        self._log.warn("{spans} spans could not be sent before the end", spans=spans)
        self._in_trouble = True  # so that how the present export ends is not said as well
        self.counts["failed"] += len(self._queue)
        self._queue.clear()
        if self._exchange is not None:
            self._exchange.cancel()
        else:
            self._end()

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._cancel_timer()
        self._stopped.callback(None)

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _into_trouble(self, reason: str) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            endpoint = self._settings.endpoint
            self._log.warn("the collector at {endpoint} takes no spans: {reason}", endpoint=endpoint, reason=reason)

    def _out_of_trouble(self) -> None:
        if self._in_trouble:
            self._in_trouble = False
            self._log.info("the collector at {endpoint} takes spans again", endpoint=self._settings.endpoint)

    def _report(self, form: str, **values: object) -> None:
        """Say it now and then, however often it happens."""
        now = self._reactor.seconds()
        if now >= self._report_again.get(form, now):
            self._report_again[form] = now + REPORT_SECONDS
            self._log.warn(form + " ({counts})", counts=dict(self.counts), **values)
