"""A whole gateway before a service behind TLS and one in clear: probes, requests, a document, and an expiry."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.certificate_kit import Authority
from tests.running_kit import RunningGateway
from tests.tls_service_kit import TLSService, write

CONFIGURATION = """
[rate_limit]
enabled = false
[metrics]
enabled = true

[defaults]
auth = "none"
health.interval = 0.2
health.timeout = 2
retries.attempts = 0
breaker.failures = 0

[services.clear]
prefix = "/clear"
instances = ["@UPSTREAM@"]

[services.secure]
prefix = "/secure"
instances = ["{url}"]
tls = {{ ca = "{ca}", certificate = "{certificate}", certificate_key = "{key}" }}
"""

DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "Secure", "version": "1"},
    "paths": {"/api/v1/locked": {"get": {"responses": {"200": {"description": "Yes."}}}}},
}


def serve(service: TLSService, connection: ssl.SSLSocket) -> None:
    """Answer everything with the document."""
    body = json.dumps(DOCUMENT).encode()
    while data := connection.recv(65536):
        service.requests.append(data)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


class TLSServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.authority, clients = Authority(), Authority("Gateways")
        self.service = TLSService(self.authority.issue(["127.0.0.1"]), serve, clients=clients)
        self.addCleanup(self.service.stop)
        directory = Path(self.mktemp())
        directory.mkdir()
        certificate, key = clients.issue(["gateway"], client=True).write_to(directory.absolute())
        ca = write(directory.absolute(), "ca.pem", self.authority.certificate_pem)
        text = CONFIGURATION.format(url=self.service.url, ca=ca, certificate=certificate, key=key)
        self.gateway = RunningGateway(text, workers=1)
        self.addCleanup(self.gateway.stop)

    def state(self, service: str) -> Any:
        _, document = self.gateway.get("/health/services")
        return document["services"][service]["instances"][0]

    def metrics(self) -> str:
        connection = self.gateway.connect()
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    def test_expiry(self) -> None:
        """A certificate that expires ends what goes to its service, and nothing else; a new one lets it go on."""
        gateway = self.gateway
        gateway.until(lambda: self.state("secure")["state"] == "healthy")
        self.assertEqual(gateway.get("/secure/x"), (200, DOCUMENT))
        _, described = gateway.get("/openapi.json")
        self.assertIn("/secure/locked", described["paths"])
        gateway.until(lambda: 'gateway_upstream_certificate_expiry_seconds{service="secure"}' in self.metrics())
        before = len(self.service.requests)

        self.service.show(self.authority.issue(["127.0.0.1"], expired=True))
        self.service.hang_up()
        # Sessions that were left may be resumed for a while; a probe never resumes one.
        gateway.until(lambda: self.state("secure")["state"] == "unhealthy")
        self.assertIn("its certificate has expired", self.state("secure")["error"])
        self.assertIn(gateway.get("/secure/x")[0], (502, 503))
        self.assertEqual(gateway.get("/clear/x")[0], 200)
        self.assertIn(f"secure at {self.service.url} is unhealthy: no TLS connection", gateway.said())

        self.service.show(self.authority.issue(["127.0.0.1"]))
        gateway.until(lambda: self.state("secure")["state"] == "healthy")
        self.assertEqual(gateway.get("/secure/x")[0], 200)
        self.assertGreater(len(self.service.requests), before)
        self.assertTrue(all(b"HTTP/1.1\r\n" in asked for asked in self.service.requests))
