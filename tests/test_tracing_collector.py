"""What a collector is sent, and what its answers mean; over real sockets."""

from __future__ import annotations

import socket
import ssl
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.otlp_kit import Reply, RunningCollector
from tests.token_kit import certificate
from tracseq_gateway.tracing.collector import LARGEST_ANSWER, Collector, Failure
from tracseq_gateway.tracing.otlp import SERVER, Envelope, PartialSuccess, Span
from tracseq_gateway.tracing.wire import block, integer

BODY = Envelope({"service.name": "gw"}, "gw", "1").seal(
    [Span("a" * 32, "b" * 16, "", False, SERVER, "n", 1, 2, []).encode()]
)


class CollectorTests(TestCase):
    def setUp(self) -> None:
        self.running = RunningCollector()
        self.addCleanup(self.running.stop)

    def collector(self, url: str, timeout: float = 5.0) -> Collector:
        collector = Collector(reactor, url, [("authorization", "Bearer s3cret")], timeout)
        self.addCleanup(collector.close)
        return collector

    async def test_export(self) -> None:
        """Spans are posted as Protocol Buffers with the fields that were configured, again and again."""
        collector = self.collector(self.running.url)
        for _ in range(3):
            self.assertEqual(await collector.export(BODY), PartialSuccess())
        self.assertEqual([each.ids[0] for each in self.running.spans], ["a" * 32] * 3)
        path, fields = self.running.requests[0]
        self.assertEqual(path, "/v1/traces")
        self.assertEqual((fields["content-type"], fields["authorization"]), ("application/x-protobuf", "Bearer s3cret"))

    async def test_answers(self) -> None:
        """Only what OTLP says may be sent again is; a collector's own words come along, if they are its words."""
        partial = ExportTraceServiceResponse()
        partial.partial_success.rejected_spans = 1
        partial.partial_success.error_message = "no room"
        refusal = integer(1, 3) + block(2, b"bad \x1b[31m")
        for reply, outcome in (
            (Reply(body=partial.SerializeToString()), PartialSuccess(1, "no room")),
            (Reply(body=b"<html>"), Failure("an answer that makes no sense: a field of kind 4")),
            (
                Reply(body=bytes(LARGEST_ANSWER + 1)),
                Failure("an answer that makes no sense: an answer of more than 65536 bytes"),
            ),
            (Reply(400, refusal), Failure(r"status 400 ('bad \x1b[31m')")),
            (Reply(401), Failure("status 401")),
            (Reply(302, fields={"Location": "http://127.0.0.1:1/"}), Failure("status 302")),
            (Reply(500, b"<html>"), Failure("status 500")),
            (Reply(502), Failure("status 502", True)),
            (Reply(503), Failure("status 503", True)),
            (Reply(504), Failure("status 504", True)),
            (Reply(429, fields={"Retry-After": "7"}), Failure("status 429", True, 7.0)),
            (Reply(503, fields={"Retry-After": "Fri, 31 Dec 2027 23:59:59 GMT"}), Failure("status 503", True)),
            (Reply(503, fields={"Retry-After": "9" * 40}), Failure("status 503", True)),
        ):
            self.running.reply = reply
            self.assertEqual(await self.collector(self.running.url).export(BODY), outcome, reply)

    async def test_down(self) -> None:
        """Nobody there: to be tried again."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        outcome = await self.collector(f"http://127.0.0.1:{port}/v1/traces").export(BODY)
        self.assertEqual(outcome, Failure("connection refused", True))

    async def test_slow(self) -> None:
        """Who does not answer in time is given up, to be tried again."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
            outcome = await self.collector(url, 0.1).export(BODY)
        self.assertEqual(outcome, Failure("no answer within 0.1 s", True))

    async def test_not_trusted(self) -> None:
        """By https nothing is said to somebody whose certificate this host does not trust."""
        running = RunningCollector(self.unknown())
        self.addCleanup(running.stop)
        outcome = await self.collector(running.url).export(BODY)
        assert isinstance(outcome, Failure)
        self.assertIn("is the certificate one that this host trusts", outcome.reason)
        self.assertEqual(running.requests, [])

    def unknown(self) -> ssl.SSLContext:
        """A server's side of TLS, with a certificate of its own making."""
        key = rsa.generate_private_key(65537, 2048)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file = Path(self.mktemp())
        file.write_bytes(secret + certificate(key, datetime(2099, 1, 1)).public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def test_cancel(self) -> Deferred[None]:
        """An export that is cancelled is over at once, as one that failed or that was cancelled."""
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        exporting = self.collector(f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces").export(BODY)
        exporting.cancel()
        self.assertTrue(exporting.called)
        exporting.addCallback(self.assertIsInstance, Failure)
        return exporting.addErrback(lambda failure: failure.trap(CancelledError)).addCallback(lambda _: None)
