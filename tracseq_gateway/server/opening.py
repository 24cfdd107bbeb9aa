"""The first protocol of a connection on a site that has more to find out than what a request says.

A PROXY header may come first, and then, on a site with certificates, TLS or HTTP in clear. Rules:

1. Only a trusted proxy is listened to, and it must say something: a peer without the right or without a header could
   name any address.
2. What is malformed is cut at once, with nothing answered: who sent it does not speak HTTP here.
3. The address that is carried is the peer's from then on, also where trusted proxies are concerned.
4. All of it must come within the time for the first request's head, which goes on running behind it.
5. The first byte tells TLS from HTTP: a record of a handshake begins with one that no method has.

Once all is known, a channel takes the connection over. Which one says :attr:`GatewaySite.protocols`, by what client and
gateway agreed on by ALPN; in clear, the first bytes tell HTTP/2 from HTTP/1.1, if it is spoken there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve
from OpenSSL.SSL import Error
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.http.origin import is_trusted, parse_address
from tracseq_gateway.net.deadlines import Timer
from tracseq_gateway.net.tls import TLSTransport
from tracseq_gateway.server.arrival import DIRECT, Arrival
from tracseq_gateway.server.channel import FIRST_REQUEST_SECONDS, HTTPChannel
from tracseq_gateway.server.h2_channel import H2Channel
from tracseq_gateway.server.h2_frames import PREFACE
from tracseq_gateway.server.proxy_header import BadProxyHeader, carried_address, header_length, speaks_for_itself
from tracseq_gateway.server.tls_contexts import NoCommonProtocol
from tracseq_gateway.server.tls_facts import facts_of

if TYPE_CHECKING:
    from tracseq_gateway.net.transport import EagerServer
    from tracseq_gateway.server.site import ClientProtocol, GatewaySite

LEAST_SECONDS = 0.001
"""What is left at least of a time that has not run out."""

_HANDSHAKE = b"\x16"
"""The first byte of a TLS connection (RFC 8446 section 5.1)."""

_log = Logger()


class Opening(Protocol):
    """See the module."""

    transport: EagerServer

    def __init__(self, site: GatewaySite) -> None:
        self.site = site
        self.address = ""
        """The peer's."""
        self._arrival = None if site.proxied else DIRECT
        """What is known of the client so far; None before a PROXY header."""
        self._came = b""
        """What has come and is not understood yet."""
        self._late = False
        self._timer = Timer(site.deadlines, self._expired)

    def connectionMade(self) -> None:
        """Somebody connected."""
        self.address = self.transport.getPeer().host
        counted = self.site.opened(self)
        if not counted or (self._arrival is None and not self._may_carry()):
            self.transport.abortConnection()
        else:
            self._timer.start(self.site.limits.head_seconds)

    def _may_carry(self) -> bool:
        peer = parse_address(self.address)
        return peer is not None and is_trusted(peer, self.site.trusted)

    def dataReceived(self, data: bytes) -> None:
        """Take the first bytes: a proxy's header, then the client's."""
        self._came += data
        if self._arrival is None:
            try:
                end = header_length(self._came)
                if end is None:
                    return
                self._arrival = _arrival(self._came[:end])
            except BadProxyHeader:
                # What came stays where it is: were there ever more, it would be no better.
                self.transport.abortConnection()
                return
            self._came = self._came[end:]
        if self.site.tls is None:
            self._begin_clear(self._arrival)
        elif self._came.startswith(_HANDSHAKE):
            self._begin_tls()
        elif self._came:
            self._begin_clear(self._arrival)

    def _begin_clear(self, arrival: Arrival) -> None:
        kind = self._spoken_in_clear()
        if kind is None:
            return
        transport = self.transport
        channel = self._successor(kind, arrival)
        transport.protocol = channel
        channel.makeConnection(transport)
        if self._came:
            channel.dataReceived(self._came)

    def _spoken_in_clear(self) -> ClientProtocol | None:
        """What the client speaks; None while it may be either still, for HTTP/2 begins with words of its own."""
        came = self._came
        if not self.site.http2.clear or came[: len(PREFACE)] != PREFACE[: len(came)]:
            return HTTPChannel
        return H2Channel if len(came) >= len(PREFACE) else None

    def _successor(self, kind: ClientProtocol, arrival: Arrival) -> Any:
        """Make the channel that has the connection from now on."""
        channel = kind(self.site, evolve(arrival, seconds_left=max(self._timer.left, LEAST_SECONDS)))
        self._timer.close()
        self.site.follows(self, channel)
        return channel

    # TLS.

    def _begin_tls(self) -> None:
        assert self.site.tls is not None, "asked for only when there are certificates"
        transport = self.transport
        hello, self._came = self._came, b""
        tls = TLSTransport(self.site.tls.connection(), self._established, self._failed)
        transport.protocol = tls
        tls.makeConnection(transport)
        tls.dataReceived(hello)

    def _established(self, transport: TLSTransport) -> Any:
        """The handshake is complete: say who speaks."""
        site, connection = self.site, transport.tls
        facts = facts_of(connection)
        # Without ALPN it is HTTP/1.1: nobody has agreed on anything else.
        kind = site.protocols.get(connection.get_alpn_proto_negotiated(), HTTPChannel)
        assert site.tls is not None, "or there would have been no handshake"
        site.tls.handshakes[facts.version] += 1
        return self._successor(kind, evolve(self._arrival or DIRECT, tls=facts))

    def _failed(self, reason: Failure) -> None:
        """The connection was lost within the handshake."""
        if isinstance(reason.value, NoCommonProtocol):
            cause = "no_protocol"
        elif isinstance(reason.value, Error):
            cause = "refused"
        else:
            cause = "timeout" if self._late else "left"
        assert self.site.tls is not None, "or there would have been no handshake"
        self.site.tls.failures[cause] += 1
        _log.debug("no TLS with {address}: {cause} ({why!r})", address=self.address, cause=cause, why=reason.value)
        self.connectionLost()

    # Ends.

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The peer is gone before it said what it wants."""
        self._timer.close()
        self.site.closed(self)

    def _expired(self) -> None:
        self._late = True
        if self.transport.unsent():
            self.transport.abortConnection()  # it does not even take our side of the handshake
        else:
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
