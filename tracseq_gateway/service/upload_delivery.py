"""An upload's way to its service: a request whose body comes from a file, and whose answer is kept.

It is the request of who brought the last part, made anew: his fields but for those that speak of the part, who he is,
and where he comes from; POST to the path of the upload. It goes to the service's proxy as others do, on a connection of
its own: one that was kept might turn out closed, and then nobody knew whether the service got anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import copy
from typing import Final

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from tracseq_gateway.errors import BAD_ANSWER, INTERNAL, GatewayError
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.interfaces import Request, TlsFacts
from tracseq_gateway.server.request import GatewayRequest
from tracseq_gateway.uploads.delivery import LONGEST_ANSWER, Outcome
from tracseq_gateway.uploads.parcel import Parcel
from tracseq_gateway.uploads.receipt import Threads
from tracseq_gateway.upstream.proxy import Proxy

PIECE: Final = 1 << 18
"""Bytes that are read from the file at a time."""

_OF_THE_PART: Final = frozenset(
    {
        b"accept-encoding",
        b"content-type",
        b"content-encoding",
        b"content-language",
        b"content-location",
        b"content-disposition",
        b"content-md5",
        b"content-digest",
        b"repr-digest",
        b"digest",
        b"content-range",
        b"range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        b"if-range",
        b"idempotency-key",
    }
)
_OF_UPLOADS: Final = (b"tus-", b"upload-")

Refusal = Callable[[Request, bytes, bytes], GatewayError | None]
"""What stands against the caller of a request using a method at a path."""
Watch = Callable[[Request], None]
"""Is shown a request before it is sent, so that it hears what the service answers."""


class UploadDelivery:
    """Sends the uploads of one service, and is what its uploads' stage calls ``send``."""

    def __init__(
        self, proxy: Proxy, threads: Threads, refusal: Refusal, counts: Counter[str], watch: Watch | None = None
    ) -> None:
        """``counts`` says how often an upload was sent, by what came of it; ``watch`` is shown each one."""
        self._proxy = copy(proxy)
        self._proxy.fresh = True
        self._proxy.clocked = True
        self._threads = threads
        self._refusal = refusal
        self._counts = counts
        self._watch = watch

    def __call__(self, request: Request, parcel: Parcel, digest: bytes) -> Deferred[Outcome]:
        """Send an upload; fires with what came of it, and never fails."""
        head = _head(request.head, parcel, digest)
        refusal = self._refusal(request, head.method, head.path)
        channel = _FileChannel(self._proxy.via.decode("ascii"), request, parcel, self._threads)
        if refusal is not None:
            channel.ended.callback(Outcome("refused", error=refusal))
            return channel.ended
        delivery = GatewayRequest(channel, head, request.client, request.forwarded, request.began)
        channel.request = delivery
        delivery.request_id = request.request_id
        delivery.service = request.service
        delivery.identity = request.identity
        if self._watch is not None:
            self._watch(delivery)
        self._proxy(delivery)
        return channel.ended.addCallback(self._note, delivery, request)

    def _note(self, outcome: Outcome, delivery: GatewayRequest, request: Request) -> Outcome:
        """Let the records of the request tell where its upload went."""
        self._counts[outcome.acted] += 1
        delivery.over()
        request.instance, request.attempts = delivery.instance, delivery.attempts
        request.admitted, request.passed_on, request.answered = delivery.admitted, delivery.passed_on, delivery.answered
        return outcome


def _head(head: RequestHead, parcel: Parcel, digest: bytes) -> RequestHead:
    """The head of the request for an upload, by that of the one which brought its last part."""
    record, fields = parcel.upload.record, head.fields
    lines = [
        line
        for line in fields.received
        if line.name not in _OF_THE_PART
        and not line.name.startswith(_OF_UPLOADS)
        and line.name not in fields.connection
    ]
    # The answer is kept, and what is kept of it is shown later to who may ask in another way.
    added = [b"accept-encoding: identity\r\n", b"content-type: %b\r\n" % parcel.media_type]
    if parcel.disposition:
        added.append(b"content-disposition: %b\r\n" % parcel.disposition)
    added.append(b"repr-digest: %b\r\n" % digest)
    added.append(b'idempotency-key: "%b"\r\n' % record.identifier.encode("ascii"))
    if record.metadata:
        added.append(b"upload-metadata: %b\r\n" % record.metadata.encode("latin-1"))
    return RequestHead(
        b"POST",
        record.path.encode("ascii"),
        record.query.encode("latin-1"),
        1,
        head.host,
        evolve(
            fields,
            received=lines,
            length=parcel.length,
            expects_continue=False,
            upgrade=b"",
            passed_on=b"".join([line.passed_on for line in lines] + added),
            max_forwards=None,
        ),
    )


class _FileChannel:
    """Gives a request its body from a file, as fast as it is taken, and keeps the answer; see ``request.Channel``."""

    log = Logger()

    def __init__(self, via: str, request: Request, parcel: Parcel, threads: Threads) -> None:
        self.ended: Deferred[Outcome] = Deferred()
        self.request: GatewayRequest
        self.via = via
        self.root: IResource
        self.address = request.peer
        self.secure = request.tls is not None
        self.tls: TlsFacts | None = request.tls
        self.local_port = 0
        self._parcel = parcel
        self._threads = threads
        self._offset = 0
        self._reading = self._wanted = False
        self._outcome: Outcome | None = None
        self._head: OutgoingHead | None = None
        self._answer = bytearray()

    # The body.

    def resume_body(self) -> None:
        """Go on reading the file."""
        self._wanted = True
        if not self._reading and self._offset < self._parcel.length and not self.request.finished:
            self._reading = True
            self._threads(self._parcel.read, self._offset, PIECE).addCallbacks(self._read, self._failed)

    def pause_body(self) -> None:
        """Read nothing more for now."""
        self._wanted = False

    def _read(self, data: bytes) -> None:
        self._reading = False
        request = self.request
        if request.finished:
            self._end()
            return
        if not data:
            request.break_off(GatewayError(INTERNAL))  # the file is shorter than it was a moment ago
            return
        self._offset += len(data)
        if not request.body_received(data):
            self._wanted = False
        if self._offset >= self._parcel.length:
            request.body_ended()
        elif self._wanted:
            self.resume_body()

    def _failed(self, failure: Failure) -> None:
        self._reading = False
        self.log.failure("an upload cannot be read", failure=failure)
        self.request.break_off(GatewayError(INTERNAL))
        self._end()

    def body_awaited(self, requests: int) -> None:
        """Nobody counts."""

    # The answer.

    def begin(self, request: GatewayRequest, head: OutgoingHead, data: bytes, done: bool) -> None:
        """Keep the head."""
        self._head = head
        self.send(data, done)

    def send(self, data: bytes, done: bool) -> None:
        """Keep what there is room for."""
        self._answer += data[: LONGEST_ANSWER - len(self._answer)]
        if done:
            self._outcome = self._judged()
            self._end()

    def abort(self) -> None:
        """The answer is not whole: its status counts all the same, for the service has acted by it."""
        self._outcome = self._judged()
        self._end()

    def interim(self, head: OutgoingHead) -> None:
        """Nobody waits for it."""

    def switch(self, request: GatewayRequest, head: OutgoingHead, protocol: bytes) -> None:
        """Nobody asked for it."""

    def _end(self) -> None:
        """Tell what came of it, once no thread reads the file any more."""
        if self._outcome is not None and not self._reading and not self.ended.called:
            self.ended.callback(self._outcome)

    def _judged(self) -> Outcome:
        head, request = self._head, self.request
        if head is None or (request.error is not None and not request.answered):
            # Nothing can have acted while no head was sent, whatever went wrong.
            return Outcome("unknown" if request.passed_on else "refused", error=request.error or GatewayError(INTERNAL))
        if head.status < 300 and self._offset < self._parcel.length:
            # What was not read was not sent, and is not sent any more.
            early = GatewayError(BAD_ANSWER, "the service said that it took the upload before it had all of it")
            return Outcome("unknown", error=early)
        refused = 300 <= head.status < 500 or head.status == 503
        return Outcome(
            "taken" if head.status < 300 else "refused" if refused else "unknown",
            head.status,
            head.reason,
            _value(head.pairs, b"content-type"),
            _value(head.pairs, b"retry-after"),
            bytes(self._answer),
        )


def _value(pairs: Fields, name: bytes) -> bytes:
    return next((value for key, value in pairs if key == name), b"")
