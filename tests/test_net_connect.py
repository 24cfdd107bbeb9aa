"""Connections to names and addresses."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tracseq_gateway.net.connect import connect_tcp
from tracseq_gateway.net.transport import EagerClient

reactor: Any = _reactor


class Names:
    """A reactor whose names are what the test says."""

    def __init__(self, *addresses: str) -> None:
        self.nameResolver = self
        self._addresses = addresses

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def resolveHostName(self, receiver: Any, host: str, port: int) -> None:
        for address in self._addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, port))
        receiver.resolutionComplete()


class Asking(ClientFactory):
    """Fires with the protocol, or with why there is none."""

    noisy = False

    def __init__(self) -> None:
        self.done: Deferred[Protocol] = Deferred()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        protocol = Protocol()
        protocol.connectionMade = lambda: self.done.callback(protocol)  # type: ignore[method-assign]
        return protocol

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.done.errback(reason)


class ConnectTests(TestCase):
    timeout = 10

    def setUp(self) -> None:
        self.port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.factory = Asking()

    async def connect(self, host: str, names: Any = reactor) -> None:
        connect_tcp(host, self.port.getHost().port, self.factory, 5.0, names)
        protocol = await self.factory.done
        transport: Any = protocol.transport
        self.assertIsInstance(transport, EagerClient)
        closed: Deferred[None] = Deferred()
        protocol.connectionLost = lambda reason: closed.callback(None)  # type: ignore[method-assign,misc,assignment]
        transport.abortConnection()
        await closed

    async def test_address(self) -> None:
        """An address is connected to as it is."""
        await self.connect("127.0.0.1")

    async def test_name(self) -> None:
        """A name that really is looked up leads to its address."""
        await self.connect("localhost")

    async def test_next_address(self) -> None:
        """Of a name's addresses, of both families, the first that accepts is taken."""
        await self.connect("service", Names("::1", "127.0.0.2", "127.0.0.1"))

    async def test_none_accepts(self) -> None:
        """When no address accepts, the last failure is told, once."""
        await self.assertFailure(self.attempt("service", Names("127.0.0.2", "127.0.0.3")), ConnectionRefusedError)

    async def test_unknown_name(self) -> None:
        """A name without an address is a failed look-up."""
        await self.assertFailure(self.attempt("service", Names()), DNSLookupError)

    def attempt(self, host: str, names: Any) -> Deferred[Protocol]:
        connect_tcp(host, self.port.getHost().port, self.factory, 5.0, names)
        return self.factory.done
