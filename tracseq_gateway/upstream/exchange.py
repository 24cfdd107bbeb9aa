"""One exchange: a request, its attempts, and its answer, from choosing an instance to the last byte.

Rules:

1. A request is sent again only when nothing of it can have acted, or when acting twice does no harm: see
   :mod:`tracseq_gateway.upstream.retry`. A kept connection that turned out closed costs one more, on a new connection,
   if the method is idempotent (RFC 9110 section 9.2.2).
2. Bodies flow past: a piece is passed on when it comes, and whoever is full pauses the other side. What was sent is
   kept for another attempt as long as it is small.
3. A client that leaves ends the attempt at once; that is never held against the instance.
4. Once bytes of an answer are out, a failure cuts the client's connection: no answer is ended that is not whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.interfaces import IDelayedCall

from tracseq_gateway.errors import (
    OVERLOADED,
    QUEUE_FULL,
    QUEUE_TIMEOUT,
    STALE_CONNECTION,
    TOTAL_TIMEOUT,
    UNAUTHENTICATED,
    WRITE_TIMEOUT,
    GatewayError,
)
from tracseq_gateway.http.answer_head import AnswerHead
from tracseq_gateway.http.forwarding import outgoing_head, request_head, upgrade_lines
from tracseq_gateway.http.websocket import WEBSOCKET
from tracseq_gateway.interfaces import Request
from tracseq_gateway.net.deadlines import Timer
from tracseq_gateway.upstream.connection import Receiver, UpstreamConnection
from tracseq_gateway.upstream.entry import End, Entry, let_in, tunnel_fault, tunnels_full
from tracseq_gateway.upstream.instance import Instance
from tracseq_gateway.upstream.passive import UNREACHABLE_STATUSES
from tracseq_gateway.upstream.request_body import RequestBody
from tracseq_gateway.upstream.retry import IDEMPOTENT
from tracseq_gateway.upstream.tunnel import Tunnel, check_switch

if TYPE_CHECKING:
    from tracseq_gateway.upstream.proxy import Proxy, Times

OURS = (QUEUE_FULL, QUEUE_TIMEOUT, OVERLOADED)
"""Why there was no connection through no fault of the instance."""
THE_REQUESTS = frozenset({501, 505})
"""Server errors that are about the request: nobody is ejected for them."""


class Exchange:
    """See the module."""

    __slots__ = (
        "_attempts",
        "_body",
        "_connection",
        "_entry",
        "_instance",
        "_pause",
        "_proxy",
        "_request",
        "_retrying",
        "_stale",
        "_times",
        "_total",
        "_tried",
        "_until",
        "_upgrade",
        "method",
        "timeouts",
    )

    def __init__(self, proxy: Proxy, request: Request, times: Times) -> None:
        self._proxy = proxy
        self._request = request
        self._times = times
        self.timeouts = times.timeouts
        self.method = request.head.method
        self._connection: UpstreamConnection | None = None
        self._instance: Instance | None = None
        self._attempts = 0
        self._tried: tuple[Instance, ...] = ()
        self._stale = False
        """Whether a kept connection turned out closed once."""
        self._retrying = False
        self._entry: Entry | None = None
        """Where it must be told how it ends, if anybody waits for that."""
        self._pause: IDelayedCall | None = None
        length = request.head.fields.length
        self._body = RequestBody(length, proxy.service.retries.max_body) if length else None
        self._total: Timer | None = None
        self._until = 0.0
        wanted = request.head.fields.upgrade
        self._upgrade = wanted if wanted and wanted in proxy.upgrades else b""
        """The protocol that the service may switch to."""

    def start(self) -> None:
        """Make the first attempt, if the service is to have any."""
        request, proxy = self._request, self._proxy
        request.attend(self)
        if self.timeouts.total:
            self._until = proxy.deadlines.now() + self.timeouts.total
            self._total = Timer(proxy.deadlines, self._total_expired)
            self._total.start(self.timeouts.total)
        fault = tunnel_fault(proxy.service, request.head) if self._upgrade else None
        if fault is not None:
            self._fail(fault)
        elif self._body is None or not proxy.body_buffer:
            self._begin()
        elif proxy.service.breaker.seconds_left:
            # Who may not pass need not send his body first.
            self._fail(proxy.service.circuit_open())
        else:
            request.await_body(proxy.body_buffer, self._begin)

    def _begin(self) -> None:
        """As much of the body as is waited for is here: ask an instance."""
        service = self._proxy.service
        if service.admission is not None or not service.breaker.closed:
            entry = let_in(service)
            if isinstance(entry, GatewayError):
                self._fail(entry)
                return
            self._entry = entry
        instance = service.choose(self._request)
        if instance is None:
            self._fail(service.refusal())
        else:
            self._attempt(instance)

    @property
    def _is_trial(self) -> bool:
        return self._entry is not None and self._entry.trial

    def _tell_end(self, end: End) -> None:
        if self._entry is not None:
            self._entry.ended(end)

    # Attempts.

    def _attempt(self, instance: Instance, *, fresh: bool = False) -> None:
        request, proxy = self._request, self._proxy
        self._instance = instance
        self._attempts += 1
        request.attempts += 1
        request.instance = instance.url
        instance.in_flight += 1
        instance.asked += 1
        now = 0.0
        if proxy.clocked:
            now = proxy.deadlines.now()
            if request.attempts == 1:
                request.admitted = now
            else:
                request.passed_on = request.answered = 0.0
        connection = instance.pool.take(self, fresh=fresh or proxy.fresh)
        if connection is not None:
            self._pass_on(connection, now)

    def _leave_instance(self) -> Instance | None:
        """The attempt at the present instance is over; return which that was."""
        instance = self._instance
        if instance is not None:
            self._instance = None
            instance.in_flight -= 1
        return instance

    def connected(self, connection: UpstreamConnection) -> None:
        """A connection is ours, which was waited for."""
        self._pass_on(connection, self._proxy.deadlines.now() if self._proxy.clocked else 0.0)

    def _pass_on(self, connection: UpstreamConnection, now: float) -> None:
        """Send the head and what has come of the body."""
        self._connection = connection
        request, proxy, times = self._request, self._proxy, self._times
        body = self._body
        if body is not None:
            if not body.taken:
                body.take(*request.take_body())
            elif not body.whole:
                request.resume_body()
        head = request.head
        line = times.line if self._total is None else times.line_at(self._until - proxy.deadlines.now())
        authority = self._instance.authority if self._instance is not None else b""
        sent = request_head(
            head,
            proxy.upstream_path(head.path) + head.query,
            head.host if proxy.preserve_host and head.host else authority,
            request.forwarded + line + (upgrade_lines(self._upgrade) if self._upgrade else b""),
            request.request_id,
        )
        request.passed_on = now
        if body is None:
            connection.send(self, sent, True)
        else:
            connection.send(self, sent + body.opening(), body.whole)

    def not_connected(self, error: GatewayError) -> None:
        """No connection came about: nothing was sent, so another instance may be tried."""
        instance = self._leave_instance()
        if instance is not None and error.kind not in OURS:
            self._proxy.service.passive.failed(instance, unreachable=True)
        # Who has waited a queue's time is not sent to wait again.
        if error.kind is QUEUE_TIMEOUT or not self._try_again(instance, 0.0):
            self._fail(error)

    def broken(self, error: GatewayError) -> None:
        """The connection brings no whole answer."""
        self._connection = None
        instance = self._leave_instance()
        if error.kind is STALE_CONNECTION and not self._stale and instance is not None:
            # Nothing is wrong with the instance: it closes connections that it does not need, as we do.
            self._stale = True
            if self.method in IDEMPOTENT and self._replayable and not self._request.begun:
                self._attempts -= 1
                self._hold_body()
                self._attempt(instance, fresh=True)
                return
        elif instance is not None and (error.kind is WRITE_TIMEOUT or not self._awaits_client):
            # A service that gives up on a body that its client does not bring is not ill.
            self._proxy.service.passive.failed(instance, unreachable=True)
        retries = self._proxy.service.retries
        repeats = retries.repeats_error(error, self.method, self._attempts)
        if not repeats or not self._try_again(instance, retries.pause(self._attempts)):
            self._fail(error)

    def _try_again(self, instance: Instance | None, pause: float | None) -> bool:
        """Send the request to an instance that was not tried, after ``pause`` seconds; return False if not."""
        service, deadlines = self._proxy.service, self._proxy.deadlines
        if instance is not None:
            self._tried = (*self._tried, instance)
        if pause is None or self._request.begun or not self._replayable:
            return False
        if not self._is_trial and not service.breaker.closed:
            return False  # it has opened meanwhile
        if self._total is not None and deadlines.now() + pause >= self._until:
            return False
        following = service.choose(self._request, self._tried)
        if following is None:
            return False
        if not self._retrying:
            if not service.retries.has_budget():
                service.passive.counts["retry_refused"] += 1
                return False
            self._retrying = True
            service.retries.under_way += 1
        service.passive.counts["retried"] += 1
        self._hold_body()
        if pause:
            self._pause = deadlines.clock.callLater(pause, self._go_on, following)
        else:
            self._attempt(following)
        return True

    def _go_on(self, instance: Instance) -> None:
        self._pause = None
        self._attempt(instance)

    def _fail(self, error: GatewayError) -> None:
        self._over()
        self._tell_end("withdrawn" if error.kind in OURS else "failed")
        if self._is_trial and error.kind.source == "upstream" and error.kind not in OURS:
            # It was let through to find out, and the circuit is open again: that is what its client should know.
            error = evolve(self._proxy.service.circuit_open(), note=error.kind.slug)
        self._request.refuse(error)

    def _total_expired(self) -> None:
        if self._awaits_client:
            # The client has not brought its body in time, which says nothing of the service.
            self._tell_end("withdrawn")
        elif self._connection is not None and not self._request.begun and self._instance is not None:
            self._proxy.service.passive.failed(self._instance, unreachable=True)
        self._withdraw()
        self._fail(GatewayError(TOTAL_TIMEOUT, "the request took too long"))

    def _withdraw(self) -> None:
        """Give up what is under way upstream."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        connection, self._connection = self._connection, None
        instance = self._leave_instance()
        if connection is not None:
            connection.abort()
        elif instance is not None:
            instance.pool.leave(self)

    def _over(self) -> None:
        if self._total is not None:
            self._total.close()
        if self._retrying:
            self._retrying = False
            self._proxy.service.retries.under_way -= 1

    # The request's body, from the client to the service.

    @property
    def _awaits_client(self) -> bool:
        """Whether more of the body is to come from the client."""
        body = self._body
        return body is not None and body.taken and not body.whole

    @property
    def _replayable(self) -> bool:
        return self._body is None or self._body.replayable

    def body_received(self, data: bytes) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        body, connection = self._body, self._connection
        if body is not None:
            body.add(data, sent=connection is not None)
            if connection is not None:
                connection.send_more(body.framed(data, False), False)

    def body_ended(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`."""
        body = self._body
        if body is not None:
            body.whole = True
            if self._connection is not None:
                self._connection.send_more(body.framed(b"", True), True)

    def _hold_body(self) -> None:
        """There is no connection for the moment: take no more of the body than what has been read already."""
        if self._awaits_client:
            self._request.pause_body()

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
        self._tell_end("withdrawn")

    # The answer, from the service to the client.

    def interim(self, head: AnswerHead) -> None:
        """Pass an interim answer on; 100 is ours to give and not passed on."""
        if head.status != 100:
            self._request.interim(outgoing_head(head, self._proxy.via))

    def answer(self, head: AnswerHead, data: bytes, done: bool) -> None:
        """Pass the head of the answer on, and the first of its body."""
        proxy, instance = self._proxy, self._instance
        service = proxy.service
        if proxy.clocked:
            self._request.answered = now = proxy.deadlines.now()
            if service.timed and instance is not None:
                service.answered_after(instance, now - self._request.passed_on)
        if instance is not None:
            if head.status < 500:
                service.passive.succeeded(instance)
            elif head.status not in THE_REQUESTS and self._failed(instance, head, done):
                return
            if service.sticky:
                service.stick(self._request, instance)
        if self._entry is not None:
            self._entry.ended("failed" if head.status in UNREACHABLE_STATUSES else "succeeded")
        if done:
            self._end()
        self._request.begin(head.outgoing or outgoing_head(head, proxy.via, proxy.rules), data, done)
        if head.events and not done:
            service.lasts(self._request, self._caller_ended, until_expiry=False)

    def _caller_ended(self, why: str) -> None:
        """Who reads a stream of events may read no more of it. He asks anew, and is told why."""
        self._request.break_off(GatewayError(UNAUTHENTICATED, why))

    def _failed(self, instance: Instance, head: AnswerHead, done: bool) -> bool:
        """Hold an answer against its instance; return whether the request was sent to another one instead."""
        service = self._proxy.service
        service.passive.failed(instance, unreachable=head.status in UNREACHABLE_STATUSES)
        retries = service.retries
        if not retries.repeats_status(head.status, self.method, self._attempts):
            return False
        pause = retries.pause(self._attempts, head.get(b"retry-after"))
        connection, self._connection = self._connection, None
        self._leave_instance()
        if self._try_again(instance, pause):
            if connection is not None and not done:
                connection.abort()
            return True
        self._connection, self._instance = connection, instance
        instance.in_flight += 1
        return False

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

    def leave(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Answerer`: an answer ends by itself."""

    def switched(self, head: AnswerHead) -> Receiver:
        """See :class:`tracseq_gateway.upstream.connection.Receiver`."""
        protocol, connection, instance = self._upgrade, self._connection, self._instance
        request, proxy = self._request, self._proxy
        check_switch(head, protocol, request.head)
        assert connection is not None, "only a connection in use can be switched"
        full = tunnels_full(proxy.service)
        if full is not None:  # by others, since this one was asked for
            self._withdraw()
            self._fail(full)
            return self
        if proxy.clocked:
            request.answered = proxy.deadlines.now()
        if instance is not None:
            proxy.service.passive.succeeded(instance)
        self._tell_end("succeeded")
        self._over()
        # It takes connection and instance over.
        self._connection = self._instance = None
        tunnel = Tunnel(request, connection, instance, proxy.deadlines, proxy.service, websocket=protocol == WEBSOCKET)
        request.switch(outgoing_head(head, proxy.via, proxy.rules), protocol, tunnel)
        expires = proxy.service.settings.tunnels.until_token_expires
        proxy.service.lasts(request, tunnel.caller_ended, until_expiry=expires)
        return tunnel
