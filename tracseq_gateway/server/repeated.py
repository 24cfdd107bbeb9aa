"""A refusal that is given again: a client over its limit mostly repeats the very request that was refused.

As long as the words of the refusal would be the same, which is at most a second, the same bytes get the same bytes:
nothing is parsed, routed or looked up. It is only ever a refusal that is repeated, so nothing is let through by this,
and every one is written down like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracseq_gateway.interfaces import Repeat

if TYPE_CHECKING:
    from tracseq_gateway.server.request import GatewayRequest


class RepeatedRefusal:
    """What one connection was refused, and with what."""

    __slots__ = ("_between", "_given", "_raw", "_repeat", "request")

    def __init__(self, raw: bytes, written: bytes, request: GatewayRequest, repeat: Repeat) -> None:
        """``raw`` is the whole head that was refused, ``written`` the whole answer."""
        self._raw = raw
        self._between = written.split(request.request_id)
        self._given = request.head.fields.request_id is not None
        self._repeat = repeat
        self.request = request
        """Made anew with each repetition, for the records."""

    def fits(self, data: bytes, now: float) -> bool:
        """Whether this is the answer to ``data`` still."""
        return data == self._raw and now < self._repeat.until

    def again(self, request_id: bytes, now: float) -> bytes:
        """The answer for one more request; it has this id, unless the client gives it one."""
        if not self._given:
            self.request.request_id = request_id
        self.request.began = now
        self._repeat.count()
        return self.request.request_id.join(self._between)
