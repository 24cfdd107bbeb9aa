"""One question to a service, and the requests that wait for the same answer (collapsing, RFC 9111 section 4).

Rules:

1. Nobody waits in a row: when the answer turns out not to be for all, those who wait go on at once, each for itself.
2. Nobody waits for a client: when the one who asks leaves, the next of those who wait asks in its place.
3. How many wait, and for how long, is bounded.
"""

from __future__ import annotations

from collections.abc import Callable

from tracseq_gateway.cache.asked import Asked
from tracseq_gateway.net.deadlines import Deadlines, Timer


class Fill:
    """See the module."""

    def __init__(self, target: bytes, most: int, seconds: float, deadlines: Deadlines) -> None:
        """At most ``most`` requests wait, each for ``seconds``."""
        self.target = target
        self._most = most
        self._seconds = seconds
        self._deadlines = deadlines
        self._waiting: dict[Waiting, None] = {}

    def join(self, asked: Asked, alone: Callable[[Asked], None]) -> bool:
        """Let a request wait; return False if too many do. ``alone`` is called with it when its time is over."""
        if len(self._waiting) >= self._most:
            return False
        waiting = Waiting(self, asked, alone)
        self._waiting[waiting] = None
        asked.request.attend(waiting)
        waiting.timer.start(self._seconds)
        return True

    def timer(self, due: Callable[[], None]) -> Timer:
        """A timer for one who waits."""
        return Timer(self._deadlines, due)

    def leave(self, waiting: Waiting) -> None:
        """One waits no longer."""
        self._waiting.pop(waiting, None)
        waiting.timer.close()

    def next(self) -> Asked | None:
        """Who has waited longest, and waits no longer; None if nobody waits."""
        waiting = next(iter(self._waiting), None)
        if waiting is None:
            return None
        self.leave(waiting)
        return waiting.asked

    def released(self) -> list[Asked]:
        """All who waited, and wait no longer."""
        waiting, self._waiting = self._waiting, {}
        for one in waiting:
            one.timer.close()
        return [one.asked for one in waiting]

    def __len__(self) -> int:
        return len(self._waiting)


class Waiting:
    """A request that waits; an :class:`tracseq_gateway.interfaces.Answerer` that has no answer yet."""

    def __init__(self, fill: Fill, asked: Asked, alone: Callable[[Asked], None]) -> None:
        self.asked = asked
        self.timer = fill.timer(self._expired)
        self._fill = fill
        self._alone = alone

    def _expired(self) -> None:
        self._fill.leave(self)
        self._alone(self.asked)

    def client_gone(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        self._fill.leave(self)

    def pause(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`: there is nothing to send yet."""

    def resume(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""

    def leave(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`: an answer comes."""

    def body_received(self, data: bytes) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`: no such request has a body."""

    def body_ended(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
