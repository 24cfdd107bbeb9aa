"""The way of a request's body: from the channel that reads it to who works on the request.

Until somebody takes it, what has come waits here, and no more is read than who wants to look at it first asks for.
"""

from __future__ import annotations

from collections.abc import Callable

from tracseq_gateway.errors import BODY_TOO_LARGE, GatewayError
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.interfaces import Answerer, BodyCheck
from tracseq_gateway.server.channel_face import Channel
from tracseq_gateway.server.held_body import HeldBody
from tracseq_gateway.server.resource_request import ResourceRequest

_CRUMB = 1024
"""Bytes below which pieces of a body that waits are put together."""


class BodyWay(ResourceRequest):
    """The part of a request that has to do with its body."""

    __slots__ = (
        "_answerer",
        "_body",
        "_body_done",
        "_collecting",
        "_held",
        "_taken",
        "channel",
        "head",
        "max_body",
        "received",
    )

    # Set by the request.
    channel: Channel
    head: RequestHead
    max_body: int
    received: int
    _answerer: Answerer | None
    _body: list[bytes]
    """What has come and is not taken."""
    _body_done: bool
    _taken: bool
    """Whether somebody takes it."""
    _collecting: tuple[int, Callable[[bytes | None], None]] | None
    """Who wants to look at how much of it before."""
    _held: HeldBody | None

    # What the channel tells.

    def body_received(self, data: bytes) -> bool:
        """More of the body came; return whether somebody takes it, so that reading may go on."""
        self.received += len(data)
        if self.max_body and self.received > self.max_body:
            self.break_off(GatewayError(BODY_TOO_LARGE, f"a request body larger than {self.max_body} bytes"))
            return True
        if self._held is not None:
            data = self._held.exchange(data)
        if self._taken and self._answerer is not None:
            if data:
                self._answerer.body_received(data)
            return True
        if self.finished:
            return False  # Its answer is on its way already, and nobody takes this any more.
        if data:
            self._keep(data)
        if self._collecting is not None and self.received > self._collecting[0]:
            self._collected()
        return self._collecting is not None or self._taken

    def _keep(self, data: bytes) -> None:
        body = self._body
        if body and len(body[-1]) < _CRUMB and len(data) < _CRUMB:
            # A client that sends crumbs must not fill memory with what holds them.
            body[-1] += data
        else:
            body.append(data)

    def body_ended(self) -> None:
        """The body is complete."""
        if self._held is not None and not self._let_go(self._held):
            return
        self._body_done = True
        if self._collecting is not None:
            self._collected()
        elif self._taken and self._answerer is not None:
            self._answerer.body_ended()

    def _let_go(self, held: HeldBody) -> bool:
        """Pass on what was held back of the body, if nothing is wrong with the whole."""
        self._held = None
        error = held.end()
        if error is not None:
            self.break_off(error)
            return False
        if self._taken and self._answerer is not None:
            self._answerer.body_received(held.last)
        else:
            self._body.append(held.last)
        return True

    def _await_no_more(self) -> None:
        """The request is over: nobody wants to look at more of its body."""
        if self._collecting is not None:
            self._collecting = None
            self.channel.body_awaited(-1)

    # What the rooms behind ask.

    def take_body(self) -> tuple[bytes, bool]:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        self._taken = True
        if self._body_done and not self._body:
            return b"", True
        data = b"".join(self._body)
        self._body.clear()
        if not self._body_done:
            self.channel.resume_body()
        return data, self._body_done

    def body_exceeds(self, limit: int) -> bool:
        """Whether the body is known to be longer than ``limit`` bytes."""
        return self.head.fields.length > limit or self.received > limit

    def peek_body(self, most: int, ready: Callable[[bytes | None], None]) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self._body_done or self.received > most or self.head.fields.length > most:
            ready(b"".join(self._body) if self._body_done and self.received <= most else None)
            return
        self._collect(most, ready)

    def await_body(self, least: int, ready: Callable[[], None]) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self._body_done or self.received >= least:
            ready()
            return
        self._collect(least - 1, lambda body: ready())

    def _collect(self, most: int, ready: Callable[[bytes | None], None]) -> None:
        self._collecting = (most, ready)
        self.channel.body_awaited(1)
        self.channel.resume_body()

    def _collected(self) -> None:
        """Enough of the body has come for who wanted to look at it; it still waits for who takes it."""
        assert self._collecting is not None
        (most, ready), self._collecting = self._collecting, None
        self.channel.body_awaited(-1)
        ready(b"".join(self._body) if self._body_done and self.received <= most else None)

    def check_body(self, check: BodyCheck) -> GatewayError | None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        held = HeldBody(check)
        for piece in self._body:
            check.take(piece)
        if self._body_done:
            return held.end()
        if self._body:
            held.last = self._body.pop()
        self._held = held
        return None

    def pause_body(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if not self.finished:
            self.channel.pause_body()

    def resume_body(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if not self.finished:
            self.channel.resume_body()
