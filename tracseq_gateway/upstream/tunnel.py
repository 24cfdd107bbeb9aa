"""A connection whose protocol was switched (RFC 9110 section 7.8): bytes both ways, until either side leaves.

Rules:

1. It begins with the service's own 101, which fits what the client asked for; before that nothing is passed on.
2. Whoever is full pauses the other side.
3. Silence in both directions ends it after a while, and so does its longest duration.
4. A WebSocket's client is told that it ends, between two frames: to go elsewhere (1001), or that its caller may no
   longer (1008). Nothing that it sends after the latter goes to the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracseq_gateway.config.upstream import Timeouts
from tracseq_gateway.errors import UNAUTHENTICATED, AnswerRefused, GatewayError
from tracseq_gateway.http.answer_head import AnswerHead
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.http.websocket import (
    GOING_AWAY,
    POLICY_VIOLATION,
    WEBSOCKET,
    FrameEnds,
    accept_of,
    close_frame,
)
from tracseq_gateway.interfaces import Request
from tracseq_gateway.net.deadlines import Deadlines, Timer

if TYPE_CHECKING:
    from tracseq_gateway.upstream.connection import UpstreamConnection
    from tracseq_gateway.upstream.instance import Instance
    from tracseq_gateway.upstream.service import UpstreamService

CLOSING_SECONDS = 5.0
"""How long the two ends of a WebSocket may take to close it once the client was told to leave."""


def check_switch(head: AnswerHead, protocol: bytes, asked: RequestHead) -> None:
    """Look at a service's 101; raises AnswerRefused if it does not fit what was asked for: ``protocol``, if any."""
    if not protocol or head.upgrade != protocol:
        raise AnswerRefused("a switch of protocols that nobody asked for")
    if protocol == WEBSOCKET and head.get(b"sec-websocket-accept") != accept_of(asked):
        raise AnswerRefused("an answer to another WebSocket handshake")


class Tunnel:
    """Stands in the place of the exchange that opened it: for the request, and for the connection."""

    __slots__ = (
        "_barred",
        "_connection",
        "_farewell",
        "_frames",
        "_idle",
        "_idle_seconds",
        "_instance",
        "_open",
        "_request",
        "_service",
        "_total",
    )

    method = b"GET"
    timeouts = Timeouts()
    upgrade = b""

    def __init__(
        self,
        request: Request,
        connection: UpstreamConnection,
        instance: Instance | None,
        deadlines: Deadlines,
        service: UpstreamService,
        *,
        websocket: bool,
    ) -> None:
        """``instance`` is the one that it leads to, and has it among its requests in flight until it ends."""
        self._request = request
        self._connection: UpstreamConnection | None = connection
        self._instance = instance
        self._frames = FrameEnds() if websocket else None
        self._farewell = b""
        """The Close frame that the client is told, or will be when the present frame has ended; empty: none yet."""
        self._barred = False
        """Whether the caller may no longer: nothing more of him is passed on."""
        self._open = True
        self._service = service
        service.tunnels += 1
        limits = service.settings.tunnels
        self._idle_seconds: float = limits.idle
        self._idle = Timer(deadlines, self._expired)
        self._idle.start(limits.idle)
        self._total = Timer(deadlines, self.leave)
        self._total.start(limits.total)

    def _over(self) -> UpstreamConnection | None:
        """It has ended; return the connection if that is still there."""
        connection, self._connection = self._connection, None
        if self._open:
            self._open = False
            self._service.tunnels -= 1
        self._idle.close()
        self._total.close()
        if self._instance is not None:
            self._instance.in_flight -= 1
            self._instance = None
        return connection

    # From the client.

    def body_received(self, data: bytes) -> None:
        """Pass on what the client sends."""
        if not self._farewell:
            self._idle.start(self._idle_seconds)
        if self._connection is not None and not self._barred:
            self._connection.send_more(data, False)

    def body_ended(self) -> None:
        """Never called: there is no end but that of the connection."""

    def client_gone(self) -> None:
        """The client has closed: what it sent last still goes out."""
        connection = self._over()
        if connection is not None:
            connection.hang_up()

    def pause(self) -> None:
        """The client reads slower than the service sends."""
        if self._connection is not None:
            self._connection.pause_answer()

    def resume(self) -> None:
        """The client has read what was sent."""
        if self._connection is not None:
            self._connection.resume_answer()

    def leave(self) -> None:
        """End it in an orderly way: at once, or for a WebSocket when its two ends have heard of it and closed."""
        if self._farewell:
            return
        self._say_goodbye(GOING_AWAY)

    def caller_ended(self, why: str) -> None:
        """End it, for who opened it may no longer; nothing more that he sends is passed on."""
        self._request.error = GatewayError(UNAUTHENTICATED, why)
        self._barred = True
        if self._farewell and self._frames is not None and self._frames.between:
            self._end()  # the client has been told to leave already
        else:
            self._say_goodbye(close_frame(POLICY_VIOLATION, why.encode("ascii")))

    def _say_goodbye(self, farewell: bytes) -> None:
        """Tell the client now, or when the frame has ended that it is being sent."""
        frames = self._frames
        self._farewell = farewell
        if frames is None:
            self._end()
            return
        self._total.stop()
        self._idle.start(CLOSING_SECONDS)
        self._part(frames, b"")

    def _part(self, frames: FrameEnds, last: bytes) -> None:
        """Send what of the service's still goes on, and if no frame is open then, the good-bye: unless the service has
        said its own."""
        if frames.between:
            last = last if frames.closed else last + self._farewell
            if self._barred:
                self._end(last)
                return
        if last:
            self._request.send(last, False)

    def _expired(self) -> None:
        """There was silence for too long, or the time for a good-bye is over."""
        if self._farewell:
            self._end()
        else:
            self.leave()

    def _end(self, last: bytes = b"") -> None:
        connection = self._over()
        if connection is not None:
            connection.hang_up()
        self._request.send(last, True)

    # From the service.

    def answer_data(self, data: bytes, done: bool) -> None:
        """Pass on what the service sends."""
        if not self._farewell:
            self._idle.start(self._idle_seconds)
            if self._frames is not None:
                self._frames.feed(data)
        elif self._frames is not None:
            self._finish_frame(self._frames, data)
            data = b""
        if done:
            self._over()
        if data or done:
            self._request.send(data, done)

    def _finish_frame(self, frames: FrameEnds, data: bytes) -> None:
        """There is a good-bye to say: of ``data`` only that goes on which is of a frame that has begun."""
        if not frames.between:
            self._part(frames, data[: frames.feed(data, to_end=True)])

    def broken(self, error: GatewayError) -> None:
        """The service's side broke off: all that came before was passed on."""
        self._over()
        self._request.send(b"", True)

    def pause_sending(self) -> None:
        """The service reads slower than the client sends."""
        self._request.pause_body()

    def resume_sending(self) -> None:
        """The service has room again."""
        self._request.resume_body()

    # Nothing of HTTP comes any more.

    def interim(self, head: AnswerHead) -> None:
        """Never called."""

    def answer(self, head: AnswerHead, data: bytes, done: bool) -> None:
        """Never called."""

    def switched(self, head: AnswerHead) -> Tunnel:
        """Never called."""
        return self
