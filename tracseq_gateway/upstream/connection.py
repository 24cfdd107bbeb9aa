"""One HTTP/1.1 connection to an instance of a service.

Rules:

1. One exchange at a time. Bytes that nobody asked for end the connection: they are never taken for an answer.
2. A connection serves again only after a whole request and a whole, well-framed answer.
3. It tells its exchange at most one ending: done, or an error.
4. When it serves no exchange it is reading, so that it notices the service closing it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tracseq_gateway.errors import (
    BAD_ANSWER,
    CLOSED_EARLY,
    IDLE_TIMEOUT,
    INCOMPLETE_ANSWER,
    RESPONSE_TIMEOUT,
    STALE_CONNECTION,
    WRITE_TIMEOUT,
    AnswerRefused,
    GatewayError,
)
from tracseq_gateway.http.answer_head import AnswerHead, AnswerParser, check_answer_start
from tracseq_gateway.http.chunked import BadChunk, ChunkedDecoder
from tracseq_gateway.http.framing import CHUNKED, UNTIL_CLOSE
from tracseq_gateway.net.deadlines import Deadlines, Timer
from tracseq_gateway.net.tls_failures import alert_words

if TYPE_CHECKING:
    from tracseq_gateway.config.upstream import Timeouts
    from tracseq_gateway.net.tls import TLSTransport
    from tracseq_gateway.net.transport import EagerClient
    from tracseq_gateway.upstream.pool import Pool

MAX_INTERIM = 16
"""Interim answers (1xx) before the final one."""

PARTING_SECONDS = 5.0
"""How long a service may take to close a connection on which nothing more comes from here."""

_IDLE, _HEAD, _BODY, _PARTING, _LOST = range(5)


class Receiver(Protocol):
    """The exchange that a connection serves."""

    method: bytes
    timeouts: Timeouts

    def switched(self, head: AnswerHead) -> Receiver:
        """The service switches protocols: return who receives from now on. Raises AnswerRefused if nobody asked."""

    def interim(self, head: AnswerHead) -> None:
        """An interim answer came."""

    def answer(self, head: AnswerHead, data: bytes, done: bool) -> None:
        """The answer's head came, with the first bytes of its body; ``done`` if that is all."""

    def answer_data(self, data: bytes, done: bool) -> None:
        """More of the answer's body came."""

    def broken(self, error: GatewayError) -> None:
        """The connection can bring no whole answer; it is closed."""

    def resume_sending(self) -> None:
        """The connection takes the request body again."""

    def pause_sending(self) -> None:
        """The connection can take no more of the request body for now."""


class UpstreamConnection(TwistedProtocol):
    """See the module."""

    transport: EagerClient | TLSTransport
    _timeouts: Timeouts
    """Of the exchange that it serves."""

    def __init__(self, pool: Pool, deadlines: Deadlines) -> None:
        self.pool = pool
        self.used = False
        """Whether it has served before."""
        self._timer = Timer(deadlines, self._expired)
        self._state = _IDLE
        self._exchange: Receiver | None = None
        self._parse = AnswerParser(pool.known).parse
        self._partial = b""
        self._interims = 0
        self._left = 0
        self._silence = 0.0
        """How long the service may be silent within the present answer; 0: for ever."""
        self._decoder: ChunkedDecoder | None = None
        self._reusable = False
        self._sending = False
        self._heard = False
        self._paused = False

    # The exchange calls.

    def send(self, exchange: Receiver, data: bytes, whole: bool) -> None:
        """Serve an exchange: send its head and the first bytes of its body; ``whole`` if that is all of it."""
        self._exchange = exchange
        self._timeouts = exchange.timeouts
        self._state = _HEAD
        self._interims = 0
        self._heard = False
        self._sending = not whole
        if whole:
            self._timer.start(self._timeouts.response)
        else:
            self._timer.stop()
            self.transport.registerProducer(_Sender(self, exchange), True)
        self.transport.write(data)

    def send_more(self, data: bytes, whole: bool) -> None:
        """Send more of the request body, framed already."""
        if data:
            self.transport.write(data)
        if whole and self._sending:
            self._stop_sending()
            if self._state == _HEAD:
                self._timer.start(self._timeouts.response)

    def sending_stalled(self, stalled: bool) -> None:
        """The service takes no more of the request body for now, or takes it again."""
        if self._state == _HEAD:
            self._timer.start(self._timeouts.idle if stalled else 0.0)

    def _stop_sending(self) -> None:
        self._sending = False
        self.transport.unregisterProducer()

    def abort(self) -> None:
        """Give the exchange up: its client is gone, or the answer cannot be passed on."""
        self._exchange = None
        self._close()

    def pause_answer(self) -> None:
        """Read no more of the answer for now."""
        if not self._paused and self._state == _BODY:
            self._paused = True
            self._timer.stop()
            self.transport.pauseProducing()

    def resume_answer(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self._timer.start(self._silence)
            self.transport.resumeProducing()

    def expire_after(self, seconds: float) -> None:
        """Close if it stays unused for so long. The pool calls this."""
        self._timer.start(seconds)

    # The transport calls.

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the service."""
        state = self._state
        try:
            if state == _BODY:
                self._body(data)
            elif state == _HEAD:
                self._head(data)
            elif state != _PARTING:
                self._close()
        except (AnswerRefused, BadChunk) as fault:
            error = fault.error if isinstance(fault, AnswerRefused) else GatewayError(BAD_ANSWER, str(fault))
            self._break(error)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The service closed the connection, or it broke, or we closed it."""
        clean = reason is None or reason.check(ConnectionDone) is not None
        state, self._state = self._state, _LOST
        self._timer.close()
        self.pool.lost(self)
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if state == _BODY and self._left == UNTIL_CLOSE and clean:
            exchange.answer_data(b"", True)
        else:
            exchange.broken(self._loss(state, "" if clean else alert_words(reason)))

    def _loss(self, state: int, alert: str) -> GatewayError:
        """Say what a lost connection means for the exchange that it served; ``alert`` is why TLS ended it, if it did.

        Of TLS 1.3, a service that does not accept our certificate says so only now.
        """
        if state == _BODY:
            return GatewayError(INCOMPLETE_ANSWER, "the service broke its answer off")
        if self._heard:
            return GatewayError(INCOMPLETE_ANSWER, "the service broke off within the head of its answer")
        if self.used:
            return GatewayError(STALE_CONNECTION, "the service closed the connection")
        return GatewayError(CLOSED_EARLY, "the service closed the connection without an answer", note=alert)

    # Answers.

    def _head(self, data: bytes) -> None:
        self._heard = True
        if self._partial:
            data = self._partial + data
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self._partial_head(data)
            return
        exchange = self._exchange
        if exchange is None:
            self._close()
            return
        head = self._parse(data if end == len(data) else data[:end], exchange.method)
        self._partial = b""
        rest = data[end:]
        if head.status < 200:
            self._interim(exchange, head, rest)
            return
        length = head.length
        self._reusable = head.keep_alive
        if length >= 0:
            size = len(rest)
            if size >= length:
                if size > length:
                    self._reusable = False
                    rest = rest[:length]
                self._done()
                exchange.answer(head, rest, True)
                return
            self._left = length - size
        elif length == CHUNKED:
            self._decoder = decoder = ChunkedDecoder()
            rest = decoder.feed(rest) if rest else b""
            if decoder.done:
                self._finish_chunked(decoder)
                exchange.answer(head, rest, True)
                return
        else:
            self._left = UNTIL_CLOSE
        self._state = _BODY
        self._silence = self._timeouts.events if head.events else self._timeouts.idle
        self._timer.start(self._silence)
        exchange.answer(head, rest, False)

    def _partial_head(self, data: bytes) -> None:
        """Keep a head that is not whole, if it can still become a good one."""
        check_answer_start(data)
        self._partial = data

    def _interim(self, exchange: Receiver, head: AnswerHead, rest: bytes) -> None:
        if head.status == 101:
            self._switch(exchange, head, rest)
            return
        self._interims += 1
        if self._interims > MAX_INTERIM:
            raise AnswerRefused("too many interim answers")
        exchange.interim(head)
        if rest and self._exchange is exchange:
            self._head(rest)

    def _switch(self, exchange: Receiver, head: AnswerHead, rest: bytes) -> None:
        """From now on both directions are streams that end with the connection."""
        self._timer.stop()
        self._reusable = False
        self._state, self._left = _BODY, UNTIL_CLOSE
        # Who receives from now on looks to the time: bytes in either direction count.
        self._silence = 0.0
        receiver = exchange.switched(head)
        self.pool.lost(self)
        if self._state != _BODY:
            return  # it has ended already
        self._exchange = receiver
        self._sending = True
        self.transport.registerProducer(_Sender(self, receiver), True)
        if rest:
            receiver.answer_data(rest, False)

    def hang_up(self) -> None:
        """Say that no more comes, once all is sent. What the service still sends is read and thrown away, so that no
        reset destroys what is on its way to it."""
        self._exchange = None
        self._state = _PARTING
        if self._sending:
            self._stop_sending()
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
        self.transport.loseWriteConnection()
        self._timer.start(PARTING_SECONDS)

    def _body(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self._close()
            return
        decoder = self._decoder
        if decoder is not None:
            data = decoder.feed(data)
            done = decoder.done
            if done:
                self._finish_chunked(decoder)
        elif self._left == UNTIL_CLOSE:
            done = False
        else:
            size = len(data)
            if size > self._left:
                self._reusable = False
                data = data[: self._left]
            self._left -= len(data)
            done = not self._left
            if done:
                self._done()
        if not done and not self._paused:
            self._timer.start(self._silence)
        if data or done:
            exchange.answer_data(data, done)

    def _finish_chunked(self, decoder: ChunkedDecoder) -> None:
        if decoder.surplus:
            self._reusable = False
        self._decoder = None
        self._done()

    def _done(self) -> None:
        """The answer is whole: serve again, or close."""
        self._exchange = None
        self._state = _IDLE
        self._timer.stop()
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()
        if self._sending or self.transport.unsent():
            # The answer came before the service had taken the whole request: what is left of it is not sent.
            self._close()
        elif self._reusable:
            self.used = True
            self.pool.give(self)
        else:
            self.pool.lost(self)
            self.transport.loseConnection()

    def _break(self, error: GatewayError) -> None:
        exchange, self._exchange = self._exchange, None
        self._close()
        if exchange is not None:
            exchange.broken(error)

    def _close(self) -> None:
        """Close at once; whatever comes is not read."""
        self._timer.stop()
        self._state = _IDLE
        self._decoder = None
        if self._sending:
            self._stop_sending()
        self.pool.lost(self)
        self.transport.abortConnection()

    def _expired(self) -> None:
        """The deadline of the present state has passed."""
        if self._state == _HEAD and self._sending:
            self._break(GatewayError(WRITE_TIMEOUT, "the service stopped taking the request"))
        elif self._state == _HEAD:
            self._break(GatewayError(RESPONSE_TIMEOUT, "the service did not answer in time"))
        elif self._state == _BODY:
            self._break(GatewayError(IDLE_TIMEOUT, "the service fell silent within its answer"))
        elif self._state == _PARTING:
            self._close()
        elif self._state == _IDLE:
            self.pool.lost(self)
            self.transport.loseConnection()


@implementer(IPushProducer)
class _Sender:
    """The exchange's body as a producer for the transport."""

    __slots__ = ("_connection", "_exchange")

    def __init__(self, connection: UpstreamConnection, exchange: Receiver) -> None:
        self._connection = connection
        self._exchange = exchange

    def pauseProducing(self) -> None:
        self._connection.sending_stalled(True)
        self._exchange.pause_sending()

    def resumeProducing(self) -> None:
        self._connection.sending_stalled(False)
        self._exchange.resume_sending()

    def stopProducing(self) -> None:
        """The transport is going away; ``connectionLost`` follows."""
