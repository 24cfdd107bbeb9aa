"""All workers replaced at once, or none of them: what a reload does.

Each slot starts a successor on its socket while its worker serves on. Once all successors serve, the old workers are
drained gently. If one fails before that, no successor stays: those that do not serve yet are killed, and one that does
finishes what it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from tracseq_gateway.process.slot import Slot
    from tracseq_gateway.process.worker_process import Launch


class SuccessionFailed(Exception):
    """The old workers serve on; the text says which successor failed, and how."""


class Succession:
    """One attempt."""

    def __init__(self, slots: Sequence[Slot], launch: Launch) -> None:
        """``launch``: how the successors are started, and from then on every worker."""
        self.done: Deferred[None] = Deferred()
        """Fires when the successors have taken over; fails with :class:`SuccessionFailed`."""
        self._slots = slots
        self._launch = launch

    def begin(self) -> None:
        """Start all successors. To be called once."""
        for slot in self._slots:
            if not self.done.called:  # one before it could not even be started
                slot.prepare(self._launch)

    def served(self) -> None:
        """A successor serves: when it is the last, let them take over."""
        if not self.done.called and all(slot.prepared for slot in self._slots):
            for slot in self._slots:
                slot.promote()
            self.done.callback(None)

    def failed(self, why: str) -> None:
        """A successor is gone, or there shall be none: give up."""
        if not self.done.called:
            for slot in self._slots:
                slot.dismiss()
            self.done.errback(SuccessionFailed(why))
