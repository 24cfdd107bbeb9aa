"""What happened to targets of late: which have changed, and which have answers that are not for all."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

Key = TypeVar("Key")

MOST: Final = 10_000
"""Targets that are remembered."""


class Changes:
    """Which targets have changed, and when: what was asked before that is old, and must not be kept."""

    def __init__(self) -> None:
        self._changed: OrderedDict[bytes, float] = OrderedDict()
        self._all = float("-inf")

    def note(self, target: bytes, now: float) -> None:
        """A target has changed."""
        self._changed.pop(target, None)
        self._changed[target] = now
        if len(self._changed) > MOST:
            # Of what is forgotten it must be thought that it has changed until then.
            self._all = max(self._all, self._changed.popitem(last=False)[1])

    def note_all(self, now: float) -> None:
        """All of them may have changed."""
        self._changed.clear()
        self._all = now

    def since(self, target: bytes, moment: float) -> bool:
        """Whether a target may have changed at ``moment`` or later."""
        return max(self._all, self._changed.get(target, float("-inf"))) >= moment


class Unfit(Generic[Key]):
    """For what it is in vain to wait for the answer to another request: so it was a moment ago."""

    def __init__(self, seconds: float) -> None:
        """What is noted holds for so many seconds."""
        self._seconds = seconds
        self._until: OrderedDict[Key, float] = OrderedDict()

    def note(self, key: Key, now: float) -> None:
        """It was in vain."""
        self._until.pop(key, None)
        self._until[key] = now + self._seconds
        if len(self._until) > MOST:
            self._until.popitem(last=False)

    def clear(self, key: Key) -> None:
        """It was not."""
        self._until.pop(key, None)

    def has(self, key: Key, now: float) -> bool:
        """Whether it is likely to be in vain again."""
        return self._until.get(key, 0.0) > now
