"""HTTP/2 on one client connection (RFC 9113), on h2.

h2 knows the frames, the windows and the states of streams; this module gives it bytes and does what it says. Rules:

1. No more than :data:`FRAMES_A_TURN` frames are taken up in one turn of the reactor: others wait, too.
2. While the client does not read, nothing that it sends is taken up; so what it is owed cannot pile up.
3. What serves nobody is bounded, whoever asks for it: see ``h2_floods``. Beyond it the connection ends.
4. An orderly end is said twice while requests are under way (RFC 9113 section 6.8), so that none on its way is lost.
5. A request is what it is over HTTP/1.1, with the same limits and deadlines: see ``h2_stream``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from h2.errors import ErrorCodes
from h2.events import Event, PingAckReceived, RemoteSettingsChanged, WindowUpdated
from h2.exceptions import ProtocolError
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from tracseq_gateway.net.deadlines import Timer
from tracseq_gateway.server.arrival import DIRECT, Arrival
from tracseq_gateway.server.channel import DRAIN_IDLE_SECONDS, FIRST_REQUEST_SECONDS
from tracseq_gateway.server.client_channel import ClientChannel
from tracseq_gateway.server.farewell import Farewell
from tracseq_gateway.server.h2_floods import Floods
from tracseq_gateway.server.h2_frames import ACK, GOAWAY, PREFACE, SETTINGS, ConnectionFault, Frame, FrameReader, goaway
from tracseq_gateway.server.h2_outbox import Outbox
from tracseq_gateway.server.h2_session import Session
from tracseq_gateway.server.h2_streams import EVENTS, Streams
from tracseq_gateway.server.h2_writer import Writer
from tracseq_gateway.server.read_gate import FOR_AHEAD

if TYPE_CHECKING:
    from tracseq_gateway.server.site import GatewaySite

FRAMES_A_TURN: Final = 100
LAST_CALL_SECONDS: Final = 1.0
"""How long requests may still come after the end was announced, if the client does not say that it knows."""
_ANY_STREAM: Final = 2**31 - 1
_ANNOUNCED: Final = b"the end."
"""The payload of the PING behind an announcement."""


class _Ending(Enum):
    """How far an orderly end has come."""

    OPEN = 0
    ANNOUNCED = 1
    """No request should come any more, but those on their way are served."""
    SAID = 2
    """Those that come now are refused."""


@implementer(IPushProducer)
class H2Channel(ClientChannel):
    """One client connection."""

    def __init__(self, site: GatewaySite, arrival: Arrival = DIRECT) -> None:
        super().__init__(site, arrival)
        deadlines = site.deadlines
        self._session = session = Session(site.http2, site.head_limits.head)
        self._frames = FrameReader(2 * site.head_limits.head)
        self._floods = floods = Floods(deadlines.now)
        self._outbox = outbox = Outbox(session)
        self._writer = Writer(session, outbox, deadlines.clock, floods.sent, self._flushed)
        self._streams = Streams(self, session, outbox, self._writer, floods)
        self._settled = False
        """Whether the client has begun as it must, with its settings."""
        self._ending = _Ending.OPEN
        self._quiet = False
        """Whether the client has sent nothing for a while."""
        self._over = False
        """Whether nothing that comes is looked at any more."""
        self._turn: IDelayedCall | None = None
        self._timer = Timer(deadlines, self._expired)
        self._head_timer = Timer(deadlines, self._head_is_late)
        self._farewell = Farewell(deadlines, site.limits.write_idle_seconds)

    # The transport calls.

    def connectionMade(self) -> None:
        """A client connected."""
        seconds = self._take_over()
        if seconds:
            self._timer.start(seconds)
            self._session.receive_data(PREFACE)  # the reader has seen the client's, or will
            self._writer.open(self.transport)
            self._writer.flush()

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._over:
            return
        try:
            self._frames.add(data)
        except ConnectionFault as fault:
            self.fail(fault.code)
        else:
            if self._turn is None:
                self._take_up()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The client is gone."""
        self._stop()
        self._farewell.lost()
        self._streams.drop()
        self.site.closed(self)

    def pauseProducing(self) -> None:
        """The transport holds more than it should: the client reads slower than it is answered."""
        self._writer.paused = True
        self._farewell.watch(self.transport)
        self._reading.close(FOR_AHEAD)

    def resumeProducing(self) -> None:
        """The transport has sent everything."""
        self._writer.paused = False
        self._farewell.all_sent()
        if not self._over:
            self._writer.flush()
            if self._turn is None:
                self._take_up()

    def stopProducing(self) -> None:
        """The transport is going away; ``connectionLost`` follows."""

    # What comes.

    def _take_up(self) -> None:
        """Take up what has come, but not too much of it at once."""
        self._turn = None
        if self._writer.paused:
            return
        self._writer.collect()
        try:
            more = self._take_frames()
        except ConnectionFault as fault:
            self.fail(fault.code)
        except ProtocolError as fault:
            self.fail(fault.error_code, said=True)
        if self._over:
            return
        if not self._frames.in_head:
            self._head_timer.stop()
        elif not self._head_timer.running:
            self._head_timer.start(self.site.limits.head_seconds)
        if more:
            self._reading.close(FOR_AHEAD)
            self._turn = self.site.deadlines.clock.callLater(0, self._take_up)
        self._writer.flush()
        if not more and not self._writer.paused:
            self._reading.open(FOR_AHEAD)

    def _take_frames(self) -> bool:
        """Return whether there may be more."""
        for _ in range(FRAMES_A_TURN):
            frame = self._frames.take()
            if frame is None:
                return False
            self._take_frame(frame)
            if self._over:
                return False
        return True

    def _take_frame(self, frame: Frame) -> None:
        if not self._settled:
            if frame.kind != SETTINGS or frame.flags & ACK:
                raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._settled = True
            self.await_request()
        if not self._floods.frame(frame, self._streams.knows(frame.stream)):
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "too many frames that carry nothing")
        if frame.kind == GOAWAY and frame.size >= 8 and not frame.stream:
            # To h2 that is the end, but it is none for the answers that the client still waits for.
            self._say_the_last()
            return
        for event in self._session.receive_data(frame.raw):
            kind = type(event)
            if kind in EVENTS:
                EVENTS[kind](self._streams, event)
            elif kind in _EVENTS:
                _EVENTS[kind](self, event)

    def _take_window(self, event: WindowUpdated) -> None:
        self._outbox.window_opened(event.stream_id)

    def _take_settings(self, event: RemoteSettingsChanged) -> None:
        self._outbox.windows_changed()

    def _take_pong(self, event: PingAckReceived) -> None:
        if event.ping_data == _ANNOUNCED and self._ending is _Ending.ANNOUNCED:
            self._say_the_last()

    # The end.

    @property
    def refuses(self) -> bool:
        """Whether requests that come now are too late."""
        return self._ending is _Ending.SAID

    def request_began(self, last: bool) -> None:
        """A request came; ``last``: it is as many as one connection may bring."""
        if self._ending is _Ending.OPEN:
            self._timer.stop()
            if last or self.site.draining:
                self._announce_the_end()

    def await_request(self) -> None:
        """No request is under way."""
        if self._ending is _Ending.ANNOUNCED:
            # A client that waits for nothing may not read, and would ask next on a connection that takes no more.
            self._say_the_last()
        elif self._ending is _Ending.OPEN:
            self._timer.start(self.site.limits.idle_seconds)
            if self.site.hurried:
                self.drain()

    def _announce_the_end(self) -> None:
        if self._ending is _Ending.OPEN:
            self._ending = _Ending.ANNOUNCED
            self._writer.write(goaway(_ANY_STREAM))
            self._session.ping(_ANNOUNCED)
            self._timer.start(LAST_CALL_SECONDS)
            self._writer.flush_soon(at_once=True)

    def _say_the_last(self) -> None:
        if self._ending is not _Ending.SAID:
            self._ending = _Ending.SAID
            self._timer.stop()
            self._writer.write(goaway(self._session.highest_inbound_stream_id))
            self._writer.flush_soon(at_once=True)

    def _flushed(self) -> None:
        """All is written that could be: if nothing is left to do, close."""
        if self._ending is _Ending.SAID and not self._streams.open and not self._over:
            self._stop()
            self._streams.drop()
            if self._quiet:
                self._farewell.close(self.transport)
            else:
                # Windows are opened for the last answer, and acknowledged what was said before it.
                self._reading.open(FOR_AHEAD)
                self._farewell.linger(self.transport)

    def fail(self, code: ErrorCodes, *, said: bool = False) -> None:
        """The client broke a rule: end the connection, with what is open on it. ``said``: h2 has told the client."""
        if self._over:
            return
        self.site.http2_faults[code.name.lower()] += 1
        if not said:
            self._session.close_connection(code)
        self._writer.write(b"")
        self._stop()
        self._streams.drop()
        self._reading.open(FOR_AHEAD)
        self._farewell.linger(self.transport)

    def _stop(self) -> None:
        """Take up, and write, nothing more."""
        self._over = True
        self._timer.close()
        self._head_timer.close()
        self._writer.close()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _expired(self) -> None:
        """The deadline of the present state has passed."""
        if not self._settled:
            self.fail(ErrorCodes.SETTINGS_TIMEOUT)
        else:
            self._quiet = self._ending is _Ending.OPEN
            self._say_the_last()

    def _head_is_late(self) -> None:
        self.fail(ErrorCodes.ENHANCE_YOUR_CALM)

    def drain(self) -> None:
        """Let no more requests come than those on their way, and close when all are answered."""
        if self._streams.open:
            self._announce_the_end()
            self._streams.leave()
        elif self._ending is _Ending.OPEN:
            self._timer.start(DRAIN_IDLE_SECONDS if self._streams.served else FIRST_REQUEST_SECONDS)

    def cut(self) -> int:
        """Close whatever is under way; return how many requests were cut."""
        cut = self._streams.cut()
        self.transport.abortConnection()
        return cut


_EVENTS: Final[dict[type[Event], Callable[[H2Channel, Any], None]]] = {
    WindowUpdated: H2Channel._take_window,
    RemoteSettingsChanged: H2Channel._take_settings,
    PingAckReceived: H2Channel._take_pong,
}
"""What is done for the events of h2 that are the connection's own."""
