"""Clients that begin in clear where TLS is spoken."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import Answer, MemoryGateway
from tests.kit_client import request
from tests.tls_kit import Authority
from tracseq_gateway.config.model import Gateway
from tracseq_gateway.config.tls import Tls


class ClearTests(SynchronousTestCase):
    """``tls.clear``."""

    def setUp(self) -> None:
        self.certificate = Authority(Path(self.mktemp())).issue("gw.test")

    def gateway(self, clear: Any, **settings: Any) -> MemoryGateway:
        """A gateway whose service answers everything with 200."""
        tls = Tls((self.certificate,), clear=clear, **settings)
        gateway = Gateway(port=8443, trusted_proxies=(ip_network("10.0.0.0/8"),))
        return MemoryGateway(gateway=gateway, tables={"tls": tls})

    def ask(self, gateway: MemoryGateway, data: bytes, peer: str = "192.0.2.7") -> Answer:
        client = gateway.client(peer)
        client.send(data)
        gateway.service.run()
        (answer,) = client.answers(data.partition(b" ")[0])
        return answer

    def test_redirect(self) -> None:
        """A client is sent to the same place by https, keeps its method (308), and nothing of it reaches a service."""
        gateway = self.gateway("redirect")
        for method in (b"GET", b"HEAD", b"POST"):
            answer = self.ask(gateway, request(b"/samples/4%202?full=1&x", method=method))
            self.assertEqual(answer.status, 308)
            self.assertEqual(answer.values(b"location"), [b"https://gw.test:8443/samples/4%202?full=1&x"])
        self.assertEqual(gateway.service.requests, [])

    def test_port(self) -> None:
        """It is sent to the port where TLS is, as the outside sees it, whatever the port that it came to."""
        for public, host, location in (
            (443, b"gw.test:8080", b"https://gw.test/"),
            (9443, b"gw.test:80", b"https://gw.test:9443/"),
            (443, b"[2001:db8::1]:80", b"https://[2001:db8::1]/"),
            (0, b"192.0.2.1", b"https://192.0.2.1:8443/"),
        ):
            answer = self.ask(self.gateway("redirect", public_port=public), request().replace(b"gw.test", host))
            self.assertEqual(answer.values(b"location"), [location])

    def test_nowhere_to_go(self) -> None:
        """Who names no host, or asks for no place, is refused."""
        gateway = self.gateway("redirect")
        for data in (b"GET / HTTP/1.0\r\n\r\n", request(b"*", method=b"OPTIONS")):
            self.assertEqual(self.ask(gateway, data).status, 403)

    def test_body(self) -> None:
        """A body that comes in clear is not read; the connection closes behind the answer."""
        answer = self.ask(self.gateway("redirect"), request(method=b"POST", body=b"secret")[:-3])
        self.assertEqual((answer.status, answer.values(b"connection")), (308, [b"close"]))

    def test_refuse(self) -> None:
        """With ``refuse`` a client is told what would be right, and its request is not done."""
        gateway = self.gateway("refuse")
        answer = self.ask(gateway, request(b"/samples"))
        self.assertEqual((answer.status, answer.values(b"location")), (403, []))
        self.assertIn(b"tls-required", answer.body)
        self.assertEqual(gateway.service.requests, [])

    def test_serve(self) -> None:
        """With ``serve`` it is served like any other, and the service hears that it came in clear."""
        gateway = self.gateway("serve")
        self.assertEqual(self.ask(gateway, request(b"/samples")).status, 200)
        self.assertEqual(gateway.service.requests[0].values(b"x-forwarded-proto"), [b"http"])

    def test_health(self) -> None:
        """The gateway's health is told in clear, too, for those who look there know no names and authorities."""
        for clear in ("redirect", "refuse"):
            for path in (b"/health", b"/health/live", b"/health/ready"):
                self.assertEqual(self.ask(self.gateway(clear), request(path)).status, 200)
            self.assertNotEqual(self.ask(self.gateway(clear), request(b"/healthy")).status, 200)

    def test_behind_a_proxy(self) -> None:
        """Who came by https to a trusted proxy is served; a stranger who says so is not."""
        gateway = self.gateway("redirect")
        data = request(b"/samples", b"X-Forwarded-Proto: https", b"X-Forwarded-For: 198.51.100.9")
        self.assertEqual(self.ask(gateway, data, "10.0.0.5").status, 200)
        self.assertEqual(self.ask(gateway, data).status, 308)
