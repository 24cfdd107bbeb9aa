"""One request over HTTP/2: its stream, as far as it is not the connection's.

The same request class, chain and proxy work on it as on a request over HTTP/1.1. Rules:

1. What a client sends is given back to its window only when it was passed on; so nobody waits for more than a window.
2. Of an answer no more waits here than :data:`ENOUGH` and what was on its way; then who answers is paused.
3. A stream that is not answered whole, or is answered more than whole, is reset: never a clean end.
4. A body that comes too slowly and a client that takes nothing have deadlines, as over HTTP/1.1.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from tracseq_gateway.errors import BAD_REQUEST, REQUEST_TIMEOUT, GatewayError
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.framing import CHUNKED, NO_BODY, answer_length
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.net.deadlines import Timer
from tracseq_gateway.server.body_reader import BodyRate
from tracseq_gateway.server.h2_heads import answer_fields
from tracseq_gateway.server.h2_outbox import FRAME
from tracseq_gateway.server.request import GatewayRequest

if TYPE_CHECKING:
    from tracseq_gateway.http.request_head import RequestHead
    from tracseq_gateway.server.h2_streams import Streams

ENOUGH = 65536
"""Bytes of an answer that may wait for the client before who answers is paused."""


class StreamChannel:
    """See :class:`tracseq_gateway.server.channel_face.Channel`."""

    __slots__ = (
        "_answer_left",
        "_answered",
        "_behind_tls",
        "_body_left",
        "_body_timer",
        "_expects_continue",
        "_holding",
        "_owed",
        "_pieces",
        "_rate",
        "_reading",
        "_streams",
        "_waiting",
        "_write_timer",
        "address",
        "ended",
        "is_malformed",
        "local_port",
        "number",
        "over",
        "request",
        "root",
        "secure",
        "tls",
        "via",
    )

    def __init__(
        self, streams: Streams, number: int, head: RequestHead, forwarded: bytes, length: int | None, ended: bool
    ) -> None:
        """``length``: bytes that the body must have, if it is known; ``ended``: none comes."""
        channel = streams.channel
        self._streams = streams
        self.number = number
        self.via = channel.via
        self.root = channel.root
        self.address = channel.address
        self.secure = channel.secure
        self.tls = channel.tls
        self.local_port = channel.local_port
        self._behind_tls = channel.forwarded.secure
        self.ended = ended
        """Whether the client has sent all of its request."""
        self.over = False
        self._answered = False
        """Whether all of the answer is here, if perhaps not sent."""
        self._expects_continue = head.fields.expects_continue and not ended
        self.is_malformed = False
        """Whether the client broke a rule after its head."""
        self._body_left = length
        self._owed = 0
        """Bytes that were received and not yet given back to the client's window."""
        self._reading = True
        self._rate: BodyRate | None = None
        self._body_timer: Timer | None = None
        self._write_timer: Timer | None = None
        self._pieces: deque[memoryview] = deque()
        self._waiting = 0
        """Bytes in the pieces."""
        self._holding = False
        self._answer_left: int = NO_BODY
        """Bytes of the answer that are to come, if it has said how many."""
        self.request = GatewayRequest(self, head, channel.forwarded.client, forwarded, streams.site.deadlines.now())
        if not ended and not self._expects_continue:
            # Else the client's time begins when it is told to go on.
            self._await_body()

    # What the client sends.

    def data_received(self, data: bytes, size: int, ended: bool) -> None:
        """A DATA frame came, of ``size`` bytes with its padding."""
        self._owed += size
        self.ended = ended
        self._expects_continue = False
        if self._body_left is not None:
            self._body_left -= len(data)
            if self._body_left < 0:
                self.malformed("more of a body than its Content-Length says")
                return
        taken = not data or self.request.body_received(data)
        if self.over:
            return
        if ended:
            self.body_ended()
        elif not taken:
            self.pause_body()
        elif self._reading:
            self._give_back()
            self._hold_to_rate(len(data))

    def body_ended(self) -> None:
        """The client has sent all of its request."""
        self.ended = True
        if self._body_timer is not None:
            self._body_timer.close()
        if self._body_left:
            self.malformed("less of a body than its Content-Length says")
            return
        if self._reading:
            self._give_back()
        self.request.body_ended()

    def malformed(self, detail: str) -> None:
        """The request cannot be completed: stop who works on it, and refuse it if that is still possible."""
        self.is_malformed = True
        if self._answered:
            self._streams.reset(self, ErrorCodes.PROTOCOL_ERROR)
        else:
            self.request.break_off(GatewayError(BAD_REQUEST, detail))

    def _await_body(self) -> None:
        site = self._streams.site
        if self._body_timer is None:
            self._body_timer = Timer(site.deadlines, self._body_is_late)
            self._rate = BodyRate(site.deadlines.now())
        elif self._rate is not None:
            self._rate.restart(site.deadlines.now())
        self._body_timer.start(site.limits.body_idle_seconds)

    def _hold_to_rate(self, size: int) -> None:
        site = self._streams.site
        if self._body_timer is None or self._rate is None:
            self._await_body()
            return
        self._body_timer.start(site.limits.body_idle_seconds)
        if self._rate.too_slow(size, site.deadlines.now(), site.limits):
            self.request.break_off(GatewayError(REQUEST_TIMEOUT, "the request body comes too slowly"))

    def _body_is_late(self) -> None:
        self.request.break_off(GatewayError(REQUEST_TIMEOUT, "the request body did not arrive in time"))

    def _give_back(self) -> None:
        if self._owed:
            owed, self._owed = self._owed, 0
            self._streams.give_back(self.number, owed)

    def pause_body(self) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        self._reading = False
        if self._body_timer is not None:
            self._body_timer.stop()

    def resume_body(self) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        if self.over:
            return
        self._reading = True
        if self._expects_continue:
            self._expects_continue = False
            self._streams.send_head(self.number, 100, [], False)
            self._streams.flush_soon()
        if not self.ended:
            self._await_body()
        self._give_back()

    def body_awaited(self, requests: int) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        self._streams.site.awaited += requests

    # The answer.

    def begin(self, request: GatewayRequest, head: OutgoingHead, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        if self.over:
            return
        length = head.length
        if done and length is None:
            length = len(data)
        self._answer_left = framed = answer_length(request.head.method, 1, head.status, length)
        bodiless = framed == NO_BODY
        fields = self._fields(request, head)
        if length is not None and head.status != 204 and (not bodiless or head.length is not None):
            fields.append((b"content-length", b"%d" % length))
        whole = done and (bodiless or not data)
        self._streams.send_head(self.number, head.status, fields, whole and framed <= 0)
        if whole and framed <= 0:
            self._answered = True
            self.all_sent()
        else:
            self._queue(data, done)
        self._streams.flush_soon()

    def send(self, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        if not self.over:
            self._queue(data, done)
            self._streams.flush_soon()

    def _queue(self, data: bytes, done: bool) -> None:
        if self._answer_left == NO_BODY:
            data = b""
        elif self._answer_left != CHUNKED:
            self._answer_left -= len(data)
            if self._answer_left < 0 or (done and self._answer_left):
                self._streams.reset(self, ErrorCodes.INTERNAL_ERROR, told=False)
                return
        if data:
            self._add(data)
        if done:
            self._answered = True
            if self._body_timer is not None:
                self._body_timer.close()
        if data or done:
            self._streams.wants_to_send(self)
        if self._waiting > ENOUGH and not done and not self._holding:
            self._holding = True
            self.request.pause_answer()

    def _add(self, data: bytes) -> None:
        pieces = self._pieces
        self._waiting += len(data)
        if pieces and len(pieces[-1]) + len(data) <= FRAME:
            # A service that answers in crumbs must not fill memory with what holds them.
            pieces[-1] = memoryview(bytes(pieces[-1]) + data)
        else:
            pieces.append(memoryview(data))

    def interim(self, head: OutgoingHead) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        if not self.over:
            self._streams.send_head(self.number, head.status, head.pairs, False)
            self._streams.flush_soon()

    def _fields(self, request: GatewayRequest, head: OutgoingHead) -> Fields:
        site, lines = self._streams.site, request.answer_lines
        if not head.of_service:
            lines += site.own_lines(self._behind_tls)
        elif self._behind_tls:
            lines += head.over_tls
        return answer_fields(head, request.request_id, site.date, lines)

    def switch(self, request: GatewayRequest, head: OutgoingHead, protocol: bytes) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`; asked for by CONNECT alone, see ``h2_tunnel``."""
        raise NotImplementedError("HTTP/2 has no Upgrade (RFC 9113 section 8.6)")

    def abort(self) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        if not self.over:
            self._streams.reset(self, ErrorCodes.INTERNAL_ERROR)

    # Sending, by turns with the other streams: see the outbox.

    def next_piece(self, room: int) -> tuple[bytes, bool] | None:
        """See :class:`tracseq_gateway.server.h2_outbox.Sender`."""
        if not self._pieces:
            return b"", True
        if room <= 0:
            self._watch_client()
            return None
        if self._write_timer is not None:
            self._write_timer.stop()
        piece = self._pieces.popleft()
        if len(piece) > room:
            self._pieces.appendleft(piece[room:])
            piece = piece[:room]
        self._waiting -= len(piece)
        return bytes(piece), self._answered and not self._pieces

    def piece_sent(self) -> bool:
        """See :class:`tracseq_gateway.server.h2_outbox.Sender`."""
        if self._holding and self._waiting <= ENOUGH // 2:
            self._holding = False
            self.request.resume_answer()
        return not self.over and (bool(self._pieces) or self._answered)

    def _watch_client(self) -> None:
        """The client has closed its window: it must open it again in time."""
        site = self._streams.site
        if self._write_timer is None:
            self._write_timer = Timer(site.deadlines, self._client_is_late)
        if not self._write_timer.running:
            self._write_timer.start(site.limits.write_idle_seconds)

    def _client_is_late(self) -> None:
        self._streams.reset(self, ErrorCodes.CANCEL, told=False)

    def all_sent(self) -> None:
        """See :class:`tracseq_gateway.server.h2_outbox.Sender`."""
        self._streams.answered(self)

    def close(self, *, told: bool) -> None:
        """The stream is over, and nothing of it must stay behind. ``told``: who answers knows."""
        self.over = True
        for timer in (self._body_timer, self._write_timer):
            if timer is not None:
                timer.close()
        self._give_back()
        self._pieces.clear()
        if not told and not self._answered:
            self.request.client_gone()
