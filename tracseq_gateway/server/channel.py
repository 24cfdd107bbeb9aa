"""HTTP/1.1 on one client connection: bytes in, requests out; answers in, bytes out.

Rules:

1. One request at a time. What a client sends ahead waits, with reading paused once it is more than :data:`AHEAD`.
2. A head is parsed only when it is whole; what can never become a good one is refused at the first bad byte.
3. After a refusal nothing that the client sends is ever parsed: it is read and thrown away for a moment, so that a
   reset does not destroy the answer on its way, and then the connection is closed.
4. Every state but waiting for a service has a deadline of its own; waiting for a service has the service's.
5. An answer that cannot be completed is never ended as if it were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from tracseq_gateway.errors import (
    BAD_REQUEST,
    REQUEST_TIMEOUT,
    GatewayError,
    RequestRefused,
)
from tracseq_gateway.http.chunked import BadChunk
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.net.deadlines import Timer
from tracseq_gateway.server.answer_writer import CONTINUE, AnswerWriter
from tracseq_gateway.server.arrival import DIRECT, Arrival
from tracseq_gateway.server.body_reader import BodyReader
from tracseq_gateway.server.client_channel import ClientChannel
from tracseq_gateway.server.farewell import Farewell
from tracseq_gateway.server.head_reader import HeadReader
from tracseq_gateway.server.read_gate import FOR_AHEAD, FOR_BODY
from tracseq_gateway.server.repeated import RepeatedRefusal
from tracseq_gateway.server.request import GatewayRequest, new_request_id

if TYPE_CHECKING:
    from tracseq_gateway.server.site import GatewaySite

AHEAD = 65536
"""Bytes that may wait behind the request that is being answered; the read that passes them is the last."""
DRAIN_IDLE_SECONDS = 0.1
"""How long a drain leaves an idle connection open: a request that has arrived is read within it, and answered."""
FIRST_REQUEST_SECONDS = 0.5
"""The same for a connection that has brought no request yet."""

_HEAD, _BODY, _ANSWERING, _LINGERING, _TUNNEL, _LOST = range(6)
"""Waiting for a head; reading a body; body complete, answer under way; refused; another protocol is spoken; gone."""


@implementer(IPushProducer)
class HTTPChannel(ClientChannel):
    """One client connection."""

    def __init__(self, site: GatewaySite, arrival: Arrival = DIRECT) -> None:
        super().__init__(site, arrival)
        self._state = _HEAD
        self._request: GatewayRequest | None = None
        self._served = 0
        self._raw = b""
        self._repeated: RepeatedRefusal | None = None
        self._waiting = b""
        self._heads = HeadReader(site.head_limits, site.known)
        self._body: BodyReader | None = None
        self._writer = AnswerWriter(site.via, site.date, site.own_lines)
        self._closing = False
        self._expects_close = False
        self._expects_continue = False
        self._writing_paused = False
        self._pumping = False
        self._timer = Timer(site.deadlines, self._expired)
        self._farewell = Farewell(site.deadlines, site.limits.write_idle_seconds)

    # The transport calls.

    def connectionMade(self) -> None:
        """A client connected."""
        seconds = self._take_over()
        if seconds:
            self._timer.start(seconds)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the client."""
        state = self._state
        if state == _BODY:
            self._body_data(data)
        elif state == _TUNNEL:
            if self._request is not None:
                self._request.body_received(data)
        elif state != _LINGERING:
            self._waiting = self._waiting + data if self._waiting else data
            if state == _HEAD:
                self._pump()
        if len(self._waiting) > AHEAD and (self._state == _ANSWERING or self._writing_paused):
            self._reading.close(FOR_AHEAD)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The client is gone."""
        self._state = _LOST
        self._timer.close()
        self._farewell.lost()
        request, self._request = self._request, None
        if request is not None:
            request.client_gone()
            self.site.request_ended(request)
        self._waiting = b""
        self.site.closed(self)

    def pauseProducing(self) -> None:
        """The transport holds more than it should: the client reads slower than it is answered."""
        self._writing_paused = True
        self._farewell.watch(self.transport)
        if self._request is not None:
            self._request.pause_answer()

    def resumeProducing(self) -> None:
        """The transport has sent everything."""
        self._writing_paused = False
        self._farewell.all_sent()
        if self._request is not None:
            self._request.resume_answer()
        elif self._state == _HEAD:
            self._await_request()
            self._go_on()

    def stopProducing(self) -> None:
        """The transport is going away; ``connectionLost`` follows."""

    # Heads.

    def _pump(self) -> None:
        """Take up what waits, one request after the other, without recursion."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._state == _HEAD and self._waiting and not self._writing_paused:
                if not self._head_data():
                    break
        finally:
            self._pumping = False
        if self._reading.reasons:
            self._read_on()

    def _head_data(self) -> bool:
        """Start the request whose head is at the front of what waits; return False if it is not whole yet."""
        if self._repeated is not None and self._refuse_again(self._repeated):
            return True
        begun = self._heads.begun
        self._raw = self._waiting
        try:
            head, self._waiting = self._heads.take(self._waiting)
        except RequestRefused as refusal:
            self._refuse(refusal.error)
            return False
        if head is not None:
            self._begin_request(head)
            return True
        if self._served and self._heads.begun and not begun:
            # On a kept connection the time begins with the first byte; on a new one it has begun already.
            self._timer.start(self.site.limits.head_seconds)
        return False

    def _refuse_again(self, refusal: RepeatedRefusal) -> bool:
        """Answer what waits as its like was answered before, if that is still right."""
        site, now = self.site, self.site.deadlines.now()
        if (
            not refusal.fits(self._waiting, now)
            or site.draining
            or self._served + 1 == site.limits.requests_per_connection
        ):
            self._repeated = None
            return False
        self._waiting = b""
        self._served += 1
        self.transport.write(refusal.again(new_request_id(), now))
        self._timer.start(site.limits.idle_seconds)
        site.refused_again(refusal.request)
        return True

    def _begin_request(self, head: RequestHead) -> None:
        site, fields = self.site, head.fields
        self._expects_close = not fields.keep_alive
        self._timer.stop()
        self._served += 1
        if (
            not fields.keep_alive
            or site.draining
            or fields.upgrade
            or self._served == site.limits.requests_per_connection
        ):
            self._closing = True
        forwarded = self.forwarded.lines(head)
        request = GatewayRequest(self, head, self.forwarded.client, forwarded, site.deadlines.now())
        self._request = request
        site.request_began()
        if fields.length:
            self._begin_body(fields.length, fields.expects_continue)
        else:
            self._state = _ANSWERING
        if not request.finished:
            request.process()

    # Bodies.

    def _begin_body(self, length: int, expects_continue: bool) -> None:
        """Set out to read a body, and take what of it came with the head."""
        self._state = _BODY
        self._expects_continue = expects_continue
        self._body = BodyReader(length, self.site.deadlines.now())
        if not expects_continue:
            # Else the client's time begins when it is told to go on.
            self._timer.start(self.site.limits.body_idle_seconds)
        if self._waiting:
            data, self._waiting = self._waiting, b""
            self._body_data(data)

    def _body_data(self, data: bytes) -> None:
        request, body = self._request, self._body
        if request is None or body is None:
            return
        self._expects_continue = False
        try:
            piece = body.feed(data)
        except BadChunk as fault:
            self._break_off(GatewayError(BAD_REQUEST, str(fault)))
            return
        if piece and not request.body_received(piece) and not body.ended and not self._pumping:
            # Nobody takes it yet. What came with the head may wait; more is not read.
            self.pause_body()
        if self._state != _BODY:
            return
        if body.ended:
            self._body = None
            self._state = _ANSWERING
            self._timer.stop()
            self._waiting = body.rest
            # Were reading still paused for the service's sake, nobody would notice the client leave.
            self._reading.open(FOR_BODY)
            request.body_ended()
        elif not self._reading.reasons:
            self._timer.start(self.site.limits.body_idle_seconds)
            if body.too_slow(len(data), self.site.deadlines.now(), self.site.limits):
                self._break_off(GatewayError(REQUEST_TIMEOUT, "the request body comes too slowly"))

    def _break_off(self, error: GatewayError) -> None:
        """The body cannot be completed: stop who works on it and refuse the request."""
        if self._request is not None:
            self._request.break_off(error)

    def pause_body(self) -> None:
        """Stop reading: nobody has room for more of the body."""
        if self._state in (_BODY, _TUNNEL):
            self._reading.close(FOR_BODY)
            self._timer.stop()

    def body_awaited(self, requests: int) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        self.site.awaited += requests

    def resume_body(self) -> None:
        """Go on reading the body."""
        if self._state == _TUNNEL:
            self._reading.open(FOR_BODY)
        if self._state != _BODY or self._body is None:
            return
        if self._expects_continue:
            self._expects_continue = False
            self.transport.write(CONTINUE)
        self._timer.start(self.site.limits.body_idle_seconds)
        self._body.restart(self.site.deadlines.now())
        self._reading.open(FOR_BODY)

    # Answers.

    def begin(self, request: GatewayRequest, head: OutgoingHead, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        closing = self._closing or self._state == _BODY or self.site.draining
        written, self._closing = self._writer.begin(
            request.head, request.request_id, head, request.answer_lines, data, done, closing, self.forwarded.secure
        )
        self.transport.write(written)
        if (
            done
            and request.repeat is not None
            and not self._waiting
            and not self._closing
            and not request.head.fields.length
        ):
            self._repeated = RepeatedRefusal(self._raw, written, request, request.repeat)
        if done:
            self._answered()

    def send(self, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        written = self._writer.more(data, done)
        if written:
            self.transport.write(written)
        if done:
            self._answered()

    def switch(self, request: GatewayRequest, head: OutgoingHead, protocol: bytes) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        self.site.tunnels += 1
        self._state = _TUNNEL
        self._reading.open(FOR_AHEAD)
        self.transport.write(self._writer.switch(request.request_id, head, request.answer_lines, protocol))
        data, self._waiting = self._waiting, b""
        if data:
            request.body_received(data)
        if self.site.hurried:
            request.leave()

    def interim(self, head: OutgoingHead) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        if self._request is not None and self._request.head.minor:
            self.transport.write(self._writer.interim(head))

    def abort(self) -> None:
        """See :class:`tracseq_gateway.server.channel_face.Channel`."""
        framed = self._request is not None and self._request.head.minor
        self._end_request()
        if framed:
            # What was sent may arrive: the missing end tells that it is not whole.
            self._close()
        else:
            self._state = _LINGERING
            self.transport.abortConnection()

    def _answered(self) -> None:
        """The answer is complete: go on with the next request, or close."""
        unread = self._state in (_BODY, _TUNNEL)
        self._end_request()
        if self._closing:
            if unread or (self._waiting and not self._expects_close):
                # The client is sending: an immediate close would be a reset (RFC 9112 section 9.6).
                self._linger()
            else:
                self._close()
            return
        self._state = _HEAD
        if not self._writing_paused:
            # Else the connection is idle only when the client has taken its answer.
            self._await_request()
        self._go_on()

    def _await_request(self) -> None:
        """The connection is idle from now on."""
        self._timer.start(self.site.limits.idle_seconds)
        if self.site.hurried:
            self.drain()  # not at once: the answer began before that, so its client may be sending the next request

    def _go_on(self) -> None:
        """Take up what waits, and read on if there is room for more."""
        if self._pumping:
            return  # It goes on by itself, and only then it is known how much still waits.
        if self._waiting:
            self._pump()
        elif self._reading.reasons:
            self._read_on()

    def _read_on(self) -> None:
        """Read again if that was ended for too much that waited, and it does so no more."""
        if self._reading.reasons & FOR_AHEAD:
            hungry = self._state == _HEAD and not self._writing_paused
            if hungry or len(self._waiting) <= AHEAD:
                self._reading.open(FOR_AHEAD)

    def _end_request(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            self._body = None
            self.site.request_ended(request)

    def _refuse(self, error: GatewayError) -> None:
        """Answer bytes that are no request, and close."""
        self._state = _LINGERING
        self._waiting = b""
        request_id = new_request_id()
        # Whatever is wrong with the rest, who begins so expects no body (RFC 9110 section 9.3.2).
        bodiless = self._raw.lstrip(b"\r\n").startswith(b"HEAD ")
        self.transport.write(self._writer.refusal(error, request_id, secure=self.secure, bodiless=bodiless))
        self.site.head_refused(self, self.forwarded.client, error, request_id)
        self._linger()

    def _close(self) -> None:
        """Close once everything is sent."""
        self._state = _LINGERING
        self._waiting = b""
        self._timer.stop()
        self._farewell.close(self.transport)

    def _linger(self) -> None:
        """Close in a way that lets the answer arrive although the client still sends."""
        self._state = _LINGERING
        self._waiting = b""
        self._timer.stop()
        self._reading.open(FOR_BODY | FOR_AHEAD)
        self._farewell.linger(self.transport)

    # Deadlines.

    def _expired(self) -> None:
        """The deadline of the present state has passed."""
        if self._state == _HEAD:
            if self._waiting:
                self._refuse(GatewayError(REQUEST_TIMEOUT, "the request head did not arrive in time"))
            else:
                self._close()
        elif self._state == _BODY:
            self._break_off(GatewayError(REQUEST_TIMEOUT, "the request body did not arrive in time"))

    # Draining.

    def drain(self) -> None:
        """Close if idle and no request is on its way, else after its answer."""
        if self._state == _TUNNEL and self._request is not None:
            self._request.leave()
        elif self._state == _HEAD and not self._waiting:
            self._timer.start(DRAIN_IDLE_SECONDS if self._served else FIRST_REQUEST_SECONDS)

    def cut(self) -> bool:
        """Close whatever is under way; return whether a request was cut."""
        busy = self._request is not None
        if self._request is not None:
            self._request.cut()
        self.transport.abortConnection()
        return busy
