"""A WebSocket on a stream of HTTP/2 (RFC 8441): a CONNECT that is answered by bytes both ways.

To everybody behind, it is the request that opens a WebSocket over HTTP/1.1, with a key of ours.
"""

from __future__ import annotations

from h2.errors import ErrorCodes

from tracseq_gateway.http.framing import CHUNKED
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.net.deadlines import Timer
from tracseq_gateway.server.h2_stream import StreamChannel
from tracseq_gateway.server.request import GatewayRequest

CLOSING_SECONDS = 5.0
"""How long the service may take to close a tunnel behind its client."""
_OF_THE_SWITCH = frozenset({b"sec-websocket-accept", b"upgrade", b"connection"})
"""Fields of a 101 that say nothing here."""


class TunnelStream(StreamChannel):
    """Before the service's 101 a request like any other, which has no body; then a tunnel."""

    __slots__ = ()

    def data_received(self, data: bytes, size: int, ended: bool) -> None:
        """Pass on what the client sends."""
        self._owed += size
        if not self.request.begun:
            self.malformed("DATA on a CONNECT that is not answered")
            return
        if data:
            self.request.body_received(data)
        if self.over:
            return
        if ended:
            self.body_ended()
        elif self._reading:
            self._give_back()

    def body_ended(self) -> None:
        """The client has said its last byte: what it sent goes out, and the service may still say good-bye."""
        self.ended = True
        self._body_timer = Timer(self._streams.site.deadlines, self._closed)
        self._body_timer.start(CLOSING_SECONDS)

    def _closed(self) -> None:
        self._streams.reset(self, ErrorCodes.NO_ERROR, told=False)

    def _await_body(self) -> None:
        """How long a tunnel may be silent is its own to say."""

    def begin(self, request: GatewayRequest, head: OutgoingHead, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`: the service does not want a WebSocket."""
        if head.status < 300 and not self.over:
            # To the client this would be a tunnel; and it is none.
            self._streams.reset(self, ErrorCodes.INTERNAL_ERROR, told=False)
        else:
            super().begin(request, head, data, done)

    def switch(self, request: GatewayRequest, head: OutgoingHead, protocol: bytes) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        self._streams.site.tunnels += 1
        self._answer_left = CHUNKED
        fields = [field for field in self._fields(request, head) if field[0] not in _OF_THE_SWITCH]
        self._streams.send_head(self.number, 200, fields, False)
        self._streams.flush_soon()
