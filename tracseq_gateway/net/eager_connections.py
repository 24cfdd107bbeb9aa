"""Connections that write at once, for Twisted's endpoints."""

from __future__ import annotations

from typing import Any

from twisted.internet import unix
from twisted.internet.interfaces import IReactorPluggableNameResolver, IReactorTime
from twisted.internet.protocol import ClientFactory
from zope.interface import directlyProvides

from tracseq_gateway.net.connect import EagerConnector
from tracseq_gateway.net.transport import EagerWrites


class EagerConnections:
    """As much of the reactor as endpoints use, with transports that write at once."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        clock: IReactorTime = reactor
        self.seconds = clock.seconds
        self.callLater = clock.callLater
        directlyProvides(self, IReactorPluggableNameResolver)

    @property
    def nameResolver(self) -> Any:
        """The reactor's own."""
        return self._reactor.nameResolver

    def connectTCP(
        self, host: str, port: int, factory: ClientFactory, timeout: float = 30, bindAddress: Any = None
    ) -> EagerConnector:
        """See :class:`twisted.internet.interfaces.IReactorTCP`."""
        connector = EagerConnector(host, port, factory, timeout, bindAddress, self._reactor)
        connector.connect()
        return connector

    def connectUNIX(
        self, address: str, factory: ClientFactory, timeout: float = 30, checkPID: bool = False
    ) -> unix.Connector:
        """See :class:`twisted.internet.interfaces.IReactorUNIX`."""
        connector = _EagerUnixConnector(address, factory, timeout, self._reactor, checkPID)
        connector.connect()
        return connector


class _EagerUnixClient(EagerWrites, unix.Client):  # type: ignore[misc]
    """A connection to a unix socket."""


class _EagerUnixConnector(unix.Connector):
    """Makes such a connection."""

    def _makeTransport(self) -> Any:
        return _EagerUnixClient(self.address, self, self.reactor, self.checkPID)
