"""The last stage of a request to a service: one exchange, from choosing an instance to the last byte of the answer.

Rules:

1. An attempt is repeated only when nothing of it can have acted: no connection came about (then on another instance),
   or a kept connection turned out closed, without a byte of an answer, and the method is idempotent (then once, on a
   new connection; RFC 9110 section 9.2.2).
2. Bodies flow past: a piece is passed on when it comes, and whoever is full pauses the other side.
3. A client that leaves ends the attempt at once; that is never held against the instance.
4. Once bytes of an answer are out, a failure cuts the client's connection: no answer is ended that is not whole.
"""

from __future__ import annotations

from collections.abc import Callable

from tracseq_gateway.errors import NO_INSTANCE, QUEUE_TIMEOUT, TOTAL_TIMEOUT, GatewayError
from tracseq_gateway.http.answer_head import AnswerHead
from tracseq_gateway.http.forwarding import AnswerRules, outgoing_head, request_head
from tracseq_gateway.http.framing import CHUNKED
from tracseq_gateway.interfaces import Request
from tracseq_gateway.net.deadlines import Deadlines, Timer
from tracseq_gateway.upstream.connection import UpstreamConnection
from tracseq_gateway.upstream.service import Instance, UpstreamService

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


class Proxy:
    """Forwards the requests of one route to one service."""

    def __init__(
        self,
        service: UpstreamService,
        upstream_path: Callable[[bytes], bytes],
        deadlines: Deadlines,
        via: bytes,
        rules: AnswerRules | None = None,
        answered: Callable[[float], None] | None = None,
    ) -> None:
        """``answered`` is told how many seconds the head of each answer took, from when the request was passed on."""
        self.answered = answered
        self.service = service
        self.rules = rules
        self.upstream_path = upstream_path
        self.deadlines = deadlines
        self.via = via
        self.preserve_host = service.settings.host_header == "preserve"
        self.total = service.settings.timeouts.total

    def __call__(self, request: Request) -> None:
        """Take over a request."""
        Exchange(self, request).start()


class Exchange:
    """One request, its attempts and its answer."""

    __slots__ = (
        "_body",
        "_connection",
        "_instance",
        "_proxy",
        "_request",
        "_retried",
        "_sent",
        "_total",
        "_tried",
        "_whole",
        "method",
    )

    def __init__(self, proxy: Proxy, request: Request) -> None:
        self._proxy = proxy
        self._request = request
        self.method = request.head.method
        self._connection: UpstreamConnection | None = None
        self._instance: Instance | None = None
        self._tried: tuple[Instance, ...] = ()
        self._retried = False
        self._sent = 0.0
        self._body: bytes | None = None
        self._whole = False
        self._total: Timer | None = None

    def start(self) -> None:
        """Make the first attempt."""
        proxy = self._proxy
        if proxy.total:
            self._total = Timer(proxy.deadlines, self._total_expired)
            self._total.start(proxy.total)
        instance = proxy.service.choose()
        if instance is None:
            self._fail(GatewayError(NO_INSTANCE, "no healthy instance", retry_after=proxy.service.retry_after))
            return
        self._request.attend(self)
        self._attempt(instance)

    # Attempts.

    def _attempt(self, instance: Instance, *, fresh: bool = False) -> None:
        self._instance = instance
        instance.in_flight += 1
        connection = instance.pool.take(self, fresh=fresh)
        if connection is not None:
            self.connected(connection)

    def _leave_instance(self) -> None:
        """The attempt at the present instance is over."""
        instance = self._instance
        if instance is not None:
            self._instance = None
            instance.in_flight -= 1

    def connected(self, connection: UpstreamConnection) -> None:
        """A connection is ours: send the head and what has come of the body."""
        self._connection = connection
        request, proxy = self._request, self._proxy
        if self._body is None:
            self._body, self._whole = request.take_body()
        head = request.head
        authority = self._instance.authority if self._instance is not None else b""
        sent = request_head(
            head,
            proxy.upstream_path(head.path) + head.query,
            head.host if proxy.preserve_host and head.host else authority,
            request.forwarded,
            request.request_id,
        )
        if head.fields.length:
            sent += self._framed(self._body, self._whole)
        if proxy.answered is not None:
            self._sent = proxy.deadlines.now()
        connection.send(self, sent, self._whole)
        if not self._whole:
            # Sent and gone: this request cannot be sent again.
            self._body = b""

    def not_connected(self, error: GatewayError) -> None:
        """No connection came about: nothing was sent, so another instance may be tried."""
        instance = self._instance
        self._leave_instance()
        if instance is not None:
            self._tried = (*self._tried, instance)
        # Who has waited a queue's time is not sent to wait again.
        following = self._proxy.service.choose(self._tried) if error.kind is not QUEUE_TIMEOUT else None
        if following is None:
            self._fail(error)
        else:
            self._attempt(following)

    def broken(self, error: GatewayError) -> None:
        """The connection brings no whole answer."""
        self._connection = None
        instance = self._instance
        self._leave_instance()
        if (
            error.kind.retry == "reused"
            and not self._retried
            and self._whole
            and self.method in IDEMPOTENT
            and instance is not None
        ):
            self._retried = True
            self._attempt(instance, fresh=True)
        else:
            self._fail(error)

    def _fail(self, error: GatewayError) -> None:
        self._over()
        self._request.refuse(error)

    def _total_expired(self) -> None:
        self._withdraw()
        self._fail(GatewayError(TOTAL_TIMEOUT, "the request took too long"))

    def _withdraw(self) -> None:
        """Give up what is under way upstream."""
        connection, self._connection = self._connection, None
        instance = self._instance
        self._leave_instance()
        if connection is not None:
            connection.abort()
        elif instance is not None:
            instance.pool.leave(self)

    def _over(self) -> None:
        if self._total is not None:
            self._total.close()

    # The request's body, from the client to the service.

    def _framed(self, data: bytes, last: bool) -> bytes:
        """Frame a piece of the body as the head announced it."""
        if self._request.head.fields.length != CHUNKED:
            return data
        framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return framed + b"0\r\n\r\n" if last else framed

    def body_received(self, data: bytes) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        if self._connection is not None:
            self._connection.send_more(self._framed(data, False), False)

    def body_ended(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        if self._connection is not None:
            self._connection.send_more(self._framed(b"", True), True)

    def pause_sending(self) -> None:
        """The service reads slower than the client sends."""
        self._request.pause_body()

    def resume_sending(self) -> None:
        """The service has room again."""
        self._request.resume_body()

    def client_gone(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        self._over()
        self._withdraw()

    # The answer, from the service to the client.

    def interim(self, head: AnswerHead) -> None:
        """Pass an interim answer on; 100 is ours to give and not passed on."""
        if head.status != 100:
            self._request.interim(outgoing_head(head, self._proxy.via))

    def answer(self, head: AnswerHead, data: bytes, done: bool) -> None:
        """Pass the head of the answer on, and the first of its body."""
        if done:
            self._end()
        proxy = self._proxy
        if proxy.answered is not None:
            proxy.answered(proxy.deadlines.now() - self._sent)
        self._request.begin(head.outgoing or outgoing_head(head, proxy.via, proxy.rules), data, done)

    def answer_data(self, data: bytes, done: bool) -> None:
        """Pass more of the body on."""
        if done:
            self._end()
        self._request.send(data, done)

    def _end(self) -> None:
        """The answer is whole; the connection has gone back already."""
        self._connection = None
        self._leave_instance()
        self._over()

    def pause(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        if self._connection is not None:
            self._connection.pause_answer()

    def resume(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        if self._connection is not None:
            self._connection.resume_answer()
