"""One request, whatever channel it came by.

The channel (HTTP/1.1 here; HTTP/2 can drive the same class) feeds it a head and a body, and carries out what it asks
through :class:`Channel`. Rooms behind it see :class:`tracseq_gateway.interfaces.Request`; resources of twisted.web
see the part of ``IRequest`` in :mod:`tracseq_gateway.server.resource_request`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import getrandbits
from typing import Protocol

from twisted.logger import Logger
from twisted.web.resource import IResource

from tracseq_gateway.errors import (
    BODY_TOO_LARGE,
    OVERLOADED,
    GatewayError,
    problem_body,
    problem_document,
    problem_fields,
)
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import NO_FIELDS, RequestHead
from tracseq_gateway.http.trace_context import TraceContext
from tracseq_gateway.interfaces import (
    Answerer,
    AnswerFilter,
    AnswerSink,
    BodyCheck,
    Identity,
    Repeat,
    Request,
    TlsFacts,
)
from tracseq_gateway.server.held_body import HeldBody
from tracseq_gateway.server.resource_request import ResourceRequest


class Channel(Protocol):
    """What a request asks of the connection or stream that it came by."""

    via: str
    root: IResource
    address: str
    secure: bool
    tls: TlsFacts | None
    local_port: int

    def begin(self, request: GatewayRequest, head: OutgoingHead, data: bytes, done: bool) -> None:
        """Send a head and the first body bytes; ``done`` ends the answer."""

    def send(self, data: bytes, done: bool) -> None:
        """Send more body bytes."""

    def switch(self, request: GatewayRequest, head: OutgoingHead, protocol: bytes) -> None:
        """Send a 101, and hand over from now on whatever the client sends."""

    def interim(self, head: OutgoingHead) -> None:
        """Send an interim response."""

    def abort(self) -> None:
        """Cut the answer off."""

    def pause_body(self) -> None:
        """Stop reading the request body."""

    def resume_body(self) -> None:
        """Go on reading the request body; sends 100 (Continue) if the client waits for it."""

    def body_awaited(self, requests: int) -> None:
        """One request more, or one less (-1), is not worked on before more of its body has come."""


CLIENT_CLOSED_REQUEST = 499
"""The status, for the records only, of a request whose client left before it was answered; nginx's number."""


def new_request_id() -> bytes:
    """Make the id of a request: 32 hex digits, as long as a trace id of W3C Trace Context."""
    return b"%032x" % getrandbits(128)


_log = Logger()


def unread_request(channel: Channel, client: str, error: GatewayError, request_id: bytes) -> GatewayRequest:
    """What the records get of bytes that are no request, and were refused with ``error``."""
    request = GatewayRequest(channel, RequestHead(b"", b"", b"", 1, b"", NO_FIELDS), client, b"")
    request.request_id = request_id
    request.finished = request.begun = True
    request.status, request.error = error.kind.status, error
    return request


def _written(error: GatewayError, via: str) -> tuple[OutgoingHead, bytes]:
    """The head and the beginning of the body of an answer to an error; kept with it, for some errors come often."""
    if error.written:
        kept, head, document = error.written[0]
        if kept == via and isinstance(head, OutgoingHead):
            return head, document
    head = OutgoingHead(error.kind.status, error.kind.reason, problem_fields(error, via))
    document = problem_document(error)
    error.written[:] = [(via, head, document)]
    return head, document


class GatewayRequest(ResourceRequest):
    """A request and the state of its answer."""

    __slots__ = (
        "_answerer",
        "_body",
        "_body_done",
        "_client_full",
        "_collecting",
        "_ended",
        "_filters",
        "_held",
        "_holds",
        "_taken",
        "admitted",
        "answer_lines",
        "answered",
        "attempts",
        "began",
        "begun",
        "cache",
        "channel",
        "client",
        "error",
        "finished",
        "forwarded",
        "head",
        "identity",
        "instance",
        "limit",
        "max_body",
        "passed_on",
        "received",
        "repeat",
        "request_id",
        "sent",
        "service",
        "status",
        "trace",
    )

    def __init__(self, channel: Channel, head: RequestHead, client: str, forwarded: bytes, began: float = 0.0) -> None:
        super().__init__()
        self.channel = channel
        self.head = head
        self.client = client
        self.forwarded = forwarded
        self.began = began
        self.request_id = head.fields.request_id or new_request_id()
        self.service = ""
        self.identity: Identity | None = None
        self.trace: TraceContext | None = None
        self.limit = self.cache = self.instance = ""
        self.attempts = 0
        self.admitted = self.passed_on = self.answered = 0.0
        self.answer_lines = b""
        self.max_body = 0
        self.begun = False
        self.finished = False
        self.status = 0
        self.error: GatewayError | None = None
        self.repeat: Repeat | None = None
        self.received = 0
        self.sent = 0
        self._answerer: Answerer | None = None
        self._ended: list[Callable[[Request], None]] | None = None
        self._body: list[bytes] = []
        self._body_done = not head.fields.length
        self._collecting: tuple[int, Callable[[bytes | None], None]] | None = None
        self._taken = False
        self._held: HeldBody | None = None
        self._filters: list[AnswerFilter] | None = None
        """The last one gets the answer first."""
        self._client_full = False
        self._holds = 0
        """How many want nothing more of the answer for now: the client's side, and filters."""

    @property
    def tls(self) -> TlsFacts | None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        tls: TlsFacts | None = self.channel.tls
        return tls

    @property
    def peer(self) -> str:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        address: str = self.channel.address
        return address

    def process(self) -> None:
        """Hand the request to the resource tree."""
        self.render_from(self.channel.root)

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
            self._body.append(data)
        if self._collecting is not None and self.received > self._collecting[0]:
            self._collected()
        return self._collecting is not None or self._taken

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

    def break_off(self, error: GatewayError) -> None:
        """The request cannot go on: stop who works on it, and refuse it."""
        if self.finished:
            return
        answerer, self._answerer = self._answerer, None
        if answerer is not None:
            answerer.client_gone()
        self.refuse(error)

    def fail_unanswered(self, error: GatewayError) -> None:
        """The request is not answered, as it is not one: this is what the records get of it."""
        self.error, self.status = error, error.kind.status
        self.finished = True

    def cut(self) -> None:
        """The worker can wait no longer: what follows is not the client's doing."""
        self.error = GatewayError(OVERLOADED, "the gateway is stopping")
        self.status = self.status or OVERLOADED.status

    def client_gone(self) -> None:
        """The connection is lost before the answer was complete."""
        self.finished = True
        self.status = self.status or CLIENT_CLOSED_REQUEST
        answerer, self._answerer = self._answerer, None
        if answerer is not None:
            answerer.client_gone()
        self._drop_filters()
        self.connection_lost()

    def pause_answer(self) -> None:
        """The client's side is full. Transports say so again with each write while it is."""
        if not self._client_full:
            self._client_full = True
            self.hold_answer()
        elif self._answerer is not None:
            self._answerer.pause()

    def resume_answer(self) -> None:
        """The client's side has room again."""
        if self._client_full:
            self._client_full = False
            self.release_answer()

    def over(self) -> None:
        """The request has ended: tell those who asked."""
        if self._collecting is not None:
            self._collecting = None
            self.channel.body_awaited(-1)
        ended, self._ended = self._ended, None
        if ended is not None:
            for tell in ended:
                try:
                    tell(self)
                except Exception:
                    _log.failure("what was to be done at the end of a request failed: {path!r}", path=self.head.path)

    # What the rooms behind ask.

    def at_end(self, ended: Callable[[Request], None]) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self._ended is None:
            self._ended = [ended]
        else:
            self._ended.append(ended)

    def attend(self, answerer: Answerer) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        self._answerer = answerer

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

    def filter_answer(self, make: Callable[[AnswerSink], AnswerFilter]) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self._filters is None:
            self._filters = [make(_Outlet(self))]
        else:
            self._filters.append(make(self._filters[-1]))

    def hold_answer(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        self._holds += 1
        if self._holds == 1 and self._answerer is not None:
            self._answerer.pause()

    def release_answer(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self._holds:
            self._holds -= 1
            if not self._holds and self._answerer is not None:
                self._answerer.resume()

    def _drop_filters(self) -> None:
        filters, self._filters = self._filters, None
        for one in reversed(filters or ()):
            one.gone()

    def pause_body(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if not self.finished:
            self.channel.pause_body()

    def resume_body(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if not self.finished:
            self.channel.resume_body()

    def switch(self, head: OutgoingHead, protocol: bytes, answerer: Answerer) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self.finished:
            answerer.client_gone()
            return
        self._drop_filters()
        self.begun = self._taken = True
        self.status = head.status
        self.max_body = 0
        self._answerer = answerer
        self.channel.switch(self, head, protocol)

    def leave(self) -> None:
        """The gateway stops, and the protocol was switched: nothing but this ends it."""
        if self._answerer is not None:
            self._answerer.leave()

    def interim(self, head: OutgoingHead) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if not self.begun and not self.finished:
            self.channel.interim(head)

    def begin(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self.finished:
            return
        self.begun = True
        self.finished = done
        if done:
            self._answerer = None
        if self._filters is None:
            self.begin_unfiltered(head, data, done)
        else:
            self._filters[-1].begin(head, data, done)

    def begin_unfiltered(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        """Behind all filters, the answer goes to the client."""
        self.status = head.status
        self.sent = 0 if self.head.method == b"HEAD" else len(data)
        self.channel.begin(self, head, data, done)

    def send(self, data: bytes, done: bool) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self.finished:
            return
        self.finished = done
        if done:
            self._answerer = None
        if self._filters is None:
            self.send_unfiltered(data, done)
        else:
            self._filters[-1].send(data, done)

    def send_unfiltered(self, data: bytes, done: bool) -> None:
        """Behind all filters, the answer goes to the client."""
        if self.head.method != b"HEAD":
            self.sent += len(data)
        self.channel.send(data, done)

    def refuse(self, error: GatewayError) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self.finished:
            return
        self.error = error
        if self.begun:
            self.abort()
            return
        head, document = _written(error, self.channel.via)
        self.begin(head, problem_body(document, self.request_id), True)

    def abort(self) -> None:
        """See :class:`tracseq_gateway.interfaces.Request`."""
        if self.finished:
            return
        self.finished = True
        if self._filters is None:
            self.channel.abort()
        else:
            self._filters[-1].abort()


class _Outlet:
    """The sink behind all filters. What comes for a request that is over goes nowhere."""

    __slots__ = ("_request",)

    def __init__(self, request: GatewayRequest) -> None:
        self._request: GatewayRequest | None = request

    def begin(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        request = self._present(done)
        if request is not None:
            request.begin_unfiltered(head, data, done)

    def send(self, data: bytes, done: bool) -> None:
        request = self._present(done)
        if request is not None:
            request.send_unfiltered(data, done)

    def abort(self) -> None:
        request = self._present(True)
        if request is not None:
            request.channel.abort()

    def _present(self, last: bool) -> GatewayRequest | None:
        request = self._request
        if request is not None and request._filters is None:
            request = None
        if last:
            self._request = None
        return request
