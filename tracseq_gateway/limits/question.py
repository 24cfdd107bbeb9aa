"""What a store is asked, and what it is told about where to answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tracseq_gateway.limits.gcra import Policy


class Question(Protocol):
    """Whether something may be admitted: all of its limits admit it and are charged, or none is."""

    @property
    def keys(self) -> Sequence[bytes]:
        """Where what was admitted is counted."""

    @property
    def policies(self) -> Sequence[Policy]:
        """The limit of each key."""

    @property
    def units(self) -> Sequence[int]:
        """What is asked of each."""

    def decided(self, wait: float, ahead: Sequence[float]) -> None:
        """The answer: how many microseconds it must wait (0: it was admitted), and how far ahead each TAT now is."""

    def undecided(self) -> None:
        """There is no answer from where it was asked."""
