"""A gateway in memory: real channel, chain, proxy and pool between fake transports, on a fake clock.

``MemoryGateway`` gives a client's side (:class:`MemoryClient`) and a service's side (:class:`MemoryService`); nothing
waits, nothing listens, and every byte that crosses either side can be looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from attrs import define
from httptools import HttpParserUpgrade, HttpRequestParser
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConnector
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tracseq_gateway.config.model import Client, Config, Gateway, Service
from tracseq_gateway.config.policies import Redis
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.service import Gateway as WorkerGateway


class MemoryTransport(StringTransport):
    """A transport whose written bytes pile up until the test takes them."""

    def __init__(self, peer: str = "192.0.2.7") -> None:
        super().__init__(IPv4Address("TCP", "192.0.2.1", 8000), IPv4Address("TCP", peer, 40000))
        self.aborted = False
        self.write_closed = False
        self.waiting = 0
        """What ``unsent`` says: set it to play a peer that does not read."""
        self.stalled = False
        """Whether the peer reads nothing: what is written waits, and beyond 64 KiB the producer is paused."""

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.stalled:
            self.waiting += len(data)
            if self.waiting > 65536 and self.producer is not None:
                self.producer.pauseProducing()

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
        self.stalled = False
        if self.producer is not None:
            self.producer.resumeProducing()

    @property
    def closed(self) -> bool:
        """Whether our side has asked to close, at once or after a flush, or has said its last byte."""
        return self.disconnecting or self.aborted or self.write_closed

    @property
    def reading(self) -> bool:
        """Whether our side wants to read."""
        return bool(self.producerState == "producing") and not self.closed


class MemoryClient:
    """A client's connection to the gateway."""

    def __init__(self, gateway: MemoryGateway, peer: str = "192.0.2.7") -> None:
        self.transport = MemoryTransport(peer)
        self.lost = False
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
        if not self.lost:
            self.lost = True
            self.channel.connectionLost(Failure(ConnectionDone()))

    def settle(self) -> None:
        """Carry out a close that the gateway asked for."""
        if self.transport.disconnecting or self.transport.aborted:
            self.leave()

    def answers(self, *methods: bytes) -> list[Answer]:
        """What the gateway has answered, read strictly; ``methods`` are those of the requests, GET if not given."""
        return read_answers(self.received, methods, ended=self.closed and not self.transport.aborted)

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
        self.upgrade_asked = False
        """Whether a request asked for another protocol: what follows it is not parsed."""
        self._current = Received()
        self._parser = HttpRequestParser(self)
        self._taken = 0
        self.lost = False
        self.transport.write = self._written  # type: ignore[method-assign]

    def _written(self, data: bytes) -> None:
        MemoryTransport.write(self.transport, data)
        if self.upgrade_asked:
            return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.upgrade_asked = True

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
        self.failures: dict[int, Exception] = {}
        """Ports and how an attempt to connect to them fails."""
        self.hold = False
        """Set it to let attempts to connect hang, until the test calls :meth:`admit` or :meth:`turn_away`."""
        self.held: list[ClientFactory] = []

    def connect(self, host: str, port: int, factory: ClientFactory, timeout: float | None) -> None:
        """What the gateway's pools call."""
        self.attempts.append((host, port))
        if self.hold:
            self.held.append(factory)
        elif self.refuse is not None:
            self._fail(factory, self.refuse)
        elif port in self.failures:
            self._fail(factory, Failure(self.failures[port]))
        else:
            self._connect(factory)

    def _connect(self, factory: ClientFactory) -> ServiceConnection:
        protocol: Any = factory.buildProtocol(None)
        connection = ServiceConnection(self, protocol)
        self.connections.append(connection)
        protocol.makeConnection(connection.transport)
        return connection

    def _fail(self, factory: ClientFactory, reason: Failure) -> None:
        connector: IConnector = None  # type: ignore[assignment]
        factory.clientConnectionFailed(connector, reason)

    def admit(self) -> ServiceConnection:
        """Let the attempt succeed that has been held longest."""
        return self._connect(self.held.pop(0))

    def turn_away(self, reason: Exception) -> None:
        """Let the attempt fail that has been held longest."""
        self._fail(self.held.pop(0), Failure(reason))

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


EPOCH = 1_780_000_000.0
"""Seconds from 1970 to when the fake clocks say 0."""


class MemoryGateway:
    """A worker's gateway on a fake clock, with one service that owns ``/`` and keeps paths as they are."""

    def __init__(
        self,
        *,
        client: Client | None = None,
        gateway: Gateway | None = None,
        services: dict[str, Service] | None = None,
        answer: bytes | None = OK,
        tables: dict[str, Any] | None = None,
        environ: dict[str, str] | None = None,
        **service_settings: Any,
    ) -> None:
        """``tables`` are further tables of the configuration, by name; ``environ`` holds secrets."""
        self.clock = Clock()
        self.clock.advance(1000.0)
        if services is None:
            settings: dict[str, Any] = {
                "prefix": "/",
                "rewrite": "",
                "instances": (Instance("http://127.0.0.1:9001"),),
                "body_buffer": 0,
                **service_settings,
            }
            services = {"all": Service("all", **settings)}
        self.service = MemoryService(answer)
        self.worker = WorkerGateway(
            Config(
                gateway=gateway or Gateway(),
                client=client or Client(),
                services=services,
                **{"redis": Redis("unix:///nowhere/redis.sock"), **(tables or {})},
            ),
            self.clock,
            connect=self.service.connect,
            environ=environ or {},
            now=self.now,
            random=Random(1),
            threads=self.in_thread,
        )

    def in_thread(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Call what blocks, in the next turn; see :meth:`settle`."""
        return deferLater(self.clock, 0, function, *args)

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        due = True
        while due:
            self.service.run()
            due = any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls())
            self.clock.advance(0)

    def now(self) -> float:
        """The time of day: the fake clock's seconds, in 2026."""
        return EPOCH + self.clock.seconds()

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


@define
class Answer:
    """One answer as a client saw it."""

    status: int
    fields: list[tuple[bytes, bytes]]
    framing: str = "none"
    """``none``, ``length``, ``chunked`` or ``close``."""
    body: bytes = b""
    complete: bool = True

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]


_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [\t\x20-\x7e\x80-\xff]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)")
_CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")


def read_answers(data: bytes, methods: Sequence[bytes] = (), *, ended: bool = False) -> list[Answer]:
    """Read what a client received as RFC 9112 says, with no leniency; fails with an AssertionError.

    ``ended`` says that the connection was closed in an orderly way, which completes a body that is framed by nothing
    else.
    """
    waiting = list(methods)
    answers: list[Answer] = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"half a head: {head!r}"
        line, *lines = head.split(b"\r\n")
        status = _STATUS_LINE.fullmatch(line)
        fields = [_FIELD.fullmatch(field) for field in lines]
        assert status and None not in fields, f"a malformed head: {head!r}"
        answer = Answer(int(status[1]), [(field[1], field[2]) for field in fields if field])
        answers.append(answer)
        if answer.status >= 200:
            method = waiting.pop(0) if waiting else b"GET"
            data = _read_body(answer, data, method == b"HEAD" or answer.status in (204, 304), ended)
    return answers


def _read_body(answer: Answer, data: bytes, bodiless: bool, ended: bool) -> bytes:
    """Take the body of an answer from ``data`` and return what follows it."""
    lengths, codings = answer.values(b"content-length"), answer.values(b"transfer-encoding")
    assert len(lengths) + len(codings) <= 1 and codings in ([], [b"chunked"]), f"framed twice: {answer}"
    assert not (answer.status == 204 and lengths + codings), "framing on a 204"
    if bodiless:
        return data
    if codings:
        answer.framing, answer.complete = "chunked", False
        while (size := _CHUNK.match(data)) and len(data) >= size.end() + int(size[1], 16) + 2:
            at, end = size.end(), size.end() + int(size[1], 16)
            assert data[end : end + 2] == b"\r\n", "a chunk without its end"
            answer.body, answer.complete, data = answer.body + data[at:end], at == end, data[end + 2 :]
            if answer.complete:
                return data
        assert size or re.fullmatch(rb"[0-9a-fA-F]*\r?", data), f"not a chunk: {data[:40]!r}"
        return b""
    if lengths:
        answer.framing, length = "length", int(lengths[0])
        answer.body, answer.complete = data[:length], len(data) >= length
        return data[length:]
    answer.framing, answer.body, answer.complete = "close", data, ended
    return b""


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
