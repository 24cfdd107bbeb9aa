"""Opens connections that write eagerly, to an address or to a name.

A name is looked up in both families, off the reactor's thread, and its addresses are tried in order: as the probes do
it, so that an instance which a probe reaches is reached by requests too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet import tcp
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from tracseq_gateway.net.transport import EagerClient


class EagerConnector(tcp.Connector):
    """Connects to the first address that accepts: ``host``, then those of ``others``.

    The factory hears of the last failure only; ``timeout`` is for each attempt, None for none.
    """

    def __init__(
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float | None,
        bindAddress: Any,
        reactor: Any,
        others: Sequence[str] = (),
    ) -> None:
        super().__init__(host, port, factory, timeout, bindAddress, reactor)  # type: ignore[arg-type]
        self._others = list(others)

    def _makeTransport(self) -> EagerClient:
        return EagerClient(self.host, self.port, self.bindAddress, self, self.reactor)

    def connectionFailed(self, reason: Failure) -> None:
        """Try the next address, or tell the factory."""
        if not self._others or self.state != "connecting":
            super().connectionFailed(reason)
            return
        self.cancelTimeout()
        self.transport = None
        self.state = "disconnected"
        self.host = self._others.pop(0)
        self.connect()


@implementer(IResolutionReceiver)
class _Lookup:
    """Collects the addresses of a name, and connects to them."""

    def __init__(self, host: str, port: int, factory: ClientFactory, timeout: float | None, reactor: Any) -> None:
        self._host = host
        self._rest = (port, factory, timeout, reactor)
        self._factory = factory
        self._addresses: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Nothing is to be done yet."""

    def addressResolved(self, address: IAddress) -> None:
        """One more."""
        self._addresses.append(address.host)  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        """Connect, or say that there is no such name."""
        if self._addresses:
            port, factory, timeout, reactor = self._rest
            first, *others = self._addresses
            EagerConnector(first, port, factory, timeout, None, reactor, others).connect()
        else:
            connector: Any = None
            self._factory.clientConnectionFailed(connector, Failure(DNSLookupError(self._host)))


def connect_tcp(host: str, port: int, factory: ClientFactory, timeout: float | None, reactor: Any) -> None:
    """Connect ``factory`` to ``host``, an address or a name; ``timeout`` in seconds for each attempt."""
    if isIPAddress(host) or isIPv6Address(host):
        EagerConnector(host, port, factory, timeout, None, reactor).connect()
    else:
        reactor.nameResolver.resolveHostName(_Lookup(host, port, factory, timeout, reactor), host, port)
