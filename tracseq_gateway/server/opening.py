"""The first protocol of a connection that begins with something else than a request.

A PROXY header may come first. Rules:

1. Only a trusted proxy is listened to, and it must say something: a peer without the right or without a header could
   name any address.
2. What is malformed is cut at once, with nothing answered: who sent it does not speak HTTP here.
3. The address that is carried is the peer's from then on, also where trusted proxies are concerned.
4. All of it must come within the time for the first request's head, which goes on running behind it.

Once all is known, a channel takes the connection over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from tracseq_gateway.http.origin import is_trusted, parse_address
from tracseq_gateway.net.deadlines import Timer
from tracseq_gateway.server.arrival import DIRECT, Arrival
from tracseq_gateway.server.channel import FIRST_REQUEST_SECONDS, HTTPChannel
from tracseq_gateway.server.proxy_header import BadProxyHeader, carried_address, header_length, speaks_for_itself

if TYPE_CHECKING:
    from tracseq_gateway.net.transport import EagerServer
    from tracseq_gateway.server.site import GatewaySite

LEAST_SECONDS = 0.001
"""What is left at least of a time that has not run out."""


class Opening(Protocol):
    """See the module."""

    transport: EagerServer

    def __init__(self, site: GatewaySite) -> None:
        self.site = site
        self.address = ""
        """The peer's."""
        self._opening = b""
        """What has come of the header."""
        self._timer = Timer(site.deadlines, self._expired)

    def connectionMade(self) -> None:
        """A proxy connected, or somebody who should not have."""
        self.address = self.transport.getPeer().host
        peer = parse_address(self.address)
        counted = self.site.opened(self)
        if not counted or peer is None or not is_trusted(peer, self.site.trusted):
            self.transport.abortConnection()
        else:
            self._timer.start(self.site.limits.head_seconds)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the proxy: first its header, then the client's."""
        self._opening += data
        try:
            end = header_length(self._opening)
            if end is None:
                return
            arrival = _arrival(self._opening[:end])
        except BadProxyHeader:
            # What came stays where it is: were there ever more, it would be no better.
            self.transport.abortConnection()
            return
        self._hand_over(arrival, self._opening[end:])

    def _hand_over(self, arrival: Arrival, data: bytes) -> None:
        """Let a channel have the connection, and the first bytes for it."""
        transport = self.transport
        channel = HTTPChannel(self.site, evolve(arrival, seconds_left=max(self._timer.left, LEAST_SECONDS)))
        self._timer.close()
        self.site.follows(self, channel)
        transport.protocol = channel
        channel.makeConnection(transport)
        if data:
            channel.dataReceived(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The peer is gone before it said who it is."""
        self._timer.close()
        self.site.closed(self)

    def _expired(self) -> None:
        self.transport.loseConnection()

    # Draining.

    def drain(self) -> None:
        """Close in a moment, unless a request comes by then."""
        self._timer.start(FIRST_REQUEST_SECONDS)

    def cut(self) -> bool:
        """Close at once; no request is cut by that."""
        self.transport.abortConnection()
        return False


def _arrival(header: bytes) -> Arrival:
    """What a whole PROXY header says; raises :class:`BadProxyHeader`."""
    if speaks_for_itself(header):
        return DIRECT
    address = carried_address(header)
    # Somebody's bytes, but not whose: the proxy stands for them, and what they say of themselves is not its.
    return Arrival(vouched=False) if address is None else Arrival(address)
