"""The client's half of the kit: requests as bytes, and a server without services.

:class:`MemoryServer` puts one resource under a real :class:`GatewaySite`; :class:`Visitor` is a connection to it whose
transport is Twisted's own ``FileDescriptor`` over an imaginary socket with a window that the test opens. So what
Twisted does with producers, flushes and closes is what happens here, on a fake clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from tests.kit import Answer, read_answers
from tracseq_gateway.config.http2 import Http2
from tracseq_gateway.config.model import Client
from tracseq_gateway.http.forwarding import known_request_lines
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import HeadLimits, RequestParser
from tracseq_gateway.net.deadlines import Deadlines
from tracseq_gateway.server.request import GatewayRequest
from tracseq_gateway.server.site import DEFAULT_HTTP2, GatewaySite

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
"""What the servers of this kit say that it is (RFC 9110 section 5.6.7)."""


def request(
    target: bytes = b"/", *fields: bytes, method: bytes = b"GET", body: bytes = b"", version: bytes = b"HTTP/1.1"
) -> bytes:
    """Write a request with a Host, these field lines, and a Content-Length if it has a body."""
    lines = [b"%b %b %b" % (method, target, version), b"Host: gw.test", *fields]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@implementer(IResource)
class Handler:
    """A resource for every path: what the function returns is the answer's body; None: it answers itself."""

    isLeaf = True
    server = None

    def __init__(self, handle: Callable[[GatewayRequest], Any]) -> None:
        self.handle = handle

    def render(self, request: Any) -> Any:
        result = self.handle(request)
        return NOT_DONE_YET if result is None else result

    def putChild(self, path: bytes, child: IResource) -> None:
        raise TypeError("no children")

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        raise TypeError("no children")


class Waiting(Handler):
    """Keeps the requests that come, for the test to answer."""

    def __init__(self) -> None:
        super().__init__(self._keep)
        self.requests: list[GatewayRequest] = []

    def _keep(self, request: GatewayRequest) -> None:
        self.requests.append(request)


class Attendant:
    """An :class:`tracseq_gateway.interfaces.Answerer` that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.body = b""

    def body_received(self, data: bytes) -> None:
        self.heard.append("body")
        self.body += data

    def body_ended(self) -> None:
        self.heard.append("ended")

    def leave(self) -> None:
        """Never called."""

    def client_gone(self) -> None:
        self.heard.append("gone")

    def pause(self) -> None:
        self.heard.append("pause")

    def resume(self) -> None:
        self.heard.append("resume")


def answer_whole(request: GatewayRequest, body: bytes = b"ok") -> None:
    """Answer 200 with a body of known length."""
    request.begin(OutgoingHead(200, b"OK", [], len(body), dated=True), body, True)


class WindowTransport(FileDescriptor):
    """Twisted's buffering and producers over a socket that takes as many bytes as the client has room for."""

    def __init__(self, reactor: MemoryReactorClock, protocol: Any, peer: str, window: float) -> None:
        super().__init__(reactor)
        self.memory_reactor = reactor
        self.protocol = protocol
        self.connected = 1
        self.peer = peer
        self.window = window
        self.taken = bytearray()
        self.half_closed = False
        self.aborted = False
        self.reading = True

    def fileno(self) -> int:
        return -1

    def writeSomeData(self, data: bytes) -> int:
        size = int(min(len(data), self.window))
        self.window -= size
        self.taken += data[:size]
        return size

    def flush(self) -> None:
        """Do what the reactor would: write while there is room, and what is due now."""
        self.memory_reactor.advance(0)
        while self.connected and self in self.memory_reactor.writers and (self.window or not self.unsent()):
            outcome = self.doWrite()
            if outcome is not None:
                self.connectionLost(Failure(outcome))

    def unsent(self) -> int:
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def startReading(self) -> None:
        self.reading = True

    def stopReading(self) -> None:
        self.reading = False

    def _closeWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        if self.connected and not self.aborted:
            self.aborted = True
            self.stopReading()
            self.stopWriting()
            self.memory_reactor.callLater(0, self.connectionLost, Failure(ConnectionAborted()))

    def connectionLost(self, reason: Failure) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            super().connectionLost(reason)
            protocol.connectionLost(reason)

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 8000)

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self.peer, 40000)


class Visitor:
    """A client's connection. ``window``: how many bytes it takes before :meth:`take` is called; all by default."""

    def __init__(self, server: MemoryServer, peer: str = "192.0.2.7", window: float = float("inf")) -> None:
        self._channel = first = self.first_protocol(server)
        self.transport = WindowTransport(server.reactor, first, peer, window)
        first.makeConnection(self.transport)
        self.transport.flush()

    def first_protocol(self, server: MemoryServer) -> Any:
        """What the gateway speaks first."""
        return server.site.buildProtocol(None)

    def send(self, *pieces: bytes) -> None:
        """Send bytes, each piece in a read of its own, while the gateway keeps the connection and reads."""
        for piece in pieces:
            if self.transport.connected and self.transport.reading:
                self.transport.protocol.dataReceived(piece)
                self.transport.flush()

    @property
    def channel(self) -> Any:
        """What the gateway speaks with this client, or spoke last."""
        if self.transport.protocol is not None:
            self._channel = self.transport.protocol
        return self._channel

    def take(self, size: float = float("inf")) -> None:
        """Read as many bytes of what the gateway sends."""
        self.transport.window += size
        self.transport.flush()

    def leave(self) -> None:
        """Close the connection."""
        self.transport.connectionLost(Failure(ConnectionDone()))

    @property
    def received(self) -> bytes:
        """All that was taken."""
        self.transport.flush()
        return bytes(self.transport.taken)

    @property
    def connected(self) -> bool:
        """Whether the connection exists."""
        self.transport.flush()
        return bool(self.transport.connected)

    @property
    def aborted(self) -> bool:
        """Whether the gateway has reset the connection."""
        return self.transport.aborted

    @property
    def half_closed(self) -> bool:
        """Whether the gateway has said its last byte, but still reads."""
        return self.transport.half_closed

    @property
    def closed(self) -> bool:
        """Whether the client has seen the end of the gateway's bytes."""
        return not self.connected or self.half_closed

    def answers(self, *methods: bytes) -> list[Answer]:
        """What was received, read strictly; ``methods`` are those of the requests, GET beyond them."""
        return read_answers(self.received, methods, ended=not self.aborted and self.closed)

    def statuses(self) -> list[int]:
        """The statuses of the answers."""
        return [answer.status for answer in self.answers()]


class MemoryServer:
    """A site with one resource, on a fake clock that stands at 1,000 s."""

    def __init__(
        self, root: IResource | Callable[[GatewayRequest], Any], *, http2: Http2 = DEFAULT_HTTP2, **limits: Any
    ) -> None:
        self.reactor = MemoryReactorClock()
        self.reactor.advance(1000.0)
        self.site = GatewaySite(
            root if IResource.providedBy(root) else Handler(root),
            self.reactor,
            Deadlines(self.reactor),
            Client(**limits),
            (),
            "gw",
            wall_clock=lambda: 784111777.0,
            http2=http2,
        )

    def visit(self, *pieces: bytes, peer: str = "192.0.2.7", window: float = float("inf")) -> Visitor:
        """Connect, and send."""
        visitor = Visitor(self, peer, window)
        visitor.send(*pieces)
        return visitor

    def pass_time(self, seconds: float, step: float = 0.1) -> None:
        """Let time pass in small steps."""
        self.reactor.pump([step] * round(seconds / step))


def request_parser(**limits: Any) -> RequestParser:
    """A parser that has read nothing yet."""
    return RequestParser(HeadLimits(**limits), known_request_lines())


def slices(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut bytes at these places, in any order; places beyond the end count round it."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} - {0, len(data)})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
