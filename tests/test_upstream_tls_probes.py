"""TLS where the gateway itself asks services: probes, the Auth Service, what discovery is told."""

from __future__ import annotations

import json
import ssl
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.certificate_kit import Authority, Issued
from tests.tls_service_kit import ClearService, Talk, TLSService, answer_all, write
from tracseq_gateway.config import Authentication, Instance, Seconds, Service
from tracseq_gateway.config.service_tls import ServiceTls
from tracseq_gateway.config.upstream import Health
from tracseq_gateway.identity.introspection import AuthServiceUnavailable, Introspection, introspection_client
from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.net.tls_peer import Peers
from tracseq_gateway.upstream.health import HealthMonitor, Tools, probing_agent

VERDICT = json.dumps(
    {"success": True, "data": {"valid": False, "user_id": None, "email": None, "role": None, "session_id": None}}
).encode()


def say(body: bytes) -> Talk:
    """Answer a request, in however many pieces it comes, with this body."""

    def talk(service: TLSService, connection: ssl.SSLSocket) -> None:
        while data := connection.recv(65536):
            service.requests.append(data)
            if data.endswith((b"}", b"\r\n\r\n")):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    return talk


class ControlCase(TestCase):
    timeout = 20

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.authority = Authority()
        self.ca = write(self.directory, "ca.pem", self.authority.certificate_pem)

    def serve(self, issued: Issued | None = None, talk: Talk = answer_all, **more: Any) -> TLSService:
        service = TLSService(issued or self.authority.issue(["127.0.0.1"]), talk, **more)
        self.addCleanup(deferToThread, service.stop)
        return service


class ProbeTests(ControlCase):
    """``HealthMonitor`` over real sockets."""

    def service(self, url: str, tls: ServiceTls | None = None, seconds: float = 5.0) -> Service:
        health = Health(timeout=Seconds(seconds), interval=Seconds(60.0))
        return Service("samples", instances=(Instance(url),), tls=tls or ServiceTls(ca=self.ca), health=health)

    async def probe(self, service: Service) -> InstanceHealth:
        tools = Tools(self.reactor, probing_agent(self.reactor), lambda health: None, Random(1))
        monitor = HealthMonitor([service], tools)
        await monitor.start()
        monitor.stop()
        (health,) = monitor.snapshot()
        return health

    async def test_right(self) -> None:
        """A probe of an instance behind TLS verifies its certificate, each time anew."""
        service = self.serve()
        for _ in range(2):
            health = await self.probe(self.service(service.url))
            self.assertEqual((health.state, health.error), ("healthy", None))
        self.assertEqual(service.handshakes, [("TLSv1.3", False, "http/1.1")] * 2)

    async def test_refused(self) -> None:
        """An instance whose certificate does not pass is not healthy, and why is said."""
        expired = self.serve(self.authority.issue(["127.0.0.1"], expired=True))
        for service, tls, error in (
            (expired, None, "no TLS connection: its certificate has expired"),
            (self.serve(), ServiceTls(), "no TLS connection: its certificate is of an unknown authority"),
            (self.serve(), ServiceTls(ca=self.ca, name="b"), "no TLS connection: its certificate is not for b"),
        ):
            health = await self.probe(self.service(service.url, tls))
            self.assertEqual(health.state, "unhealthy")
            self.assertEqual(health.error, error)
            self.assertEqual(service.requests, [])

    async def test_client_certificate(self) -> None:
        """A service that says only after the handshake that it wants a certificate is not healthy, and why is said."""
        service = self.serve(clients=Authority("Gateways"))
        health = await self.probe(self.service(service.url))
        self.assertIn("no TLS connection: it refused: ", health.error or "")
        self.assertIn("certificate required", health.error or "")

    async def test_silent(self) -> None:
        """A probe whose handshake hangs ends in time, and its connection with it."""
        silent = ClearService(b"")
        self.addCleanup(silent.stop)
        health = await self.probe(self.service(silent.url, seconds=0.2))
        self.assertEqual(health.error, "timed out after 0.2 s")

    async def test_changed(self) -> None:
        """A reload reads the files anew: what did not pass before passes now."""
        service = self.serve(Authority("Another").issue(["127.0.0.1"]))
        other = Authority("New")
        told: list[InstanceHealth] = []
        tools = Tools(self.reactor, probing_agent(self.reactor), told.append, Random(1))
        settings = self.service(service.url)
        health = Health(timeout=Seconds(5.0), interval=Seconds(0.05), healthy_after=1)
        settings = Service("samples", instances=settings.instances, tls=settings.tls, health=health)
        monitor = HealthMonitor([settings], tools)
        await monitor.start()
        self.assertEqual(told[-1].state, "unhealthy")
        write(self.directory, "ca.pem", other.certificate_pem)
        service.show(other.issue(["127.0.0.1"]))
        monitor.change([settings])
        while told[-1].state != "healthy":
            await deferToThread(lambda: None)
        monitor.stop()


class IntrospectionTests(ControlCase):
    """The Auth Service behind TLS."""

    def introspection(self, service: TLSService, tls: ServiceTls) -> Introspection:
        settings = Authentication(timeout=Seconds(5.0))
        client = introspection_client(self.reactor, settings, partial(Peers().peer, tls))
        self.addCleanup(client.close)
        return Introspection(settings, "", lambda: service.url, client.post, self.reactor)

    async def test_right(self) -> None:
        """Questions go to the service whose certificate passes, one after the other on one connection."""
        service = self.serve(talk=say(VERDICT))
        introspection = self.introspection(service, ServiceTls(ca=self.ca))
        for _ in range(3):
            self.assertFalse((await introspection.ask(b"a.b.c")).valid)
        self.assertEqual(len(service.handshakes), 1)

    async def test_refused(self) -> None:
        """Nobody else is asked: without a certificate that passes, no token leaves the gateway."""
        service = self.serve(self.authority.issue(["elsewhere"]), say(VERDICT))
        asked: Any = self.introspection(service, ServiceTls(ca=self.ca)).ask(b"a.b.c")
        error = await self.assertFailure(asked, AuthServiceUnavailable)
        self.assertIn("its certificate is not for 127.0.0.1", str(error))
        self.assertEqual(service.requests, [])
