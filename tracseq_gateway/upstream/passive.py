"""Passive health of one service: who is ejected, and whether the circuit is open, by what requests tell.

Each worker judges by its own requests, acts on it at once, and tells the others, which then do the same: see
:class:`tracseq_gateway.interfaces.Observation`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy

from tracseq_gateway.config.model import Service
from tracseq_gateway.interfaces import Observation
from tracseq_gateway.net.deadlines import Deadlines, Timer
from tracseq_gateway.upstream.breaker import Breaker
from tracseq_gateway.upstream.instance import Instance
from tracseq_gateway.upstream.outliers import Ejector

UNREACHABLE_STATUSES = frozenset({502, 503, 504})
"""Answers that say that there is nobody to answer. A 500 says that somebody is: it counts against its instance, but it
opens no circuit, or whoever finds a request that fails could close a service for everybody."""


class PassiveHealth:
    """One service's, in one worker."""

    def __init__(
        self,
        settings: Service,
        instances: Sequence[Instance],
        deadlines: Deadlines,
        changed: Callable[[], None],
        restored: Callable[[Instance], None],
    ) -> None:
        """``instances`` are the service's own list. ``changed`` is told when somebody was ejected or restored,
        ``restored`` before that who was."""
        self.observed: Callable[[Observation], None] = lambda observation: None
        """Told what the other workers should know."""
        self.counts: Counter[str] = Counter()
        """How often an instance was ejected and the circuit opened by this worker."""
        self.breaker = Breaker(settings.breaker.open_seconds, deadlines.now, self._circuit_changed)
        self._settings = settings
        self._instances = instances
        self._deadlines = deadlines
        self._changed = changed
        self._restored = restored
        self._ejector = Ejector(settings.outliers, deadlines.now)
        self._troubled = False
        """Whether there are failures that a success would wipe out."""

    def rehearsal(self) -> PassiveHealth:
        """One that counts nothing here; its circuit goes on as this one's would."""
        twin = copy(self)
        twin.counts, twin.breaker = Counter(), self.breaker.rehearsal()
        return twin

    @property
    def ejected(self) -> list[str]:
        """The URLs of the instances that are ejected."""
        return [instance.url for instance in self._instances if instance.record.ejected]

    def succeeded(self, instance: Instance) -> None:
        """An answer came that is no failure."""
        record = instance.record
        record.answered += 1
        if self._troubled:
            record.failures = record.unreachable = 0
            self._troubled = any(other.record.failures for other in self._instances)

    def failed(self, instance: Instance, *, unreachable: bool) -> None:
        """An attempt at an instance failed; ``unreachable``: it cannot be said to serve."""
        self._troubled = True
        instance.failed += 1
        reason = self._ejector.failed(instance.record, unreachable=unreachable)
        if reason and self._may_eject(instance):
            seconds = self._keep_out(instance)
            self.counts["ejected"] += 1
            self.observed(Observation(self._settings.name, instance.url, "ejected", seconds, reason))
        if unreachable and self.breaker.closed and self._all_fail():
            self.breaker.hear("tripped")

    def _all_fail(self) -> bool:
        least = self._settings.breaker.failures
        return least > 0 and all(
            instance.record.unreachable >= least or instance.record.ejected
            for instance in self._instances
            if instance.state != "unhealthy" and not instance.drained
        )

    def probed(self, instance: Instance, *, passed: bool) -> None:
        """An active probe has ended."""
        if not passed:
            instance.record.passes = 0
            return
        if instance.record.ejected and self._ejector.passed(instance.record):
            self._restore(instance)
            self.observed(Observation(self._settings.name, instance.url, "restored", 0.0, "it passed its probes"))
        self.breaker.hear("probed")

    def take(self, observation: Observation) -> None:
        """Take over what another worker has found out."""
        if observation.event == "opened":
            self.breaker.hear("told_open", observation.seconds)
        elif observation.event == "closed":
            self.breaker.hear("told_closed")
            self._forget_failures()
        for instance in self._instances:
            if instance.url != observation.url:
                continue
            if observation.event == "restored":
                self._restore(instance)
            elif observation.event == "ejected" and self._may_eject(instance):
                self._keep_out(instance, observation.seconds)

    # Ejections.

    def _may_eject(self, instance: Instance) -> bool:
        return not instance.record.ejected and self._ejector.may_eject([other.record for other in self._instances])

    def _keep_out(self, instance: Instance, told: float = 0.0) -> float:
        """Eject an instance, for as long as another worker said or as is due; return how long."""
        seconds = self._ejector.seconds(instance.record)
        seconds = told or seconds
        instance.record.ejected = True
        instance.record.passes = 0
        if instance.ejection is None:
            instance.ejection = Timer(self._deadlines, lambda: self._restore(instance))
        instance.ejection.start(seconds)
        self._changed()
        return seconds

    def _restore(self, instance: Instance) -> None:
        """Let an ejected instance serve again."""
        record = instance.record
        if not record.ejected:
            return
        if instance.ejection is not None:
            instance.ejection.stop()
        record.ejected = False
        record.restored = self._deadlines.now()
        record.fresh()
        self._restored(instance)
        self._changed()

    # The circuit.

    def _circuit_changed(self, opened: bool) -> None:
        """This worker's requests opened or closed the circuit."""
        name = self._settings.name
        if opened:
            self.counts["opened"] += 1
            seconds = self._settings.breaker.open_seconds
            self.observed(Observation(name, "", "opened", seconds, "every instance failed"))
        else:
            self._forget_failures()
            self.observed(Observation(name, "", "closed", 0.0, "a request succeeded"))

    def _forget_failures(self) -> None:
        for instance in self._instances:
            instance.record.failures = instance.record.unreachable = 0
