"""How HTTP/2 is come to: by ALPN over TLS, or by its preface in clear, beside HTTP/1.1."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import byte_by_byte
from tests.kit_client import MemoryServer, Visitor, answer_whole, request
from tests.kit_http2 import Http2Client
from tests.tls_kit import Authority, TlsClient, TlsVisitor, client_context, tls_server
from tracseq_gateway.config.http2 import Http2
from tracseq_gateway.config.tls import Tls
from tracseq_gateway.server.request import GatewayRequest

CLEAR = Http2(clear=True)


def say_how(request: GatewayRequest) -> None:
    """Answer with how the request came."""
    scheme = "https" if request.isSecure() else "http"
    answer_whole(request, f"{request.head.version} {scheme} {request.client}".encode())


class ClearTests(SynchronousTestCase):
    def server(self, http2: Http2 = CLEAR) -> MemoryServer:
        return MemoryServer(say_how, http2=http2)

    def ask(self, visitor: Visitor, before: bytes = b"", *, in_bytes: bool = False) -> bytes:
        """Ask by HTTP/2; return the answer's body."""
        client = Http2Client()
        number = client.request()
        data = before + client.sent()
        visitor.send(*(byte_by_byte(data) if in_bytes else [data]))
        client.receive(visitor.received)
        return client.answers[number].body

    def test_both(self) -> None:
        """Both are spoken on one port, however the first bytes are cut."""
        server = self.server()
        for in_bytes in (False, True):
            self.assertEqual(self.ask(Visitor(server), in_bytes=in_bytes), b"2 http 192.0.2.7")
        for pieces in ([request(b"/")], byte_by_byte(request(b"/"))):
            self.assertEqual(server.visit(*pieces).answers()[0].body, b"1.1 http 192.0.2.7")

    def test_neither(self) -> None:
        """What begins like HTTP/2 and does not go on so is refused as what it then is: no request."""
        server = self.server()
        for data in (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI / HTTP/1.1\r\n\r\n"):
            for pieces in ([data], byte_by_byte(data)):
                visitor = server.visit(*pieces)
                self.assertGreaterEqual(visitor.statuses()[0], 400)
                self.assertTrue(visitor.closed)

    def test_not_spoken(self) -> None:
        """It is not spoken in clear where the configuration does not say so."""
        visitor = self.server(Http2()).visit(Http2Client().sent())
        self.assertEqual(visitor.statuses(), [505])

    def test_slowly(self) -> None:
        """What begins like HTTP/2 has the time of a head for that, and no more."""
        server = self.server()
        visitor = server.visit(b"PRI * HT")
        server.pass_time(11)
        self.assertFalse(visitor.connected)
        self.assertEqual(len(server.site.channels), 0)

    def test_upgrade(self) -> None:
        """Upgrade: h2c is answered as the request of HTTP/1.1 that it is."""
        fields = b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"
        visitor = self.server().visit(request(b"/", *fields))
        (answer,) = visitor.answers()
        self.assertEqual((answer.status, answer.body), (200, b"1.1 http 192.0.2.7"))

    def test_behind_a_proxy(self) -> None:
        """The PROXY header of a trusted proxy comes before the preface, and its address is the client's."""
        server = self.server()
        server.site.proxied, server.site.trusted = True, (ip_network("192.0.2.7"),)
        header = b"PROXY TCP4 198.51.100.9 192.0.2.1 50000 80\r\n"
        for in_bytes in (False, True):
            self.assertEqual(self.ask(Visitor(server), header, in_bytes=in_bytes), b"2 http 198.51.100.9")


class TlsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.authority = Authority(Path(self.mktemp()))
        self.certificate = self.authority.issue("gw.test")

    def visit(self, offered: list[str], root: Any = say_how, **limits: Any) -> TlsVisitor:
        server = tls_server(root, Tls((self.certificate,)), **limits)
        return TlsVisitor(server, TlsClient(client_context(self.authority, protocols=offered), "gw.test"))

    def test_agreed(self) -> None:
        """A client that offers both gets HTTP/2, and its requests are known to have come by TLS."""
        visitor = self.visit(["http/1.1", "h2"])
        self.assertEqual(visitor.client.tls.selected_alpn_protocol(), "h2")
        client = Http2Client()
        numbers = [client.request() for _ in range(3)]
        visitor.send(client.sent())
        client.receive(visitor.received)
        self.assertEqual([client.answers[number].body for number in numbers], [b"2 https 192.0.2.7"] * 3)

    def test_large(self) -> None:
        """A long answer goes through windows and records."""
        body = bytes(range(256)) * 2000
        visitor = self.visit(["h2"], lambda request: answer_whole(request, body))
        client, read = Http2Client(), 0
        number = client.request()
        while not client.answers[number].ended:
            visitor.send(client.sent())
            received = visitor.received
            self.assertGreater(len(received), read, "nothing more comes")
            client.receive(received[read:])
            read = len(received)
        self.assertEqual(client.answers[number].body, body)

    def test_not_offered(self) -> None:
        """Where HTTP/2 is off, such a client gets HTTP/1.1."""
        visitor = self.visit(["h2", "http/1.1"], http2=Http2(enabled=False))
        self.assertEqual(visitor.client.tls.selected_alpn_protocol(), "http/1.1")
        visitor.send(request(b"/"))
        self.assertEqual(visitor.answers()[0].body, b"1.1 https 192.0.2.7")

    def test_lost(self) -> None:
        """A connection that is cut leaves nothing behind."""
        visitor = self.visit(["h2"], lambda request: None)
        client = Http2Client()
        client.request()
        visitor.send(client.sent())
        visitor.leave()
        site = visitor.channel.site
        self.assertEqual((site.active, len(site.channels)), (0, 0))
