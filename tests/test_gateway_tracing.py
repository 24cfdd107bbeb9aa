"""Traces of what passes a gateway: what services are told, and what a collector is sent."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import EPOCH, MemoryGateway
from tests.kit_client import request
from tests.otlp_kit import ReceivedSpan, read_export
from tracseq_gateway.config.keys import Seconds, Size
from tracseq_gateway.config.model import Gateway, Service
from tracseq_gateway.config.policies import Metrics, RateLimit, RateLimiting, Security
from tracseq_gateway.config.tracing import Tracing
from tracseq_gateway.config.upstream import Instance, Retries
from tracseq_gateway.tracing.collector import Failure, Outcome
from tracseq_gateway.tracing.otlp import PartialSuccess

TRACE, PARENT = "12345678901234567890123456789012", "1234567890123456"
TRACEPARENT = f"Traceparent: 00-{TRACE}-{PARENT}-01".encode()
ALL = Tracing(True, "http://127.0.0.1:9/v1/traces", ratio=1.0, batch_seconds=Seconds(1.0))


class TracedGateway(MemoryGateway):
    """A gateway in memory, whose spans are sent nowhere."""

    def __init__(self, settings: Tracing = ALL, tables: dict[str, Any] | None = None, **further: Any) -> None:
        super().__init__(tables={"tracing": settings, **(tables or {})}, **further)
        self.exports: list[bytes] = []
        self.outcome: Outcome = PartialSuccess()
        assert self.worker.records.tracing is not None
        self.worker.records.tracing._exporter._export = self._export

    def _export(self, body: bytes) -> Deferred[Outcome]:
        self.exports.append(body)
        return succeed(self.outcome)

    def spans(self) -> list[ReceivedSpan]:
        """What was exported, after the time that a batch takes."""
        self.clock.advance(1.0)
        return [span for body in self.exports for span in read_export(body)]


class OffTests(SynchronousTestCase):
    def test_untouched(self) -> None:
        """Without traces both fields go to the service byte for byte, good or not, and nothing stands in the way."""
        gateway = MemoryGateway()
        for fields in (
            [TRACEPARENT, b"tracestate: a=1", b"tracestate: b=2"],
            [b"traceparent: nonsense", b"TraceState: ,,"],
            [],
        ):
            gateway.exchange(request(b"/", *fields))
            got = gateway.service.requests[-1]
            wanted = [field.partition(b":") for field in fields]
            self.assertEqual(
                [pair for pair in got.fields if pair[0].startswith(b"trace")],
                [(name.lower(), value.strip()) for name, _, value in wanted],
            )
        self.assertIsNone(gateway.worker.doors.trace)
        self.assertIsNone(gateway.worker.records.tracing)


class PropagationTests(SynchronousTestCase):
    def test_replaced(self) -> None:
        """A service gets one traceparent, ours, whatever the client sent, and the state that belongs to it."""
        gateway = TracedGateway()
        for fields, continued, state in (
            ([TRACEPARENT, b"tracestate: a=1", b"tracestate: b=2"], True, [b"a=1,b=2"]),
            ([TRACEPARENT, b"tracestate: A=1"], True, []),
            ([TRACEPARENT, TRACEPARENT, b"tracestate: a=1"], False, []),
            ([b"tracestate: a=1"], False, []),
            ([b"traceparent: x" + b"y" * 4000], False, []),
            ([], False, []),
        ):
            gateway.exchange(request(b"/", *fields))
            got = gateway.service.requests[-1]
            (traceparent,) = got.values(b"traceparent")
            self.assertTrue(re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{15}1-0[0-3]", traceparent), traceparent)
            self.assertEqual(TRACE.encode() in traceparent, continued)
            self.assertEqual(got.values(b"tracestate"), state)

    def test_whose_flag(self) -> None:
        """Only a peer that is named decides what is kept; being a trusted proxy is not enough."""
        settings = Tracing(True, ratio=0.0, trusted_parents=(ip_network("192.0.2.0/25"),))
        gateway = TracedGateway(settings, gateway=Gateway(trusted_proxies=(ip_network("192.0.2.0/24"),)))
        for peer, flags in (("192.0.2.7", b"1"), ("192.0.2.200", b"0"), ("203.0.113.1", b"0")):
            client = gateway.client(peer)
            client.send(request(b"/", TRACEPARENT, b"X-Forwarded-For: 198.51.100.1"))
            gateway.service.run()
            (traceparent,) = gateway.service.requests[-1].values(b"traceparent")
            self.assertEqual(traceparent[-1:], flags, peer)

    def test_repeated_fields(self) -> None:
        """Requests with the same fields on one connection have spans of their own."""
        gateway = TracedGateway()
        client = gateway.client()
        for _ in range(3):
            client.send(request(b"/", TRACEPARENT))
            gateway.service.run()
        ids = [each.ids for each in gateway.spans()]
        self.assertEqual(len(ids), 6)
        self.assertEqual({trace for trace, _, _ in ids}, {TRACE})
        self.assertEqual(len({span for _, span, _ in ids}), 6)


class SpanTests(SynchronousTestCase):
    def pair(self, gateway: TracedGateway) -> tuple[ReceivedSpan, ReceivedSpan]:
        server, client = gateway.spans()
        self.assertEqual((server.span.kind, client.span.kind), (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT))
        return server, client

    def test_answered(self) -> None:
        """The span of a request, and below it that of asking the service: what both were, and how long they took."""
        services = {
            "samples": Service(
                "samples", prefix="/samples", instances=(Instance("http://10.0.0.5:8081"),), body_buffer=Size(0)
            )
        }
        gateway = TracedGateway(services=services, answer=None)
        client = gateway.client()
        client.send(
            request(
                b"/samples/42?token=secret",
                TRACEPARENT,
                b"X-Request-Id: id-1",
                b"User-Agent: curl/8",
                b"Authorization: Bearer secret",
                method=b"POST",
                body=b"hello",
            )
        )
        gateway.clock.advance(0.25)
        gateway.service.connections[0].answer(b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\n")
        gateway.clock.advance(0.5)
        gateway.service.connections[0].answer(b"done")
        server, asking = self.pair(gateway)
        (traceparent,) = gateway.service.requests[0].values(b"traceparent")
        self.assertEqual(traceparent.decode(), f"00-{TRACE}-{asking.ids[1]}-01")
        self.assertEqual(server.ids, (TRACE, server.ids[1], PARENT))
        self.assertEqual(asking.ids, (TRACE, asking.ids[1], server.ids[1]))
        self.assertEqual((server.span.name, asking.span.name), ("POST /samples", "POST"))
        self.assertEqual(
            server.attributes,
            {
                "http.request.method": "POST",
                "url.scheme": "http",
                "url.path": "/samples/42",
                "server.address": "gw.test",
                "client.address": "192.0.2.7",
                "network.peer.address": "192.0.2.7",
                "network.protocol.version": "1.1",
                "tracseq.request_id": "id-1",
                "http.response.status_code": 201,
                "http.request.body.size": 5,
                "http.response.body.size": 4,
                "user_agent.original": "curl/8",
                "http.route": "/samples",
                "tracseq.service": "samples",
                "tracseq.instance": "http://10.0.0.5:8081",
                "tracseq.attempts": 1,
            },
        )
        self.assertEqual(
            asking.attributes,
            {
                "http.request.method": "POST",
                "server.address": "10.0.0.5",
                "server.port": 8081,
                "url.full": "http://10.0.0.5:8081/api/v1/42",
                "network.protocol.version": "1.1",
                "tracseq.service": "samples",
                "http.response.status_code": 201,
            },
        )
        self.assertNotIn(b"secret", b"".join(gateway.exports))
        begin = (EPOCH + 1000) * 1e9
        for moment, seconds in (
            (server.span.start_time_unix_nano, 0),
            (server.span.end_time_unix_nano, 0.75),
            (asking.span.start_time_unix_nano, 0),
            (asking.span.end_time_unix_nano, 0.75),
            (asking.span.events[0].time_unix_nano, 0),
            (asking.span.events[1].time_unix_nano, 0.25),
        ):
            self.assertAlmostEqual((moment - begin) / 1e9, seconds, places=5)
        self.assertEqual(asking.events, ["request passed on", "answer began"])
        self.assertEqual({each.span.status.code for each in (server, asking)}, {Status.STATUS_CODE_UNSET})
        resource = server.resource
        self.assertEqual((resource["service.name"], server.scope), ("tracseq-gateway", "tracseq-gateway"))
        self.assertEqual(resource["deployment.environment.name"], "development")

    def test_statuses(self) -> None:
        """5xx is an error of both spans; 4xx of a service is one of asking alone, as OpenTelemetry has it."""
        for status, server_error, asking_error in (
            (200, False, False),
            (302, False, False),
            (404, False, True),
            (500, True, True),
        ):
            answer = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
            gateway = TracedGateway(answer=answer)
            gateway.exchange(request(b"/"))
            server, asking = self.pair(gateway)
            for span, error in ((server, server_error), (asking, asking_error)):
                self.assertEqual(span.span.status.code == Status.STATUS_CODE_ERROR, error, status)
                self.assertEqual(span.attributes.get("error.type"), str(status) if error else None, status)
                self.assertEqual(span.attributes["http.response.status_code"], status)

    def test_service_down(self) -> None:
        """A service that cannot be reached: both spans say so, in the gateway's word for it."""
        gateway = TracedGateway(instances=(Instance("http://a:1"), Instance("http://b:2")))
        gateway.service.failures = {1: ConnectionRefusedError(), 2: ConnectionRefusedError()}
        gateway.exchange(request(b"/"))
        server, asking = self.pair(gateway)
        self.assertEqual(server.attributes["http.response.status_code"], 502)
        self.assertEqual(server.attributes["tracseq.attempts"], 2)
        self.assertEqual(server.attributes["error.type"], asking.attributes["error.type"])
        self.assertEqual(server.span.status.code, Status.STATUS_CODE_ERROR)
        self.assertTrue(server.span.status.message)
        self.assertEqual(asking.attributes["http.request.resend_count"], 1)
        self.assertNotIn("http.response.status_code", asking.attributes)
        self.assertEqual(asking.events, [])

    def test_client_left(self) -> None:
        """A client that leaves is no error of anybody."""
        gateway = TracedGateway(answer=None)
        client = gateway.exchange(request(b"/"))
        client.leave()
        server, asking = self.pair(gateway)
        self.assertEqual(server.attributes["http.response.status_code"], 499)
        self.assertNotIn("http.response.status_code", asking.attributes)
        self.assertEqual({each.span.status.code for each in (server, asking)}, {Status.STATUS_CODE_UNSET})
        self.assertEqual(asking.events, ["request passed on"])

    def test_refused(self) -> None:
        """A request that the gateway refuses has one span, with the reason; unrouted it is named by its method."""
        gateway = TracedGateway(tables={"security": Security(deny=(ip_network("192.0.2.9"),))})
        gateway.client("192.0.2.9").send(request(b"/x", method=b"DELETE"))
        (server,) = gateway.spans()
        self.assertEqual((server.span.name, server.attributes["error.type"]), ("DELETE", "address-denied"))
        self.assertEqual(server.span.status.code, Status.STATUS_CODE_UNSET)
        self.assertNotIn("http.route", server.attributes)

    def test_limits(self) -> None:
        """What the limiter decided stands in the span; a refusal that is said again to the same client has none."""
        gateway = TracedGateway(tables={"rate_limit": RateLimiting(enabled=True)}, rate_limit=RateLimit(60, 2))
        client = gateway.client()
        for _ in range(6):
            client.send(request(b"/", TRACEPARENT))
            gateway.service.run()
        servers = [each for each in gateway.spans() if each.span.kind == Span.SPAN_KIND_SERVER]
        verdicts = [each.attributes.get("tracseq.limit") for each in servers]
        self.assertEqual(len({each.ids[1] for each in servers}), len(servers))
        self.assertEqual(verdicts[:2], ["local", "local"])
        self.assertEqual(
            [each.attributes["http.response.status_code"] for each in servers[2:]], [429] * (len(servers) - 2)
        )
        self.assertLess(len(servers), 6)

    def test_own_pages(self) -> None:
        """Probes and scrapes leave no spans."""
        gateway = TracedGateway(tables={"metrics": Metrics(enabled=True)})
        for target in (b"/health", b"/services", b"/health/live"):
            gateway.exchange(request(target))
        self.assertEqual(gateway.spans(), [])

    def test_no_request(self) -> None:
        """Bytes that are no request have no place in a trace."""
        gateway = TracedGateway()
        gateway.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        self.assertEqual(gateway.spans(), [])

    def test_not_sampled(self) -> None:
        """What is not sampled costs no span, and services are told."""
        gateway = TracedGateway(Tracing(True, ratio=0.0))
        gateway.exchange(request(b"/", TRACEPARENT))
        (traceparent,) = gateway.service.requests[0].values(b"traceparent")
        self.assertEqual(traceparent[-2:], b"00")
        self.assertEqual(gateway.spans(), [])

    def test_retried(self) -> None:
        """After a retry the span of asking tells of the last attempt, and that there were others."""
        gateway = TracedGateway(
            answer=None,
            instances=(Instance("http://a:1"), Instance("http://b:2")),
            retries=Retries(budget=1.0),
        )
        gateway.exchange(request(b"/"))
        gateway.service.connections[0].answer(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
        gateway.clock.advance(2.0)
        gateway.service.connections[-1].answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        server, asking = self.pair(gateway)
        self.assertEqual(
            (server.attributes["tracseq.attempts"], asking.attributes["http.request.resend_count"]), (2, 1)
        )
        self.assertEqual(asking.attributes["http.response.status_code"], 200)
        self.assertEqual(asking.attributes["url.full"], f"{server.attributes['tracseq.instance']}/")


class CountTests(SynchronousTestCase):
    def test_metric(self) -> None:
        """What became of spans is a metric."""
        gateway = TracedGateway(tables={"metrics": Metrics(enabled=True)})
        gateway.worker.records.start()
        self.addCleanup(gateway.worker.records.stop)
        gateway.exchange(request(b"/"))
        gateway.spans()
        gateway.outcome = Failure("status 400")
        gateway.exchange(request(b"/"))
        gateway.clock.advance(2.0)
        gateway.clock.advance(1.0)
        metrics = gateway.worker.records.metrics
        assert metrics is not None
        page = metrics.page().body.decode()
        self.assertIn('gateway_spans_total{outcome="exported"} 2.0', page)
        self.assertIn('gateway_spans_total{outcome="failed"} 2.0', page)

    def test_drain(self) -> None:
        """A worker that leaves sends what waits, and counts it."""
        gateway = TracedGateway(tables={"metrics": Metrics(enabled=True)})
        gateway.exchange(request(b"/", b"Connection: close")).settle()
        drained = gateway.worker.drain(5.0)
        for _ in range(10):
            gateway.clock.advance(0.1)
        self.successResultOf(drained)
        self.assertEqual(len(gateway.exports), 1)
        metrics = gateway.worker.records.metrics
        assert metrics is not None
        self.assertIn('gateway_spans_total{outcome="exported"} 2.0', metrics.page().body.decode())
