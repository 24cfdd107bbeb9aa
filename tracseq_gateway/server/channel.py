"""HTTP/1.1 on one client connection: bytes in, requests out; answers in, bytes out.

Rules:

1. One request at a time. What a client sends ahead waits, at most :data:`AHEAD` bytes of it, with reading paused.
2. A head is parsed only when it is whole; what can never become a good one is refused at the first bad byte.
3. After a refusal nothing that the client sends is ever parsed: it is read and thrown away for a moment, so that a
   reset does not destroy the answer on its way, and then the connection is closed.
4. Every state but waiting for a service has a deadline of its own; waiting for a service has the service's.
5. An answer that cannot be completed is never ended as if it were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tracseq_gateway.errors import (
    BAD_REQUEST,
    REQUEST_TIMEOUT,
    GatewayError,
    RequestRefused,
    problem,
)
from tracseq_gateway.http.chunked import BadChunk, ChunkedDecoder
from tracseq_gateway.http.fields import FieldBlock
from tracseq_gateway.http.forwarding import ForwardedLines
from tracseq_gateway.http.framing import CHUNKED
from tracseq_gateway.http.message import HeadProbe, RequestHead, RequestParser
from tracseq_gateway.net.deadlines import Timer
from tracseq_gateway.server.request import GatewayRequest

if TYPE_CHECKING:
    from tracseq_gateway.net.transport import EagerServer
    from tracseq_gateway.server.site import GatewaySite

AHEAD = 65536
"""Bytes that may wait behind the request that is being answered."""
LINGER_SECONDS = 2.0
"""How long a refused connection is still read, so that its answer arrives."""
FIRST_REQUEST_SECONDS = 0.5
"""How long a drain waits for the first request of a new connection."""

_HEAD, _BODY, _ANSWERING, _LINGERING, _LOST = range(5)
"""Waiting for a head; reading a body; body complete, answer under way; refused; gone."""

_FOR_BODY, _FOR_AHEAD = 1, 2
"""Reasons to pause reading."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@implementer(IPushProducer)
class HTTPChannel(Protocol):
    """One client connection."""

    log = Logger()
    transport: EagerServer
    secure = False

    def __init__(self, site: GatewaySite) -> None:
        self.site = site
        self.via = site.via
        self.root = site.resource
        self.local_port = 0
        self._state = _HEAD
        self._request: GatewayRequest | None = None
        self._served = 0
        self._waiting = b""
        self._parse = RequestParser(site.head_limits, site.known).parse
        self._probe: HeadProbe | None = None
        self._skipped = False
        self._closing = False
        self._expects_close = False
        self._chunked = False
        self._bodiless = False
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self._expecting = False
        self._reading_paused = 0
        self._writing_paused = False
        self._pumping = False
        self._timer = Timer(site.deadlines, self._expired)
        self._write_timer: Timer | None = None
        self._unsent = 0
        self._window_start = 0.0
        self._window_bytes = 0

    # The transport calls.

    def connectionMade(self) -> None:
        """A client connected."""
        transport = self.transport
        host, peer = transport.getHost(), transport.getPeer()
        self.local_port = host.port
        self.forwarded = ForwardedLines(
            peer.host, b"https" if self.secure else b"http", host.port, self.site.trusted, self.via.encode("ascii")
        )
        transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        if self.site.opened(self):
            self._timer.start(self.site.limits.head_seconds)
        else:
            transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the client."""
        state = self._state
        if state == _BODY:
            self._body_data(data)
        elif state != _LINGERING:
            self._waiting = self._waiting + data if self._waiting else data
            if state == _HEAD:
                self._pump()
            if len(self._waiting) > AHEAD and (self._state == _ANSWERING or self._writing_paused):
                self._pause_reading(_FOR_AHEAD)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The client is gone."""
        self._state = _LOST
        self._timer.close()
        if self._write_timer is not None:
            self._write_timer.close()
        request, self._request = self._request, None
        if request is not None:
            self.site.request_ended()
            request.client_gone()
        self._waiting = b""
        self.site.closed(self)

    def pauseProducing(self) -> None:
        """The transport holds more than it should: the client reads slower than it is answered."""
        self._writing_paused = True
        self._watch_writing()
        if self._request is not None:
            self._request.pause_answer()

    def resumeProducing(self) -> None:
        """The transport has sent everything."""
        self._writing_paused = False
        if self._write_timer is not None:
            self._write_timer.stop()
        if self._request is not None:
            self._request.resume_answer()
        elif self._state == _HEAD:
            self._timer.start(self.site.limits.idle_seconds)
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

    def _head_data(self) -> bool:
        """Start the request whose head is at the front of what waits; return False if it is not whole yet."""
        data = self._waiting
        try:
            if data[0] == 0x0D:
                data = self._skip_empty_line(data)
                if not data:
                    return False
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                self._partial_head(data)
                return False
            raw = data if end == len(data) else data[:end]
            head = self._parse(raw)
        except RequestRefused as refusal:
            self._refuse(refusal.error)
            return False
        self._waiting = data[end:]
        self._probe = None
        self._skipped = False
        self._begin_request(head)
        return True

    def _skip_empty_line(self, data: bytes) -> bytes:
        """Skip one empty line before a request (RFC 9112 section 2.2); return what is left, if anything."""
        if len(data) == 1 and not self._skipped:
            return b""
        if self._skipped or data[1] != 0x0A or data[2:3] == b"\r":
            raise RequestRefused(BAD_REQUEST, "empty lines before the request line")
        self._skipped = True
        self._waiting = data[2:]
        return self._waiting

    def _partial_head(self, data: bytes) -> None:
        """Keep the beginning of a head, if it can still become a good one."""
        if self._probe is None:
            if self._served:
                # On a kept connection the time begins with the first byte; on a new one it has begun already.
                self._timer.start(self.site.limits.head_seconds)
            self._probe = HeadProbe(self.site.head_limits)
        self._probe.look(data)

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
        request = GatewayRequest(self, head, self.forwarded.client, forwarded)
        self._request = request
        site.active += 1
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
        self._expecting = expects_continue
        if length == CHUNKED:
            self._decoder = ChunkedDecoder()
        else:
            self._left = length
        self._restart_body_time()
        if expects_continue:
            # The client's time begins when it is told to go on.
            self._timer.stop()
        if self._waiting:
            data, self._waiting = self._waiting, b""
            self._body_data(data)

    def _body_data(self, data: bytes) -> None:
        request = self._request
        if request is None:
            return
        self._expecting = False
        decoder = self._decoder
        if decoder is None:
            piece = data if len(data) <= self._left else data[: self._left]
            self._left -= len(piece)
            ended = not self._left
            rest = data[len(piece) :] if ended else b""
        else:
            try:
                piece = decoder.feed(data)
            except BadChunk as fault:
                self._break_off(GatewayError(BAD_REQUEST, str(fault)))
                return
            ended = decoder.done
            rest = decoder.surplus
        if piece and not request.body_received(piece) and not ended and not self._pumping:
            # Nobody takes it yet. What came with the head may wait; more is not read.
            self.pause_body()
        if self._state != _BODY:
            return
        if ended:
            self._decoder = None
            self._state = _ANSWERING
            self._timer.stop()
            self._waiting = rest
            # Were reading still paused for the service's sake, nobody would notice the client leave.
            self._resume_reading(_FOR_BODY)
            request.body_ended()
        elif not self._reading_paused:
            self._count_body(len(data))

    def _count_body(self, size: int) -> None:
        """Hold the client to its least rate."""
        limits = self.site.limits
        self._timer.start(limits.body_idle_seconds)
        if not limits.body_rate:
            return
        self._window_bytes += size
        elapsed = self.site.deadlines.now() - self._window_start
        if elapsed >= limits.body_idle_seconds > 0:
            if self._window_bytes < limits.body_rate * elapsed:
                self._break_off(GatewayError(REQUEST_TIMEOUT, "the request body comes too slowly"))
                return
            self._window_start += elapsed
            self._window_bytes = 0

    def _restart_body_time(self) -> None:
        self._timer.start(self.site.limits.body_idle_seconds)
        self._window_start = self.site.deadlines.now()
        self._window_bytes = 0

    def _break_off(self, error: GatewayError) -> None:
        """The body cannot be completed: stop who works on it and refuse the request."""
        if self._request is not None:
            self._request.break_off(error)

    def pause_body(self) -> None:
        """Stop reading: nobody has room for more of the body."""
        if self._state == _BODY:
            self._pause_reading(_FOR_BODY)
            self._timer.stop()

    def resume_body(self) -> None:
        """Go on reading the body."""
        if self._state != _BODY:
            return
        if self._expecting:
            self._expecting = False
            self.transport.write(_CONTINUE)
        self._restart_body_time()
        self._resume_reading(_FOR_BODY)

    def _pause_reading(self, reason: int) -> None:
        if not self._reading_paused:
            self.transport.pauseProducing()
        self._reading_paused |= reason

    def _resume_reading(self, reason: int) -> None:
        if self._reading_paused & reason:
            self._reading_paused &= ~reason
            if not self._reading_paused:
                self.transport.resumeProducing()

    # Answers.

    def begin(
        self,
        request: GatewayRequest,
        status: int,
        reason: bytes,
        fields: FieldBlock,
        length: int | None,
        data: bytes,
        done: bool,
    ) -> None:
        """See :class:`tracseq_gateway.server.request.Channel`."""
        head = request.head
        if self._state == _BODY or self.site.draining:
            self._closing = True
        framing = b""
        self._bodiless = status in (204, 304) or head.method == b"HEAD"
        if self._bodiless:
            data = b""
            if length is not None and status != 204:
                framing = b"content-length: %d\r\n" % length
        elif length is not None or done:
            framing = b"content-length: %d\r\n" % (len(data) if length is None else length)
        elif head.minor:
            framing = b"transfer-encoding: chunked\r\n"
            self._chunked = True
            if data:
                data = b"%x\r\n%b\r\n" % (len(data), data)
        else:
            self._closing = True
        if self._closing:
            framing += b"connection: close\r\n"
        elif not head.minor:
            framing += b"connection: keep-alive\r\n"
        if not fields.dated:
            framing += b"date: %b\r\n" % self.site.date()
        self.transport.write(
            b"HTTP/1.1 %d %b\r\n%bx-request-id: %b\r\n%b\r\n%b"
            % (status, reason, fields.lines(), request.request_id, framing, data)
        )
        if done:
            self._answered()

    def send(self, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.server.request.Channel`."""
        if self._bodiless:
            data = b""
        elif self._chunked:
            if data:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            if done:
                data += b"0\r\n\r\n"
        if data:
            self.transport.write(data)
        if done:
            self._answered()

    def interim(self, status: int, reason: bytes, fields: FieldBlock) -> None:
        """See :class:`tracseq_gateway.server.request.Channel`."""
        if self._request is not None and self._request.head.minor:
            self.transport.write(b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, fields.lines()))

    def abort(self) -> None:
        """See :class:`tracseq_gateway.server.request.Channel`."""
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
        unread = self._state == _BODY
        self._end_request()
        self._chunked = False
        if self._closing or self.site.draining:
            if unread or (self._waiting and not self._expects_close):
                # The client is sending: an immediate close would be a reset (RFC 9112 section 9.6).
                self._linger()
            else:
                self._close()
            return
        self._state = _HEAD
        if not self._writing_paused:
            # Else the connection is idle only when the client has taken its answer.
            self._timer.start(self.site.limits.idle_seconds)
        self._go_on()

    def _go_on(self) -> None:
        """Take up what waits, and read on if there is room for more."""
        if self._waiting:
            self._pump()
        if self._reading_paused & _FOR_AHEAD:
            hungry = self._state == _HEAD and not self._writing_paused
            if hungry or len(self._waiting) <= AHEAD:
                self._resume_reading(_FOR_AHEAD)

    def _end_request(self) -> None:
        if self._request is not None:
            self._request = None
            self._decoder = None
            self.site.request_ended()

    def _refuse(self, error: GatewayError) -> None:
        """Answer bytes that are no request, and close."""
        self._state = _LINGERING
        self._waiting = b""
        request_id = self.site.new_request_id()
        fields, body = problem(error, request_id, self.via)
        self.transport.write(
            b"HTTP/1.1 %d %b\r\n%bdate: %b\r\nx-request-id: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (
                error.kind.status,
                error.kind.reason,
                FieldBlock(fields).lines(),
                self.site.date(),
                request_id,
                len(body),
                body,
            )
        )
        self._linger()

    def _close(self) -> None:
        """Close once everything is sent."""
        self._state = _LINGERING
        self._waiting = b""
        self._timer.stop()
        # A producer that is paused would keep the transport open: there is nothing left to produce.
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        if self.transport.unsent():
            self._watch_writing()

    def _linger(self) -> None:
        """Close in a way that lets the answer arrive although the client still sends."""
        self._state = _LINGERING
        self._waiting = b""
        self._resume_reading(_FOR_BODY | _FOR_AHEAD)
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()
        if self.transport.unsent():
            self._watch_writing()
        self._timer.start(LINGER_SECONDS)

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
        elif self._state == _LINGERING:
            if self.transport.unsent():
                # The answer is still on its way: what watches the writing decides.
                self._timer.start(LINGER_SECONDS)
            else:
                self.transport.abortConnection()

    def _watch_writing(self) -> None:
        """From now on the client must take something of its answer from time to time."""
        if self._write_timer is None:
            self._write_timer = Timer(self.site.deadlines, self._write_expired)
        self._unsent = self.transport.unsent()
        self._write_timer.start(self.site.limits.write_idle_seconds)

    def _write_expired(self) -> None:
        """Cut off a client that takes nothing of its answer; one that takes some may go on."""
        unsent = self.transport.unsent()
        if unsent < self._unsent and self._write_timer is not None:
            self._unsent = unsent
            self._write_timer.start(self.site.limits.write_idle_seconds)
            return
        self.transport.abortConnection()

    # Draining.

    def drain(self) -> None:
        """Close now if idle, else after the answer that is under way."""
        if self._state != _HEAD or self._waiting:
            return
        if self._served:
            self._close()
        else:
            # Its first request may be on the way already: it was let in a moment ago.
            self._timer.start(FIRST_REQUEST_SECONDS)

    def cut(self) -> bool:
        """Close whatever is under way; return whether a request was cut."""
        busy = self._request is not None
        self.transport.abortConnection()
        return busy
