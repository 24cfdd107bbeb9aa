"""Endpoints for HTTP clients of the control path, whose connections leave no lines in the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.web.client import URI, HTTPConnectionPool, _HTTP11ClientFactory
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from tracseq_gateway.net.eager_connections import EagerConnections
from tracseq_gateway.net.tls_endpoint import TLSEndpoint
from tracseq_gateway.net.tls_peer import Peer

PeerOf = Callable[[str], Peer]


@implementer(IAgentEndpointFactory)
class QuietEndpoints:
    """Endpoints of services; for ``Agent.usingEndpointFactory``."""

    def __init__(self, reactor: IReactorTime, peer_of: PeerOf, connect_seconds: float = 30.0) -> None:
        """``peer_of`` says who should be at the host of an ``https`` URL."""
        self._reactor: Any = reactor
        self._peer_of = peer_of
        self._connect_seconds = connect_seconds

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return the endpoint of a URL's host and port. Raises ValueError for what is neither http nor https."""
        if uri.scheme not in (b"http", b"https"):
            raise ValueError("services are asked by http and https only")
        if uri.scheme == b"http":
            return _QuietEndpoint(HostnameEndpoint(self._reactor, uri.host, uri.port, self._connect_seconds))
        peer = self._peer_of(uri.host.decode("ascii"))
        below = HostnameEndpoint(EagerConnections(self._reactor), uri.host, uri.port, self._connect_seconds)
        return TLSEndpoint(below, peer, self._connect_seconds, self._reactor)


@implementer(IStreamClientEndpoint)
class _QuietEndpoint:
    """With a request every few seconds, two lines for each connection would be most of the log."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        if isinstance(protocolFactory, Factory):
            protocolFactory.noisy = False
        return self._endpoint.connect(protocolFactory)


class _QuietFactory(_HTTP11ClientFactory):
    noisy = False


class QuietPool(HTTPConnectionPool):
    """A pool for an ``Agent`` that chooses its endpoints itself, ``https`` among them."""

    _factory = _QuietFactory
