"""How a server is reached: endpoints of Twisted whose connections write at once.

A ``rediss://`` server is spoken to over TLS, when its certificate is valid, is for its name and is vouched for; or not
at all.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.internet import unix
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorPluggableNameResolver, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import ClientFactory
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates
from zope.interface import directlyProvides

from tracseq_gateway.config.redis_url import Tcp, Unix
from tracseq_gateway.net.connect import EagerConnector
from tracseq_gateway.net.transport import EagerWrites

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def server_endpoint(reactor: Any, place: Tcp | Unix, ca: str, seconds: float) -> IStreamClientEndpoint:
    """Give the endpoint of one server; ``seconds`` is how long an attempt to connect may take.

    ``ca`` names the file of the certificates that a TLS server's is verified by; empty: those of the system. Raises
    ValueError or OSError for a file that cannot be used; it is read now.
    """
    eager = _EagerConnections(reactor)
    if isinstance(place, Unix):
        return UNIXClientEndpoint(eager, place.path, timeout=seconds)
    endpoint = HostnameEndpoint(eager, place.host, place.port, timeout=seconds)
    if not place.tls:
        return endpoint
    return wrapClientTLS(optionsForClientTLS(place.host, trustRoot=_trust(ca)), endpoint, reactor)


def _trust(ca: str) -> Any:
    if not ca:
        return platformTrust()
    blocks = _CERTIFICATE.findall(Path(ca).read_bytes())
    if not blocks:
        raise ValueError(f"{ca} has no certificate in it (PEM)")
    try:
        return trustRootFromCertificates([Certificate.loadPEM(block) for block in blocks])
    except Exception as error:  # OpenSSL's, of several kinds
        raise ValueError(f"{ca} has a certificate that cannot be read: {error}") from error


class _EagerConnections:
    """As much of the reactor as endpoints use, with transports that write at once."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        clock: IReactorTime = reactor
        self.seconds = clock.seconds
        self.callLater = clock.callLater
        directlyProvides(self, IReactorPluggableNameResolver)

    @property
    def nameResolver(self) -> Any:
        return self._reactor.nameResolver

    def connectTCP(
        self, host: str, port: int, factory: ClientFactory, timeout: float = 30, bindAddress: Any = None
    ) -> EagerConnector:
        connector = EagerConnector(host, port, factory, timeout, bindAddress, self._reactor)
        connector.connect()
        return connector

    def connectUNIX(
        self, address: str, factory: ClientFactory, timeout: float = 30, checkPID: bool = False
    ) -> unix.Connector:
        connector = _EagerUnixConnector(address, factory, timeout, self._reactor, checkPID)
        connector.connect()
        return connector


class _EagerUnixClient(EagerWrites, unix.Client):  # type: ignore[misc]
    """A connection to a unix socket."""


class _EagerUnixConnector(unix.Connector):
    """Makes such a connection."""

    def _makeTransport(self) -> Any:
        return _EagerUnixClient(self.address, self, self.reactor, self.checkPID)
