"""What a reload came to: for the log, and for who asked for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen
from twisted.logger import Logger
from twisted.python.failure import Failure

MOST_LINES: Final = 1000
"""Lines of each kind that are answered: more than anybody reads."""


@frozen
class Reloaded:
    """What a reload came to."""

    accepted: bool
    changes: tuple[str, ...] = ()
    """What has changed, a line each."""
    problems: tuple[str, ...] = ()
    """Why it was refused; of one that was accepted, what is of no effect or waits for the next start."""

    def answer(self) -> Mapping[str, object]:
        """The same for the control socket."""
        return {
            "accepted": self.accepted,
            "changes": self.changes[:MOST_LINES],
            "problems": self.problems[:MOST_LINES],
        }


class ReloadReport:
    """Writes the log of reloads."""

    def __init__(self) -> None:
        self._log = Logger()

    def accepted(self, changed: Sequence[str], problems: Sequence[str]) -> Reloaded:
        """The new workers serve."""
        for line in changed:
            self._log.info("reload: {line}", line=line)
        for line in problems:
            self._log.warn("reload: {line}", line=line)
        self._log.info("reloaded: {count} changes; keys and certificates were read again", count=len(changed))
        return Reloaded(True, tuple(changed), tuple(problems))

    def refused(self, problems: Sequence[str]) -> Reloaded:
        """All is as before, for these reasons."""
        for line in problems:
            self._log.error("reload: {line}", line=line)
        self._log.error("the reload is refused; the gateway serves on as before")
        return Reloaded(False, problems=tuple(problems))

    def failed(self, failure: Failure) -> Reloaded:
        """The same, for a reason that nobody thought of."""
        self._log.failure("the reload failed", failure)
        return self.refused([f"the reload failed ({type(failure.value).__name__}); the log says more"])
