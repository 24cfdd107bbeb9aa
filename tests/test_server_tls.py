"""TLS towards clients: what is agreed on, who is turned away, and what a request knows of it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import Waiting, answer_whole, request
from tests.tls_kit import Authority, TlsClient, TlsVisitor, client_context, tls_server
from tracseq_gateway.config.tls import Tls
from tracseq_gateway.server.request import GatewayRequest


def say_tls(request: GatewayRequest) -> None:
    """Answer with what is known of the client's TLS."""
    facts = request.tls
    said = "clear" if facts is None else f"{facts.version} {facts.server_name}"
    if facts is not None and facts.certificate is not None:
        said += f" {facts.certificate.names}"
    answer_whole(request, said.encode())


class TlsTestCase(SynchronousTestCase):
    """A server with one certificate, for ``gw.test``."""

    def setUp(self) -> None:
        self.authority = Authority(Path(self.mktemp()))
        self.certificate = self.authority.issue("gw.test")
        self.context = client_context(self.authority)

    def server(self, root: Any = say_tls, limits: dict[str, Any] | None = None, **settings: Any) -> Any:
        settings.setdefault("certificates", (self.certificate,))
        return tls_server(root, Tls(**settings), **(limits or {}))

    def visit(
        self, server: Any, *pieces: bytes, context: ssl.SSLContext | None = None, name: str | None = "gw.test"
    ) -> TlsVisitor:
        visitor = TlsVisitor(server, TlsClient(context or self.context, name))
        visitor.send(*pieces)
        return visitor

    def refused(self, server: Any, context: ssl.SSLContext | None = None, name: str | None = "gw.test") -> str:
        """Try, in vain; return the alert that the client got."""
        visitor = TlsVisitor(server, TlsClient(context or self.context, name))
        self.assertFalse(visitor.client.established and visitor.connected)
        self.assertEqual(len(server.site.channels), 0)
        return visitor.client.error.reason or "" if visitor.client.error is not None else ""


class HandshakeTests(TlsTestCase):
    """What client and gateway agree on."""

    def test_request(self) -> None:
        """A request by TLS knows the version and the name that was asked for, and is secure."""
        server = self.server()
        visitor = self.visit(server, request(b"/"), request(b"/"))
        self.assertEqual([answer.body for answer in visitor.answers()], [b"TLSv1.3 gw.test"] * 2)
        self.assertEqual(server.site.tls.handshakes["TLSv1.3"], 1)

    def test_forwarded(self) -> None:
        """A service hears that its client came by https."""
        root = Waiting()
        self.visit(self.server(root), request(b"/"))
        self.assertIn(b"x-forwarded-proto: https\r\n", root.requests[0].forwarded)
        self.assertTrue(root.requests[0].isSecure())
