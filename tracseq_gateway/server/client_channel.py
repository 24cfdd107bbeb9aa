"""What the channels of all protocols have in common: where a connection comes from, and that it is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.protocol import Protocol

from tracseq_gateway.http.origin import ForwardedLines
from tracseq_gateway.server.arrival import DIRECT, Arrival
from tracseq_gateway.server.read_gate import ReadGate

if TYPE_CHECKING:
    from tracseq_gateway.net.transport import EagerServer
    from tracseq_gateway.server.site import GatewaySite


class ClientChannel(Protocol):
    """One client connection, which speaks HTTP from now on. A push producer: transports pause it."""

    transport: EagerServer
    forwarded: ForwardedLines
    _reading: ReadGate

    def __init__(self, site: GatewaySite, arrival: Arrival = DIRECT) -> None:
        self.site = site
        self._arrival = arrival
        self.tls = arrival.tls
        self.secure = arrival.tls is not None
        self.via = site.via
        self.root = site.resource if self.secure else site.clear_resource
        self.local_port = 0
        self.address = ""
        """The peer's: a client's, or that of a proxy in front."""

    def _take_over(self) -> float:
        """Say who is there, and count him; return how many seconds he has for his first request's head.

        0: there is no room for him, and the connection is cut.
        """
        transport, arrival, site = self.transport, self._arrival, self.site
        host, peer = transport.getHost(), transport.getPeer()
        self.local_port = host.port
        self.address = peer.host
        self._reading = ReadGate(transport)
        self.forwarded = ForwardedLines(
            arrival.address or peer.host,
            b"https" if self.secure else b"http",
            host.port,
            site.trusted if arrival.vouched else (),
            self.via.encode("ascii"),
        )
        transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        if self in site.channels or site.opened(self):
            return arrival.seconds_left or site.limits.head_seconds
        transport.abortConnection()
        return 0.0

    def drain(self) -> None:
        """See :class:`tracseq_gateway.server.site.ClientConnection`."""
        raise NotImplementedError

    def cut(self) -> int:
        """See :class:`tracseq_gateway.server.site.ClientConnection`."""
        raise NotImplementedError
