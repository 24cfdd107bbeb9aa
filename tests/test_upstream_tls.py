"""TLS to services, through a gateway and over real sockets: who gets a request, and who never does."""

from __future__ import annotations

import os
import socket
import ssl
import warnings
from typing import Any
from unittest import skipUnless

from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from tests.certificate_kit import Authority, Issued, self_signed
from tests.tls_service_kit import ClearService, Talk, TLSService, answer_all, write
from tracseq_gateway.config import Config, Instance, RateLimiting, Service
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.service_tls import ServiceTls
from tracseq_gateway.config.upstream import Breaker, Connections, Outliers, Retries, Timeouts
from tracseq_gateway.service import Gateway
from tracseq_gateway.upstream.secure import SecureConnect


def until_close(service: TLSService, connection: ssl.SSLSocket) -> None:
    """Answer with a body that ends with the connection, in the way that TLS has for it."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole")
    connection.unwrap()


def cut_off(service: TLSService, connection: ssl.SSLSocket) -> None:
    """The same, ended by who could not write TLS."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwho")
    connection.shutdown(socket.SHUT_RDWR)  # of the connection below; a polite one would call unwrap first


class TLSCase(TestCase):
    """A gateway with one service."""

    timeout = 20

    def setUp(self) -> None:
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        self.authority = Authority()
        self.ca = write(self.directory, "ca.pem", self.authority.certificate_pem)

    def serve(self, issued: Issued | None = None, talk: Talk = answer_all, **more: Any) -> TLSService:
        service = TLSService(issued or self.authority.issue(["127.0.0.1"]), talk, **more)
        self.addCleanup(deferToThread, service.stop)
        return service

    def gateway(self, url: str, tls: ServiceTls | None = None, **more: Any) -> Gateway:
        from twisted.internet import reactor

        settings = Service(
            name="samples",
            prefix="/samples",
            instances=(Instance(url),),
            tls=tls or ServiceTls(ca=self.ca),
            auth="none",
            retries=Retries(attempts=0),
            outliers=Outliers(failures=0, share=0),
            breaker=Breaker(failures=0),
            **{"timeouts": Timeouts(connect=Seconds(5.0)), **more},
        )
        config = Config(rate_limit=RateLimiting(enabled=False), services={"samples": settings})
        gateway = Gateway(config, reactor)
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        gateway.listen(listening)
        self.addCleanup(gateway.drain, 1.0)
        return gateway

    async def ask(self) -> tuple[int, bytes]:
        """One request of a client: the status, and everything that came, up to the end of the connection."""

        def talk() -> bytes:
            with socket.create_connection(("127.0.0.1", self.port), 10) as client:
                client.sendall(b"GET /samples/1 HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n")
                received = b""
                while data := client.recv(65536):
                    received += data
                return received

        received: bytes = await deferToThread(talk)
        return int(received.split(b" ", 2)[1]), received

    async def refused(self, url: str, error: bytes, why: str, tls: ServiceTls | None = None) -> None:
        """Requests are answered with 502 and this error, and the log says why, once."""
        self.gateway(url, tls)
        with capturedLogs() as events:
            for _ in range(2):
                status, received = await self.ask()
                self.assertEqual(status, 502)
                self.assertIn(b"proxy-status: tracseq-gateway; error=" + error + b"\r\n", received.lower())
                self.assertNotIn(b"127.0.0.1", received)
        said = [formatEvent(event) for event in events if event["log_namespace"] == SecureConnect.log.namespace]
        self.assertEqual(len(said), 1)
        self.assertIn(f"no TLS connection to samples at {url}: ", said[0])
        self.assertIn(why, said[0])


class VerifiedTests(TLSCase):
    """Who gets requests."""

    async def test_right(self) -> None:
        """A certificate for the instance's address, of the authority that is configured: HTTP/1.1 over TLS 1.3."""
        service = self.serve()
        self.gateway(service.url)
        status, received = await self.ask()
        self.assertEqual((status, received[-6:]), (200, b"secret"))
        self.assertEqual(service.handshakes, [("TLSv1.3", False, "http/1.1")])
        self.assertEqual(service.names, [None])
        self.assertIn(b"GET /api/v1/1 HTTP/1.1\r\n", service.requests[0])

    async def test_older(self) -> None:
        """TLS 1.2 is spoken with services that know no better."""
        service = self.serve(newest=ssl.TLSVersion.TLSv1_2)
        self.gateway(service.url)
        self.assertEqual((await self.ask())[0], 200)
        self.assertEqual(service.handshakes, [("TLSv1.2", False, "http/1.1")])

    async def test_name(self) -> None:
        """With a ``name`` the certificate must be for that, and it is asked for by SNI."""
        service = self.serve(self.authority.issue(["*.samples.internal"]))
        self.gateway(service.url, ServiceTls(ca=self.ca, name="one.samples.internal"))
        self.assertEqual((await self.ask())[0], 200)
        self.assertEqual(service.names, ["one.samples.internal"])

    async def test_host_name(self) -> None:
        """Without a ``name`` it is the host of the instance's URL."""
        service = self.serve(self.authority.issue(["localhost"]))
        self.gateway(f"https://localhost:{service.port}")
        self.assertEqual((await self.ask())[0], 200)
        self.assertEqual(service.names, ["localhost"])

    async def test_kept(self) -> None:
        """A connection serves request after request; one that takes its place resumes the session."""
        for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            service = self.serve(newest=newest)
            self.gateway(service.url)
            for _ in range(3):
                self.assertEqual((await self.ask())[0], 200)
            self.assertEqual([resumed for _, resumed, _ in service.handshakes], [False])
            await deferToThread(service.hang_up)
            self.assertEqual((await self.ask())[0], 200)
            self.assertEqual([resumed for _, resumed, _ in service.handshakes], [False, True], newest)

    async def test_client_certificate(self) -> None:
        """A service that asks for a certificate is shown the gateway's."""
        clients = Authority("Gateways")
        shown = clients.issue(["gateway"], client=True).write_to(self.directory)
        for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            service = self.serve(clients=clients, newest=newest)
            self.gateway(service.url, ServiceTls(ca=self.ca, certificate=shown[0], certificate_key=shown[1]))
            self.assertEqual((await self.ask())[0], 200)

    async def test_large(self) -> None:
        """Bodies of any size pass in both directions."""
        body = bytes(range(256)) * 8192

        def echo(service: TLSService, connection: ssl.SSLSocket) -> None:
            received = b""
            while not received.endswith(body):
                received += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

        def talk() -> bytes:
            with socket.create_connection(("127.0.0.1", self.port), 10) as client:
                head = b"POST /samples/1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                client.sendall(head % len(body) + body)
                received = b""
                while data := client.recv(65536):
                    received += data
                return received

        service = self.serve(talk=echo)
        self.gateway(service.url)
        received: bytes = await deferToThread(talk)
        self.assertTrue(received.startswith(b"HTTP/1.1 200 "))
        self.assertTrue(received.endswith(b"\r\n\r\n" + body))

    async def test_tunnel(self) -> None:
        """A WebSocket goes through TLS as any request does, and then both directions stay open."""
        accept = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        accept += b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

        def echo(service: TLSService, connection: ssl.SSLSocket) -> None:
            connection.recv(65536)
            connection.sendall(accept)
            while data := connection.recv(65536):
                connection.sendall(data)

        def talk() -> tuple[bytes, bytes]:
            head = b"GET /samples/live HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            head += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            with socket.create_connection(("127.0.0.1", self.port), 10) as client:
                client.sendall(head)
                answer = client.recv(65536)
                client.sendall(b"ping")
                return answer, client.recv(65536)

        self.gateway(self.serve(talk=echo).url)
        answer, echoed = await deferToThread(talk)
        self.assertTrue(answer.startswith(b"HTTP/1.1 101 "), answer)
        self.assertEqual(echoed, b"ping")

    async def test_until_close(self) -> None:
        """A body that ends with the connection is whole when the service says close_notify."""
        self.gateway(self.serve(talk=until_close).url)
        status, received = await self.ask()
        self.assertEqual(status, 200)
        self.assertTrue(received.endswith(b"5\r\nwhole\r\n0\r\n\r\n"), received)


class RefusedTests(TLSCase):
    """Who never does: the certificate does not pass, or there is no TLS."""

    async def test_expired(self) -> None:
        """A certificate that has expired is refused."""
        service = self.serve(self.authority.issue(["127.0.0.1"], expired=True))
        await self.refused(service.url, b"tls_certificate_error", "its certificate has expired")
        self.assertEqual(service.requests, [])

    async def test_expires(self) -> None:
        """A certificate that is replaced by an expired one while the gateway runs: 502 from the next connection on."""
        service = self.serve()
        self.gateway(service.url, connections=Connections(idle_seconds=Seconds(0.001)))
        self.assertEqual((await self.ask())[0], 200)
        service.show(self.authority.issue(["127.0.0.1"], expired=True))
        service.context.options |= ssl.OP_NO_TICKET
        service.context.num_tickets = 0
        await deferToThread(service.hang_up)
        self.assertEqual((await self.ask())[0], 502)
        self.assertEqual(len(service.requests), 1)

    async def test_other_name(self) -> None:
        """A certificate for another host is refused, be it of the right authority."""
        service = self.serve(self.authority.issue(["samples.internal", "127.0.0.2"]))
        await self.refused(service.url, b"tls_certificate_error", "its certificate is not for 127.0.0.1")
        self.assertEqual(service.requests, [])

    async def test_common_name(self) -> None:
        """A common name is no name: only alternative names count (RFC 9525 section 6.3)."""
        service = self.serve(self.authority.issue([], subject="localhost"))
        tls = ServiceTls(ca=self.ca, name="localhost")
        await self.refused(service.url, b"tls_certificate_error", "its certificate", tls)
        self.assertEqual(service.requests, [])

    async def test_unknown_authority(self) -> None:
        """A certificate of an authority that is not the configured one is refused, even if it has the same name."""
        service = self.serve(Authority().issue(["127.0.0.1"]))
        await self.refused(service.url, b"tls_certificate_error", "certificate")
        self.assertEqual(service.requests, [])

    async def test_system(self) -> None:
        """Without a ``ca`` the authorities of the system count, and ours is not one of them."""
        service = self.serve()
        await self.refused(service.url, b"tls_certificate_error", "unknown authority", ServiceTls())
        self.assertEqual(service.requests, [])

    async def test_self_signed(self) -> None:
        """A self-signed certificate is refused, unless it is itself configured as the authority."""
        issued = self_signed(["127.0.0.1"])
        service = self.serve(issued)
        await self.refused(service.url, b"tls_certificate_error", "its certificate is self-signed")
        self.assertEqual(service.requests, [])
        ca = write(self.directory, "self.pem", issued.certificate_pem)
        self.gateway(service.url, ServiceTls(ca=ca))
        self.assertEqual((await self.ask())[0], 200)

    async def test_certificate_of_a_client(self) -> None:
        """A certificate that was issued for clients only does not make a server."""
        service = self.serve(self.authority.issue(["127.0.0.1"], client=True))
        await self.refused(service.url, b"tls_certificate_error", "its certificate is not for servers")
        self.assertEqual(service.requests, [])

    async def test_no_client_certificate(self) -> None:
        """A service that asks for a certificate and gets none refuses the connection (TLS 1.2)."""
        service = self.serve(clients=Authority("Gateways"), newest=ssl.TLSVersion.TLSv1_2)
        await self.refused(service.url, b"tls_alert_received", "it refused: ")

    async def test_no_client_certificate_of_late(self) -> None:
        """The same of TLS 1.3, where the service says so only after its handshake: the request is answered with 502."""
        service = self.serve(clients=Authority("Gateways"))
        self.gateway(service.url)
        status, received = await self.ask()
        self.assertEqual(status, 502)
        self.assertIn(b"error=connection_terminated", received)
        self.assertEqual(service.requests, [])

    @skipUnless(ssl.HAS_TLSv1_1, "Python's ssl module was built without TLS 1.1")
    async def test_too_old(self) -> None:
        """A service that speaks no more than TLS 1.1 is not spoken to."""
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            service = self.serve(newest=ssl.TLSVersion.TLSv1_1, oldest=ssl.TLSVersion.TLSv1_1)
        await self.refused(service.url, b"tls_alert_received", "it refused: ")
        self.assertEqual(service.requests, [])

    async def test_minimum(self) -> None:
        """With ``minimum`` a service that speaks no more than TLS 1.2 is not spoken to."""
        service = self.serve(newest=ssl.TLSVersion.TLSv1_2)
        await self.refused(
            service.url, b"tls_alert_received", "protocol version", ServiceTls(ca=self.ca, minimum="1.3")
        )
        self.assertEqual(service.requests, [])

    async def test_clear(self) -> None:
        """A service that speaks in clear gets no request in clear, nor is its answer passed on."""
        service = ClearService()
        self.addCleanup(service.stop)
        await self.refused(service.url, b"tls_protocol_error", "what it answers is not TLS")
        self.assertTrue(all(data.startswith(b"\x16\x03") for data in service.received))

    async def test_silent(self) -> None:
        """A handshake that hangs ends with the time to connect: 504."""
        service = ClearService(b"")
        self.addCleanup(service.stop)
        self.gateway(service.url, timeouts=Timeouts(connect=Seconds(0.2)))
        status, received = await self.ask()
        self.assertEqual(status, 504)
        self.assertIn(b"error=connection_timeout", received)

    async def test_closed(self) -> None:
        """A service that closes within the handshake: 502."""
        service = self.serve(self.authority.issue(["127.0.0.1"]))
        service.context.sni_callback = lambda *_: ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR
        await self.refused(service.url, b"tls_alert_received", "internal error")

    async def test_never_in_clear(self) -> None:
        """An instance in clear is not taken up for a service that is configured with TLS, whoever names it."""
        service = self.serve()
        gateway = self.gateway(service.url)
        clear = [Instance(service.url.replace("https", "http"))]
        self.assertRaises(ValueError, gateway.services["samples"].set_instances, clear)
        self.assertEqual((await self.ask())[0], 200)

    async def test_cut_off(self) -> None:
        """A body that ends with the connection but without close_notify is not passed on as a whole one."""
        self.gateway(self.serve(talk=cut_off).url)
        status, received = await self.ask()
        self.assertEqual(status, 200)
        self.assertIn(b"3\r\nwho\r\n", received)
        self.assertFalse(received.endswith(b"0\r\n\r\n"), received)
