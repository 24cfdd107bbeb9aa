"""Every client-side wire case once more, over real sockets, through a listening worker to a listening service."""

from __future__ import annotations

import base64
import socket
from typing import Any

from httptools import HttpRequestParser
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.test_wire_requests import CASES, STATUS
from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.service import Gateway

reactor: Any = _reactor

SILENCE = 0.15
"""Seconds without a byte after which a connection that is still open has said all."""


class Upstream(Factory):
    """Counts the complete requests that reach the service."""

    noisy = False

    def __init__(self) -> None:
        self.complete = 0

    def buildProtocol(self, addr: IAddress | None) -> UpstreamConnection:
        return UpstreamConnection(self)


class UpstreamConnection(Protocol):
    """Answers each complete request."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._feed = HttpRequestParser(self).feed_data

    def dataReceived(self, data: bytes) -> None:
        self._feed(data)

    def on_message_complete(self) -> None:
        self._upstream.complete += 1
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Conversation(Protocol):
    """Sends one case and collects what comes back."""

    def __init__(self, raw: bytes, answers: int) -> None:
        self._raw = raw
        self._answers = answers
        self.received = b""
        self.closed = False
        self.done: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self._timer = reactor.callLater(SILENCE, self._finish)
        self.transport.write(self._raw)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self._timer.active():
            self._timer.reset(SILENCE)
        if self._answers and self.received.count(b"HTTP/1.1 200 ") == self._answers:
            self._finish()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.closed = True
        self._finish()

    def _finish(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        if not self.done.called:
            self.done.callback(None)
            if self.transport is not None:
                self.transport.abortConnection()  # type: ignore[attr-defined]


class SocketTests(TestCase):
    """One gateway for all cases: what one client does must not harm the next."""

    timeout = 60

    async def test_all(self) -> None:
        """Verdicts over sockets are those of the memory tests, and a good request still passes after each case."""
        upstream = Upstream()
        listening = reactor.listenTCP(0, upstream, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        url = f"http://127.0.0.1:{listening.getHost().port}"
        service = Service("all", prefix="/", rewrite="", instances=(Instance(url),))
        gateway = Gateway(Config(services={"all": service}), reactor)
        port = self.listen(gateway)
        wrong = []
        for case in CASES:
            if case["incomplete"]:
                continue
            before = upstream.complete
            talk = await self.talk(port, base64.b64decode(case["raw_b64"]), case)
            reached = upstream.complete - before
            statuses = [int(status) for status in STATUS.findall(talk.received) if int(status) >= 200]
            if not self.right(case, talk, reached, statuses):
                wrong.append((case["id"], statuses, reached, talk.closed))
        self.assertEqual(wrong, [])
        await gateway.drain(1.0)

    def right(self, case: dict[str, Any], talk: Conversation, reached: int, statuses: list[int]) -> bool:
        if reached > case["max_upstream"]:
            return False
        if case["expect"] == "accept":
            return statuses == [200] * case["max_upstream"] and reached == case["max_upstream"]
        if case["expect"] == "reject":
            # A reset may overtake the answer; closed it is in any case.
            return talk.closed and all(status == 200 or status >= 400 for status in statuses)
        return True

    def listen(self, gateway: Gateway) -> int:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port: int = listener.getsockname()[1]
        gateway.listen(listener)
        return port

    async def talk(self, port: int, raw: bytes, case: dict[str, Any]) -> Conversation:
        endpoint = HostnameEndpoint(reactor, "127.0.0.1", port)
        answers = case["max_upstream"] if case["expect"] == "accept" else 0
        talk: Conversation = await connectProtocol(endpoint, Conversation(raw, answers))
        await talk.done
        return talk
