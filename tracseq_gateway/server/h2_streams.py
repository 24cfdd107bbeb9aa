"""The streams of one HTTP/2 connection: which requests are under way on it, and what becomes of their frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamReset, TrailersReceived

from tracseq_gateway.errors import BAD_REQUEST, GatewayError, RequestRefused
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.request_head import NO_FIELDS, RequestHead, RequestParser
from tracseq_gateway.server.h2_frames import ConnectionFault
from tracseq_gateway.server.h2_heads import Asked, Malformed, check_trailers, head_lines
from tracseq_gateway.server.h2_stream import StreamChannel
from tracseq_gateway.server.h2_tunnel import TunnelStream
from tracseq_gateway.server.h2_unread import Unread

if TYPE_CHECKING:
    from tracseq_gateway.server.h2_channel import H2Channel
    from tracseq_gateway.server.h2_floods import Floods
    from tracseq_gateway.server.h2_outbox import Outbox
    from tracseq_gateway.server.h2_session import Session
    from tracseq_gateway.server.h2_writer import Writer

_OURS: Final = frozenset({ErrorCodes.NO_ERROR, ErrorCodes.INTERNAL_ERROR})
"""Why streams are reset that have done nothing wrong."""


class Streams:
    """Those of one connection that are open, by their numbers."""

    def __init__(self, channel: H2Channel, session: Session, outbox: Outbox, writer: Writer, floods: Floods) -> None:
        self.channel = channel
        self.site = site = channel.site
        self.open: dict[int, StreamChannel] = {}
        self._unread: dict[int, Unread] = {}
        """What still comes on those that were answered before all of their request had come."""
        self._session = session
        self._outbox = outbox
        self._writer = writer
        self._floods = floods
        self._parse = RequestParser(site.head_limits, site.known).parse
        self.served = 0

    # What the client sends.

    def _take_request(self, event: RequestReceived) -> None:
        number, ended = event.stream_id, event.stream_ended is not None
        late = self.channel.refuses
        if late or len(self.open) + len(self._unread) >= self.site.http2.max_streams:
            self._session.reset_stream(number, ErrorCodes.REFUSED_STREAM)
            # Those that crossed our good-bye are no fault of the client's, if they are not too many.
            if not (self._floods.nothing() if late else self._floods.reset()):
                self.channel.fail(ErrorCodes.ENHANCE_YOUR_CALM)
            return
        fields = self._session.blocks.fields
        try:
            asked = head_lines(fields, ended, websockets=self.site.http2.websockets)
            head = self._parse(asked.lines)
        except Malformed as fault:
            stream = self._admit_unread(number, fields, ended)
            stream.request.fail_unanswered(GatewayError(BAD_REQUEST, str(fault)))
            self.reset(stream, ErrorCodes.PROTOCOL_ERROR)
        except RequestRefused as refusal:
            self._admit_unread(number, fields, ended).request.refuse(refusal.error)
        else:
            head.major = 2
            stream = self._admit(number, head, self.channel.forwarded.lines(head), ended, asked)
            stream.request.process()

    def _admit(
        self, number: int, head: RequestHead, forwarded: bytes, ended: bool, asked: Asked | None = None
    ) -> StreamChannel:
        """Count a request in."""
        kind = TunnelStream if asked is not None and asked.tunnel else StreamChannel
        length = asked.length if asked is not None else None
        self.open[number] = stream = kind(self, number, head, forwarded, length, ended)
        self.served += 1
        self.site.request_began()
        self.channel.request_began(last=self.served == self.site.limits.requests_per_connection)
        return stream

    def _admit_unread(self, number: int, fields: Fields, ended: bool) -> StreamChannel:
        """Count in what is refused for its fields: nothing of whom it comes from is known but the peer."""
        head = _unread(fields)
        return self._admit(number, head, self.channel.forwarded.lines(head), ended)

    def knows(self, number: int) -> bool:
        """Whether the client may still send something on a stream."""
        return number in self.open or number in self._unread

    def _take_data(self, event: DataReceived) -> None:
        number, ended = event.stream_id, event.stream_ended is not None
        if not event.data and not ended and not self._floods.nothing():
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "too many frames that carry nothing")
        if number in self.open:
            self.open[number].data_received(event.data, event.flow_controlled_length, ended)
            return
        self.give_back(number, event.flow_controlled_length)
        if ended:
            self._forget(number)
        else:
            self._unread[number].more_came()

    def _take_trailers(self, event: TrailersReceived) -> None:
        """Trailers go no further, but they must be good ones."""
        stream = self.open.get(event.stream_id)
        if stream is None:
            self._forget(event.stream_id)
            return
        stream.ended = True
        try:
            check_trailers(self._session.blocks.fields)
        except Malformed as fault:
            stream.malformed(str(fault))
        else:
            stream.body_ended()

    def _take_reset(self, event: StreamReset) -> None:
        """The client has reset a stream, or h2 has for what the client did."""
        stream = self.open.get(event.stream_id)
        if stream is not None:
            self._remove(stream, told=False)
        if not self._forget(event.stream_id):
            self._count_reset()

    # What a stream asks.

    def send_head(self, number: int, status: int, fields: Fields, ended: bool) -> None:
        """Send a HEADERS frame, ``fields`` being all but the status; :meth:`flush_soon` writes it."""
        self._session.send_head(number, status, fields, ended)

    def wants_to_send(self, stream: StreamChannel) -> None:
        """A stream has something to send; :meth:`flush_soon` begins with it."""
        self._outbox.add(stream)

    def flush_soon(self) -> None:
        """Write; if other streams are open, after what they have to say in this turn."""
        self._writer.flush_soon(at_once=len(self.open) < 2)

    def give_back(self, number: int, size: int) -> None:
        """So many bytes of a stream's body are with who takes them: the client may send as many more."""
        self._session.acknowledge_received_data(size, number)
        self.flush_soon()

    def reset(self, stream: StreamChannel, code: ErrorCodes, *, told: bool = True) -> None:
        """Cut a stream off; ``told``: who answers knows of it."""
        self._session.reset_stream(stream.number, code)
        self._remove(stream, told=told)
        self.flush_soon()
        if code not in _OURS:
            self._count_reset()

    def answered(self, stream: StreamChannel) -> None:
        """All of an answer was sent.

        A client that still sends its request need not (RFC 9113 section 8.1), but many that are told so by a reset at
        once throw the answer away with it: first they get time to read it.
        """
        number = stream.number
        if not stream.ended and stream.is_malformed:
            self._session.reset_stream(number, ErrorCodes.PROTOCOL_ERROR)
        elif not stream.ended:
            self._unread[number] = Unread(self.site.deadlines, lambda: self._leave_unread(number))
        self._remove(stream, told=True)
        if stream.is_malformed:
            self._count_reset()

    def _leave_unread(self, number: int) -> None:
        """Want nothing more of a request that was answered."""
        if self._forget(number):
            self._session.reset_stream(number, ErrorCodes.NO_ERROR)
            self.flush_soon()

    def _forget(self, number: int) -> bool:
        """Nothing more comes of a request that was answered; return whether it was one."""
        unread = self._unread.pop(number, None)
        if unread is not None:
            unread.close()
        return unread is not None

    # The end.

    def _remove(self, stream: StreamChannel, *, told: bool) -> None:
        del self.open[stream.number]
        self._outbox.drop(stream)
        stream.close(told=told)
        self.site.request_ended(stream.request)
        if not self.open:
            self.channel.await_request()

    def _count_reset(self) -> None:
        if not self._floods.reset():
            self.channel.fail(ErrorCodes.ENHANCE_YOUR_CALM)

    def drop(self) -> None:
        """The connection is gone, and all streams with it."""
        self._outbox.clear()
        for number in list(self._unread):
            self._forget(number)
        while self.open:
            _, stream = self.open.popitem()
            stream.close(told=False)
            self.site.request_ended(stream.request)

    def leave(self) -> None:
        """The gateway stops: end what would not end by itself."""
        for stream in list(self.open.values()):
            stream.request.leave()

    def cut(self) -> int:
        """The worker can wait no longer; return how many requests that concerns."""
        for stream in self.open.values():
            stream.request.cut()
        return len(self.open)


def _unread(fields: Fields) -> RequestHead:
    """The head of a request that is refused for its fields: nothing of them is known but how it is answered."""
    method = b"HEAD" if (b":method", b"HEAD") in fields else b""
    return RequestHead(method, b"", b"", 1, b"", NO_FIELDS, 2)


EVENTS: Final[dict[type[Event], Callable[[Streams, Any], None]]] = {
    RequestReceived: Streams._take_request,
    DataReceived: Streams._take_data,
    TrailersReceived: Streams._take_trailers,
    StreamReset: Streams._take_reset,
}
"""What is done for the events of h2 that concern one stream."""
