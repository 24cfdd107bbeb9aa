"""Passive health: what requests tell about the instances of one service, and when one is ejected for it.

An instance is ejected for failures in a row, or for their share within a window. How long grows with each ejection,
and how many may be ejected at once is bounded by a number of hosts: never the only one.
"""

from __future__ import annotations

from collections.abc import Callable

from tracseq_gateway.config.upstream import Outliers


class Record:
    """What the requests of this worker say about one instance."""

    __slots__ = ("answered", "ejected", "ejections", "failed", "failures", "passes", "restored", "since", "unreachable")

    def __init__(self) -> None:
        self.failures = 0
        """Failures in a row."""
        self.unreachable = 0
        """Those of the last ones after which it cannot be said to serve at all: no answer, or a gateway's error."""
        self.answered = 0
        """Answers within the window that were none."""
        self.failed = 0
        """Failures within the window."""
        self.since = 0.0
        """When the window began."""
        self.ejected = False
        self.ejections = 0
        """How often it was ejected lately: the next ejection is longer by as much."""
        self.restored = 0.0
        """When the last ejection ended."""
        self.passes = 0
        """Active probes that passed since it was ejected."""

    def fresh(self) -> None:
        """Begin again, after an ejection."""
        self.failures = self.unreachable = self.answered = self.failed = self.passes = 0


class Ejector:
    """Decides about the instances of one service. Pure: it sets nothing in motion."""

    def __init__(self, policy: Outliers, now: Callable[[], float]) -> None:
        """``now`` gives seconds of a clock that never goes back."""
        self._policy = policy
        self._now = now

    def failed(self, record: Record, *, unreachable: bool) -> str:
        """Note a failure; return why the instance is to be ejected, in a few words, or nothing."""
        policy, now = self._policy, self._now()
        record.failures += 1
        record.unreachable = record.unreachable + 1 if unreachable else 0
        if now - record.since > policy.window:
            record.since, record.answered, record.failed = now, 0, 0
        record.failed += 1
        if policy.failures and record.failures >= policy.failures:
            return f"{record.failures} failures in a row"
        total = record.answered + record.failed
        if policy.share and total >= policy.requests and record.failed >= policy.share * total:
            return f"{record.failed} of {total} requests failed"
        return ""

    def may_eject(self, records: list[Record]) -> bool:
        """Whether one more of a service's instances may be ejected."""
        count = len(records)
        most = max(int(count * self._policy.max_share), 1) if self._policy.max_share else 0
        ejected = sum(record.ejected for record in records)
        return ejected < min(most, count - 1)

    def seconds(self, record: Record) -> float:
        """Eject: note it, and return for how long."""
        policy = self._policy
        if record.ejections:
            # An ejection is forgotten for each of its own length that went well since.
            record.ejections -= min(record.ejections, int((self._now() - record.restored) / policy.eject_seconds))
        record.ejections += 1
        return min(policy.eject_seconds * record.ejections, policy.max_eject_seconds)

    def passed(self, record: Record) -> bool:
        """Note that an active probe passed while ejected; return whether that is enough to come back.

        One is enough for the first ejection; who is ejected again and again must pass as many in a row.
        """
        record.passes += 1
        return record.passes >= record.ejections
