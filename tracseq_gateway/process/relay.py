"""What the workers found out about the services: said once, passed on to the others, kept for those who come later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from attrs import evolve, frozen
from twisted.logger import Logger, LogLevel

from tracseq_gateway.interfaces import Observation

SAME_SECONDS: Final = 1.0
"""Two ejections, or open circuits, whose ends lie less than this apart are the same: two workers saw it."""

_LASTING: Final = frozenset({"ejected", "opened"})


@frozen
class _Word:
    observation: Observation
    until: float
    """When it stops to hold, in seconds of the reactor's clock."""


class Relay:
    """The last word on each instance and on each service as a whole.

    It is no larger than what there is to talk about: what is said of others is not kept.
    """

    def __init__(self, seconds: Callable[[], float], known: Callable[[str, str], bool]) -> None:
        """``known`` says whether there is such a service, and such an instance of it (empty: the service itself)."""
        self._seconds = seconds
        self._known = known
        self._words: dict[tuple[str, str], _Word] = {}
        self._log = Logger()

    def heard(self, observation: Observation) -> bool:
        """Take over what a worker says; return whether that is news, which the others must be told. News are logged."""
        key = observation.service, observation.url
        if not self._known(*key) or not self._is_news(observation, self._words.get(key)):
            return False
        self._words = {known: word for known, word in self._words.items() if self._known(*known)}
        self._words[key] = _Word(observation, self._seconds() + observation.seconds)
        level = LogLevel.warn if observation.event in _LASTING else LogLevel.info
        self._log.emit(level, "{observation}", observation=asSentence(observation))
        return True

    def standing(self) -> Iterator[Observation]:
        """What still holds, with the seconds that remain."""
        now = self._seconds()
        for key, word in self._words.items():
            if word.observation.event in _LASTING and word.until > now and self._known(*key):
                yield evolve(word.observation, seconds=word.until - now)

    def _is_news(self, observation: Observation, last: _Word | None) -> bool:
        stands = last is not None and last.observation.event in _LASTING
        if observation.event not in _LASTING:
            return stands
        return last is None or not stands or self._seconds() + observation.seconds >= last.until + SAME_SECONDS


def asSentence(observation: Observation) -> str:
    """The observation as a line of the log: what, which, for how long, why."""
    what = f"instance {observation.url}" if observation.url else "the circuit"
    how = "open" if observation.event == "opened" else observation.event
    lasting = f" for {observation.seconds:g} s" if observation.event in _LASTING else ""
    reason = f": {observation.reason}" if observation.reason else ""
    return f"{observation.service}: {what} is {how}{lasting}{reason}"
