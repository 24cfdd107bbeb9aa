"""One request, whatever channel it came by.

The channel (a connection of HTTP/1.1, a stream of HTTP/2) feeds it a head and a body, and carries out what it asks
through :class:`tracseq_gateway.server.channel_face.Channel`. Rooms behind it see
:class:`tracseq_gateway.interfaces.Request`; resources of twisted.web see the part of ``IRequest`` in
:mod:`tracseq_gateway.server.resource_request`. The way of its body is in ``body_way``, that of its answer in
``answer_way``.
"""

from __future__ import annotations

from collections.abc import Callable
from random import getrandbits

from twisted.logger import Logger

from tracseq_gateway.errors import (
    OVERLOADED,
    GatewayError,
    problem_body,
    problem_document,
    problem_fields,
)
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import NO_FIELDS, RequestHead
from tracseq_gateway.http.trace_context import TraceContext
from tracseq_gateway.interfaces import Answerer, Identity, Repeat, Request, TlsFacts
from tracseq_gateway.server.answer_way import AnswerWay
from tracseq_gateway.server.channel_face import Channel

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


class GatewayRequest(AnswerWay):
    """A request and the state of its answer."""

    __slots__ = (
        "_ended",
        "admitted",
        "answer_lines",
        "answered",
        "attempts",
        "began",
        "cache",
        "client",
        "error",
        "forwarded",
        "identity",
        "instance",
        "limit",
        "passed_on",
        "repeat",
        "request_id",
        "service",
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
        self._answerer = None
        self._ended: list[Callable[[Request], None]] | None = None
        self._body = []
        self._body_done = not head.fields.length
        self._collecting = None
        self._taken = False
        self._held = self._filters = None
        self._client_full = False
        self._holds = 0

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

    def over(self) -> None:
        """The request has ended: tell those who asked."""
        self._await_no_more()
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

    def begin_unfiltered(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        """Behind all filters, the answer goes to the client."""
        self.status = head.status
        self.sent = 0 if self.head.method == b"HEAD" else len(data)
        self.channel.begin(self, head, data, done)

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
