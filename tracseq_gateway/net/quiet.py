"""Endpoints for HTTP clients of the control path, whose connections leave no lines in the log."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.web.client import URI, HTTPConnectionPool, _HTTP11ClientFactory
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer


@implementer(IAgentEndpointFactory)
class QuietEndpoints:
    """Endpoints of services, which speak plain HTTP; for ``Agent.usingEndpointFactory``."""

    def __init__(self, reactor: IReactorTime, connect_seconds: float = 30.0) -> None:
        self._reactor: Any = reactor
        self._connect_seconds = connect_seconds

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return the endpoint of a URL's host and port. Raises ValueError for what is not ``http``."""
        if uri.scheme != b"http":
            raise ValueError("services are asked by http only")
        endpoint = HostnameEndpoint(self._reactor, uri.host, uri.port, self._connect_seconds)
        return _QuietEndpoint(endpoint)


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
