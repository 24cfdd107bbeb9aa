"""The server of one worker: what its client connections share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import Site

from tracseq_gateway.config.http2 import Http2
from tracseq_gateway.config.keys import Network
from tracseq_gateway.config.model import Client
from tracseq_gateway.errors import GatewayError
from tracseq_gateway.http.forwarding import known_request_lines
from tracseq_gateway.http.origin import is_trusted, parse_address
from tracseq_gateway.http.request_head import HeadLimits
from tracseq_gateway.interfaces import SWITCHED, Recorder
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.server.arrival import Arrival
from tracseq_gateway.server.channel import HTTPChannel
from tracseq_gateway.server.channel_face import Channel
from tracseq_gateway.server.h2_channel import H2Channel
from tracseq_gateway.server.h2_frames import FAULTS
from tracseq_gateway.server.opening import Opening
from tracseq_gateway.server.request import GatewayRequest, unread_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracseq_gateway.server.tls_contexts import ServerContexts


LAST_CALL_SECONDS = 1.0
"""How long before the end of a gentle drain what is still idle is closed in an orderly way."""


DEFAULT_HTTP2 = Http2()


class ClientConnection(Protocol):
    """One connection of a client, whatever is spoken on it."""

    address: str
    """The peer's: a client's, or that of a proxy in front."""

    def drain(self) -> None:
        """Close if idle and no request is on its way, else after the answers."""

    def cut(self) -> int:
        """Close whatever is under way; return how many requests were cut."""


ClientProtocol = Callable[["GatewaySite", Arrival], Any]
"""Makes a :class:`ClientConnection` that is a ``twisted.internet.protocol.Protocol`` as well."""


class GatewaySite(Site):
    """Makes a channel for each connection, counts, and drains."""

    noisy = False

    def __init__(
        self,
        root: IResource,
        reactor: Any,
        deadlines: Deadlines,
        limits: Client,
        trusted: Sequence[Network],
        via: str,
        wall_clock: Callable[[], float] = time.time,
        *,
        own_lines: Callable[[bool], bytes] = lambda secure: b"",
        kept_back: frozenset[bytes] = frozenset(),
        replaced: frozenset[bytes] = frozenset(),
        recorder: Recorder | None = None,
        proxied: bool = False,
        clear_root: IResource | None = None,
        http2: Http2 = DEFAULT_HTTP2,
    ) -> None:
        """``own_lines`` gives the lines of the gateway's own answers, by whether the client uses TLS; ``kept_back``
        are names of request fields that hold secrets for the gateway alone, ``replaced`` of those that it sets itself;
        ``recorder`` hears of every request's end;
        ``proxied`` says that connections begin with a PROXY header;
        ``clear_root`` is in the place of ``root`` for requests in clear;
        ``http2`` are the settings of HTTP/2.
        """
        super().__init__(root, reactor=reactor)
        self.clear_resource: IResource = clear_root or root
        self.proxied = proxied
        self.tls: ServerContexts | None = None
        """What clients are shown that use TLS; None: nobody can. Set by who has the certificates."""
        self.protocols: dict[bytes, ClientProtocol] = {b"http/1.1": HTTPChannel, b"http/1.0": HTTPChannel}
        if http2.enabled:
            self.protocols = {b"h2": H2Channel, **self.protocols}
        """By their names for ALPN, what can be spoken over TLS, in the order in which we prefer it."""
        self.own_lines = own_lines
        self._recorder = recorder
        self.deadlines = deadlines
        self.limits = limits
        self.trusted = trusted
        self.via = via
        self.head_limits = HeadLimits(
            limits.request_line, limits.head, limits.headers, limits.encoded_slashes == "keep"
        )
        self.known = known_request_lines(kept_back, replaced)
        self.draining = False
        """Whether each answer that begins from now on is the last of its connection."""
        self.hurried = False
        """Whether idle connections are closed within a moment."""
        self.active = 0
        self.awaited = 0
        """Of the active ones, those that are not worked on before more of their bodies has come."""
        self.tunnels = 0
        """Of the active ones, those that have switched to another protocol."""
        self.http2 = http2
        self.http2_faults: Counter[str] = Counter({code.name.lower(): 0 for code in FAULTS})
        """HTTP/2 connections that were ended for what the client did, by the name of the error code."""
        self.channels: set[ClientConnection] = set()
        self._by_address: Counter[str] = Counter()
        self._drained: Deferred[int] | None = None
        self._clock: IReactorTime = reactor
        self._wall_clock = wall_clock
        self._dated = 0
        self._date = b""

    def startFactory(self) -> None:
        """Start nothing: the log of twisted.web is not used."""

    def stopFactory(self) -> None:
        """Nothing was started."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make the channel of a new connection."""
        return Opening(self) if self.proxied or self.tls is not None or self.http2.clear else HTTPChannel(self)

    def opened(self, channel: ClientConnection) -> bool:
        """Count a connection in; return False if there is no room for it."""
        self.channels.add(channel)
        most = self.limits.max_connections
        return (not most or len(self.channels) <= most) and self._has_room(channel.address)

    def _has_room(self, address: str) -> bool:
        """Count one more connection of an address; return False if it has enough."""
        most = self.limits.max_connections_per_address
        if not most:
            return True
        self._by_address[address] += 1
        parsed = parse_address(address)
        return self._by_address[address] <= most or (parsed is not None and is_trusted(parsed, self.trusted))

    def follows(self, opening: ClientConnection, channel: ClientConnection) -> None:
        """A channel takes over a connection, which stays counted as it is."""
        self.channels.discard(opening)
        self.channels.add(channel)
        channel.address = opening.address

    def closed(self, channel: ClientConnection) -> None:
        """Count a connection out."""
        self.channels.discard(channel)
        if self._by_address:
            self._by_address[channel.address] -= 1
            if self._by_address[channel.address] <= 0:
                del self._by_address[channel.address]
        if not self.channels and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(0)

    @property
    def busy(self) -> int:
        """Requests that are being worked on."""
        return self.active - self.awaited - self.tunnels

    def request_began(self) -> None:
        """Count a request in."""
        self.active += 1

    def request_ended(self, request: GatewayRequest) -> None:
        """Count a request out, and tell those who wait for its end."""
        self.active -= 1
        if request.status == SWITCHED:
            self.tunnels -= 1
        request.over()
        if self._recorder is not None:
            self._recorder.request_ended(request)

    def refused_again(self, request: GatewayRequest) -> None:
        """A refusal was repeated: that was a request, too."""
        if self._recorder is not None:
            self._recorder.request_ended(request)

    def head_refused(self, channel: Channel, client: str, error: GatewayError, request_id: bytes) -> None:
        """Bytes were refused before they were a request: nobody waits for its end, but it is written down."""
        if self._recorder is not None:
            request = unread_request(channel, client, error, request_id)
            request.began = self.deadlines.now()
            self._recorder.request_ended(request)

    def date(self) -> bytes:
        """The time of day as a Date field has it."""
        now = int(self._wall_clock())
        if now != self._dated:
            self._dated = now
            self._date = formatdate(now, usegmt=True).encode("ascii")
        return self._date

    def drain(self, seconds: float, gentle: bool = False) -> Deferred[int]:
        """Close what is idle, let the rest finish for at most ``seconds``, then cut it.

        Fires when the last connection is closed, so that no answer is lost on its way, with the number of requests
        that were cut. The caller has stopped accepting connections.

        ``gentle``: a client must not notice, since others serve on. What is idle stays open until the answer to its
        next request tells the client that it is the last one, until its idle time is over, or until shortly before
        the deadline.
        """
        self.draining = True
        if not gentle:
            self.hasten()
        if not self.channels:
            return succeed(0)
        drained: Deferred[int] = Deferred()
        self._drained = drained
        timers = [self._clock.callLater(seconds, self._cut)]
        if gentle:
            timers.append(self._clock.callLater(max(0.0, seconds - LAST_CALL_SECONDS), self.hasten))

        def stop(cut: int) -> int:
            for timer in timers:
                if timer.active():
                    timer.cancel()
            return cut

        return drained.addCallback(stop)

    def hasten(self) -> None:
        """Close what is idle, now or later, and brings no request within a moment."""
        self.hurried = True
        for channel in list(self.channels):
            channel.drain()

    def _cut(self) -> None:
        drained, self._drained = self._drained, None
        cut = sum(channel.cut() for channel in list(self.channels))
        if drained is not None:
            drained.callback(cut)
