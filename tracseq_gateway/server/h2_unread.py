"""The rest of a request that was answered before all of it had come: how long it is thrown away."""

from __future__ import annotations

from collections.abc import Callable

from tracseq_gateway.net.deadlines import Deadlines, Timer
from tracseq_gateway.server.farewell import LINGER_SECONDS

MOST_SECONDS = 30.0
"""How long a client may go on sending what nobody wants. Some send all before they read their answer."""


class Unread:
    """Calls ``leave`` when the client has sent nothing for a moment, or has gone on for too long."""

    __slots__ = ("_deadlines", "_timer", "_until")

    def __init__(self, deadlines: Deadlines, leave: Callable[[], None]) -> None:
        self._deadlines = deadlines
        self._until = deadlines.now() + MOST_SECONDS
        self._timer = Timer(deadlines, leave)
        self._timer.start(LINGER_SECONDS)

    def more_came(self) -> None:
        """It goes on."""
        left = self._until - self._deadlines.now()
        if left > 0:
            self._timer.start(min(LINGER_SECONDS, left))

    def close(self) -> None:
        """It has ended."""
        self._timer.close()
