"""A gateway in memory: real channel, chain, proxy and pool between fake transports, on a fake clock.

``MemoryGateway`` gives a client's side (:class:`MemoryClient`) and a service's side (:class:`MemoryService`); nothing
waits, nothing listens, and every byte that crosses either side can be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from httptools import HttpRequestParser
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConnector
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tracseq_gateway.config.model import Client, Config, Gateway, Instance, Service
from tracseq_gateway.service import Gateway as WorkerGateway


class MemoryTransport(StringTransport):
    """A transport whose written bytes pile up until the test takes them."""

    def __init__(self, peer: str = "192.0.2.7") -> None:
        super().__init__(IPv4Address("TCP", "192.0.2.1", 8000), IPv4Address("TCP", peer, 40000))
        self.aborted = False
        self.write_closed = False
        self.waiting = 0
        """What ``unsent`` says: set it to play a peer that does not read."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def unsent(self) -> int:
        return self.waiting

    def loseWriteConnection(self) -> None:
        self.write_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()

    def fill(self) -> None:
        """Play a peer that reads too slowly."""
        self.waiting = 65537
        if self.producer is not None:
            self.producer.pauseProducing()

    def drain(self) -> None:
        """Play a peer that has read everything."""
        self.waiting = 0
        if self.producer is not None:
            self.producer.resumeProducing()

    @property
    def closed(self) -> bool:
        """Whether our side has asked to close, at once or after a flush, or has said its last byte."""
        return self.disconnecting or self.aborted or self.write_closed


class MemoryClient:
    """A client's connection to the gateway."""

    def __init__(self, gateway: MemoryGateway, peer: str = "192.0.2.7") -> None:
        self.transport = MemoryTransport(peer)
        self.channel = gateway.worker.site.buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Send bytes, unless the gateway has closed the connection."""
        if not (self.transport.disconnecting or self.transport.aborted):
            self.channel.dataReceived(data)

    def send_in(self, pieces: Sequence[bytes]) -> None:
        """Send bytes piece by piece."""
        for piece in pieces:
            self.send(piece)

    def leave(self) -> None:
        """Close the connection from the client's side."""
        self.channel.connectionLost(Failure(ConnectionDone()))

    @property
    def received(self) -> bytes:
        """All that the gateway has sent."""
        value: bytes = self.transport.value()
        return value

    @property
    def closed(self) -> bool:
        """Whether the gateway has closed the connection."""
        return self.transport.closed


class Received:
    """A complete request as the service saw it."""

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]


class ServiceConnection:
    """A connection that the gateway has opened to the service; parses what it sends with llhttp, strictly."""

    def __init__(self, service: MemoryService, protocol: Any) -> None:
        self.service = service
        self.protocol = protocol
        self.transport = MemoryTransport()
        self.requests: list[Received] = []
        """Complete requests."""
        self._current = Received()
        self._parser = HttpRequestParser(self)
        self._taken = 0
        self.lost = False
        self.transport.write = self._written  # type: ignore[method-assign]

    def _written(self, data: bytes) -> None:
        StringTransport.write(self.transport, data)
        self._parser.feed_data(data)

    # httptools calls.

    def on_message_begin(self) -> None:
        self._current = Received()

    def on_url(self, url: bytes) -> None:
        self._current.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._current.fields.append((name, value))

    def on_body(self, data: bytes) -> None:
        self._current.body += data

    def on_message_complete(self) -> None:
        self._current.method = self._parser.get_method()
        self.requests.append(self._current)
        self.service.requests.append(self._current)
        if self.service.answer is not None:
            self.service.pending.append((self, self.service.answer))

    # The test calls.

    def answer(self, data: bytes) -> None:
        """Send bytes to the gateway, unless it has closed the connection."""
        if not self.lost and not self.transport.closed:
            self.protocol.dataReceived(data)

    def close(self, *, reset: bool = False) -> None:
        """Close the connection from the service's side."""
        if not self.lost:
            self.lost = True
            self.protocol.connectionLost(Failure(ConnectionLost() if reset else ConnectionDone()))

    def settle(self) -> None:
        """Carry out a close that the gateway asked for."""
        if not self.lost and (self.transport.disconnecting or self.transport.aborted):
            self.lost = True
            aborted = self.transport.aborted
            self.protocol.connectionLost(Failure(ConnectionAborted() if aborted else ConnectionDone()))


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class MemoryService:
    """The service's side. ``answer`` is sent for each complete request; None: the test answers itself."""

    def __init__(self, answer: bytes | None = OK) -> None:
        self.answer = answer
        self.connections: list[ServiceConnection] = []
        self.requests: list[Received] = []
        self.attempts: list[tuple[str, int]] = []
        """Hosts and ports that were connected to."""
        self.pending: list[tuple[ServiceConnection, bytes]] = []
        self.refuse: Failure | None = None
        """Set it to let attempts to connect fail."""
        self.hold = False
        """Set it to let attempts to connect hang."""

    def connect(self, host: str, port: int, factory: ClientFactory, timeout: float | None) -> None:
        """What the gateway's pools call."""
        self.attempts.append((host, port))
        connector: IConnector = None  # type: ignore[assignment]
        if self.hold:
            return
        if self.refuse is not None:
            factory.clientConnectionFailed(connector, self.refuse)
            return
        protocol: Any = factory.buildProtocol(None)
        connection = ServiceConnection(self, protocol)
        self.connections.append(connection)
        protocol.makeConnection(connection.transport)

    def run(self) -> None:
        """Send the answers that are due, and carry out closes, until nothing moves."""
        moved = True
        while moved:
            moved = bool(self.pending)
            pending, self.pending = self.pending, []
            for connection, answer in pending:
                connection.answer(answer)
            for connection in self.connections:
                connection.settle()


class MemoryGateway:
    """A worker's gateway on a fake clock, with one service that owns ``/`` and keeps paths as they are."""

    def __init__(
        self,
        *,
        client: Client | None = None,
        gateway: Gateway | None = None,
        services: dict[str, Service] | None = None,
        answer: bytes | None = OK,
        **service_settings: Any,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        if services is None:
            settings: dict[str, Any] = {
                "prefix": "/",
                "rewrite": "",
                "instances": (Instance("http://127.0.0.1:9001"),),
                **service_settings,
            }
            services = {"all": Service("all", **settings)}
        self.service = MemoryService(answer)
        self.worker = WorkerGateway(
            Config(gateway=gateway or Gateway(), client=client or Client(), services=services),
            self.clock,
            connect=self.service.connect,
        )

    def client(self, peer: str = "192.0.2.7") -> MemoryClient:
        """A new connection of a client."""
        return MemoryClient(self, peer)

    def exchange(self, data: bytes, split: Callable[[bytes], Sequence[bytes]] | None = None) -> MemoryClient:
        """Connect, send ``data`` in the pieces of ``split``, let the service answer after each."""
        client = self.client()
        for piece in split(data) if split is not None else [data]:
            client.send(piece)
            self.service.run()
        return client

    def pass_time(self, seconds: float, step: float = 0.1) -> None:
        """Let time pass in small steps."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            self.service.run()


def whole(data: bytes) -> list[bytes]:
    """Everything in one read."""
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    """One byte a read."""
    return [data[index : index + 1] for index in range(len(data))]


def by_line(data: bytes) -> list[bytes]:
    """A read ends after each LF."""
    return data.splitlines(keepends=True) if b"\r" not in data.replace(b"\r\n", b"") else _by_newline(data)


def _by_newline(data: bytes) -> list[bytes]:
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def before_newline(data: bytes) -> list[bytes]:
    """A read ends between CR and LF."""
    parts = data.split(b"\n")
    return [parts[0], *(b"\n" + part for part in parts[1:])] if len(parts) > 1 else [data]


SPLITS: dict[str, Callable[[bytes], list[bytes]]] = {
    "whole": whole,
    "bytes": byte_by_byte,
    "lines": by_line,
    "inside CRLF": before_newline,
}
