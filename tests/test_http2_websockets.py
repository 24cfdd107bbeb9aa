"""WebSockets on streams of HTTP/2 (RFC 8441), when they are offered."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1
from typing import Any

from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryGateway, ServiceConnection
from tests.kit_http2 import Http2Answer, Http2Conversation
from tracseq_gateway.config.http2 import Http2

HELLO = b"\x81\x05hello"
GOING_AWAY = b"\x88\x02\x03\xe9"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketTests(SynchronousTestCase):
    def make(self, *, offered: bool = True, answer: bytes | None = None, **settings: Any) -> None:
        self.gateway = MemoryGateway(answer=answer, tables={"http2": Http2(websockets=offered)}, **settings)
        self.talk = Http2Conversation(self.gateway)

    def connect(self, *fields: tuple[bytes, bytes], protocol: bytes = b"websocket", ended: bool = False) -> None:
        """Ask for a WebSocket."""
        pseudo = [(b":method", b"CONNECT"), (b":protocol", protocol), (b":scheme", b"https"), (b":path", b"/live")]
        own = [(b":authority", b"gw.test"), (b"sec-websocket-version", b"13"), *fields]
        self.number = self.talk.client.request_of([*pseudo, *own], ended=ended)
        self.talk.exchange()

    @property
    def service(self) -> ServiceConnection:
        return self.gateway.service.connections[0]

    @property
    def answer(self) -> Http2Answer:
        return self.talk.answer(self.number)

    def switch(self, more: bytes = b"") -> None:
        """The service agrees."""
        (key,) = self.gateway.service.requests[-1].values(b"sec-websocket-key")
        accept = b64encode(sha1(key + GUID, usedforsecurity=False).digest())
        self.service.answer(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: chat\r\n\r\n%b" % (accept, more)
        )
        self.service.transport.clear()
        self.talk.exchange()

    def send(self, data: bytes, ended: bool = False) -> None:
        self.talk.client.h2.send_data(self.number, data, end_stream=ended)
        self.talk.exchange()

    def test_offered(self) -> None:
        """They are offered only if the configuration says so; otherwise CONNECT is answered 501."""
        for offered in (True, False):
            self.make(offered=offered)
            settings = self.talk.client.h2.remote_settings
            self.assertEqual(settings[SettingCodes.ENABLE_CONNECT_PROTOCOL], int(offered))
        self.connect()
        self.assertEqual((self.answer.status, self.gateway.service.requests), (501, []))

    def test_handshake(self) -> None:
        """The service is asked as over HTTP/1.1, with a key of the gateway's, and its 101 is a 200 to the client."""
        self.make()
        self.connect((b"sec-websocket-key", b"the client's"), (b"sec-websocket-protocol", b"chat"))
        (asked,) = self.gateway.service.requests
        self.assertEqual((asked.method, asked.target), (b"GET", b"/live"))
        self.assertEqual((asked.values(b"connection"), asked.values(b"upgrade")), ([b"upgrade"], [b"websocket"]))
        self.assertEqual(len(asked.values(b"sec-websocket-key")), 1)
        self.assertNotIn(b"the client's", asked.values(b"sec-websocket-key"))
        self.switch()
        names = [name for name, _ in self.answer.fields]
        self.assertEqual((self.answer.status, self.answer.ended), (200, False))
        self.assertIn(b"sec-websocket-protocol", names)
        for name in (b"sec-websocket-accept", b"upgrade", b"connection", b"content-length"):
            self.assertNotIn(name, names)

    def test_both_ways(self) -> None:
        """After that bytes go both ways as they are, beside other requests; it is counted as a tunnel."""
        self.make()
        self.connect()
        self.switch(HELLO)
        self.assertEqual(self.answer.body, HELLO)
        self.send(b"to the service")
        self.assertEqual(self.service.transport.value(), b"to the service")
        self.assertEqual((self.gateway.worker.site.tunnels, self.gateway.worker.site.busy), (1, 0))
        other = self.talk.client.request()
        self.talk.exchange()
        self.gateway.service.connections[1].answer(OK)
        self.assertEqual(self.talk.answer(other).status, 200)

    def test_client_closes(self) -> None:
        """What the client sent last still goes out, and then the service's connection is closed."""
        self.make()
        self.connect()
        self.switch()
        self.send(b"bye", ended=True)
        self.assertEqual(self.service.transport.value(), b"bye")
        self.assertTrue(self.service.transport.closed)
        self.assertEqual((self.gateway.worker.site.tunnels, self.gateway.worker.site.active), (0, 0))

    def test_service_closes(self) -> None:
        """What the service sent last still arrives, and then the stream ends."""
        self.make()
        self.connect()
        self.switch()
        self.service.answer(b"bye")
        self.service.close()
        self.assertEqual((self.answer.body, self.answer.ended), (b"bye", True))
        self.assertEqual((self.gateway.worker.site.tunnels, self.gateway.worker.site.active), (0, 0))

    def test_drain(self) -> None:
        """When the gateway stops, the client is told to go elsewhere."""
        self.make()
        self.connect()
        self.switch()
        self.gateway.worker.site.drain(30)
        self.assertEqual((self.answer.body, self.answer.ended), (GOING_AWAY, False))
        self.send(b"bye", ended=True)
        self.assertTrue(self.talk.transport.closed)

    def test_refused(self) -> None:
        """A service that does not want one answers as it likes; but what would open a tunnel is none."""
        self.make(answer=b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        self.connect()
        self.assertEqual((self.answer.status, self.answer.body, self.answer.ended), (403, b"no", True))
        self.make(answer=OK)
        self.connect()
        self.assertEqual((self.answer.status, self.answer.reset), (0, ErrorCodes.INTERNAL_ERROR))
        self.assertEqual(self.gateway.worker.site.active, 0)

    def test_wrong(self) -> None:
        """Another protocol is 501, another version 426; :protocol without CONNECT and early bytes are malformed."""
        self.make()
        self.connect(protocol=b"connect-udp")
        self.assertEqual(self.answer.status, 501)
        self.connect(ended=True)
        self.assertEqual(self.answer.status, 501)
        self.connect((b"sec-websocket-version", b"8"))
        self.assertEqual(self.answer.status, 426)
        number = self.talk.client.request((b":protocol", b"websocket"))
        self.assertEqual(self.talk.answer(number).reset, ErrorCodes.PROTOCOL_ERROR)
        self.connect()
        self.send(b"too early")
        self.assertEqual((self.answer.status, self.answer.reset), (400, ErrorCodes.PROTOCOL_ERROR))

    def test_back_pressure(self) -> None:
        """A client that takes nothing pauses the service; a service that takes nothing fills the client's window."""
        self.make()
        self.talk.client.takes = False
        self.connect()
        self.switch()
        for _ in range(4):
            self.service.answer(b"x" * 65536)
        self.assertFalse(self.service.transport.reading)
        self.service.transport.fill()
        while room := self.talk.client.h2.local_flow_control_window(self.number):
            self.send(b"y" * min(room, 16384))
        self.assertEqual(len(self.service.transport.value()), 65536)
        self.service.transport.drain()
        self.talk.exchange()
        self.assertEqual(self.talk.client.h2.local_flow_control_window(self.number), 65536)
