"""A request that came from nobody, and the channel that would carry its answer."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.resource import IResource

from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.interfaces import Request, TlsFacts
from tracseq_gateway.server.answer_writer import AnswerWriter
from tracseq_gateway.server.request import GatewayRequest
from tracseq_gateway.service.explain.parts import Parts


class RehearsedChannel:
    """Writes the answer down; see ``server.channel_face.Channel``."""

    def __init__(self, parts: Parts, address: str) -> None:
        """``address`` is where the connection would come from."""
        site = parts.site
        self.address = address
        self.via = site.via
        self.root: IResource = parts.site.resource
        self.secure = False
        self.tls: TlsFacts | None = None
        self.local_port = parts.config.gateway.port
        self.answer = b""
        """What the client would have got."""
        self.told: Callable[[], None] = lambda: None
        """Called when there is an answer."""
        self._writer = AnswerWriter(site.via, site.date, site.own_lines)

    def begin(self, request: GatewayRequest, head: OutgoingHead, data: bytes, done: bool) -> None:
        """Write a head and the first of a body."""
        closing = not request.head.fields.keep_alive
        self.answer, _ = self._writer.begin(
            request.head, request.request_id, head, request.answer_lines, data, done, closing, self.secure
        )
        self.told()

    def send(self, data: bytes, done: bool) -> None:
        """Nobody sends more: what answers here says all at once."""

    def switch(self, request: GatewayRequest, head: OutgoingHead, protocol: bytes) -> None:
        """No service answers."""

    def interim(self, head: OutgoingHead) -> None:
        """No service answers."""

    def abort(self) -> None:
        """There is no connection."""

    def pause_body(self) -> None:
        """No body comes."""

    def resume_body(self) -> None:
        """No body comes."""

    def body_awaited(self, requests: int) -> None:
        """Nobody counts."""


class RehearsedRequest(GatewayRequest):
    """Passes the doors like any other, but what is to be done at its end is only noted, and its body never comes.

    ``channel`` and ``began`` as for every request. A body that is announced counts as one that will come, save where
    somebody wants to look into it: that is said by :attr:`withheld`.
    """

    channel: RehearsedChannel

    def __init__(self, channel: RehearsedChannel, head: RequestHead, client: str, forwarded: bytes, now: float) -> None:
        super().__init__(channel, head, client, forwarded, now)
        self.endings: list[Callable[[Request], None]] = []
        """What would be called at its end."""
        self.withheld = False
        """Whether somebody wanted to see a body that is not known."""

    def at_end(self, ended: Callable[[Request], None]) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        self.endings.append(ended)

    def release(self) -> None:
        """Do what was to be done at the end, now."""
        endings, self.endings = self.endings, []
        for ended in endings:
            ended(self)

    def await_body(self, least: int, ready: Callable[[], None]) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        ready()

    def peek_body(self, most: int, ready: Callable[[bytes | None], None]) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self._body_done or self.body_exceeds(most):
            super().peek_body(most, ready)
        else:
            self.withheld = True
            self.channel.told()
