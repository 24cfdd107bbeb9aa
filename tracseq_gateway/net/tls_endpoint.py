"""TLS for who connects by Twisted's endpoints, as its HTTP clients do."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tracseq_gateway.net.tls import TLSTransport
from tracseq_gateway.net.tls_client import Attempt
from tracseq_gateway.net.tls_peer import Peer


@implementer(IStreamClientEndpoint)
class TLSEndpoint:
    """Connects as another endpoint does, and then by TLS, to nobody but ``peer``."""

    def __init__(self, endpoint: IStreamClientEndpoint, peer: Peer, seconds: float, clock: IReactorTime) -> None:
        """``seconds``: how long an attempt may take, handshake included."""
        self._endpoint = endpoint
        self._peer = peer
        self._seconds = seconds
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See :class:`twisted.internet.interfaces.IStreamClientEndpoint`.

        Fails with :exc:`tracseq_gateway.net.tls_failures.TLSFailure` when TLS does not come about.
        """

        def failed(reason: Failure) -> None:
            if not done.called:
                done.errback(reason)

        def give_up(_: Deferred[IProtocol]) -> None:
            connecting.cancel()
            attempt.abort()

        done: Deferred[IProtocol] = Deferred(give_up)
        attempt = Attempt(self._peer, _Announcing(protocolFactory, done), self._seconds, self._clock, failed)
        connecting = self._endpoint.connect(attempt)
        connecting.addErrback(failed)
        return done


class _Announcing(Factory):
    """Tells of the protocol that another factory makes when that is connected."""

    noisy = False

    def __init__(self, factory: IProtocolFactory, done: Deferred[IProtocol]) -> None:
        self._factory = factory
        self._done = done

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        address: Any = addr  # the interface of factories knows of no connection without one
        if self._done.called:
            return None
        protocol = self._factory.buildProtocol(address)
        return None if protocol is None else _Threshold(protocol, self._done)


class _Threshold(Protocol):
    """Leads the protocol to its transport, and is gone."""

    transport: TLSTransport

    def __init__(self, protocol: IProtocol, done: Deferred[IProtocol]) -> None:
        self._protocol = protocol
        self._done = done

    def connectionMade(self) -> None:
        self.transport.protocol = self._protocol
        self._protocol.makeConnection(self.transport)
        self._done.callback(self._protocol)
