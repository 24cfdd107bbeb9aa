"""What a worker's gateway writes down of the requests that pass it."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred, TimeoutError, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryGateway, MemoryTransport
from tests.kit_client import MemoryServer, request
from tracseq_gateway.access_log.lines import json_lines
from tracseq_gateway.admin.metrics_page import KEEP_SECONDS, MetricsPage
from tracseq_gateway.config.dashboard import Dashboard
from tracseq_gateway.config.model import Gateway
from tracseq_gateway.config.policies import Authentication, Jwt, Metrics, Security
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.interfaces import InstanceHealth, Request
from tracseq_gateway.metrics.page import Page
from tracseq_gateway.server.h2_channel import H2Channel
from tracseq_gateway.service.own_pages import SCRAPE_SECONDS

AUTH = Authentication(enabled=True, service="", jwt=Jwt(secret_env="SECRET"))
SECRET = {"SECRET": "a secret of more than 32 characters for tests"}


class MetricsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = MemoryGateway(tables={"metrics": Metrics(enabled=True)})

    def value(self, name: str, **labels: str) -> float:
        metrics = self.gateway.worker.records.metrics
        assert metrics is not None
        self.gateway.worker.records.hand_over()
        for family in text_string_to_metric_families(metrics.page().body.decode()):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return 0.0

    def test_service(self) -> None:
        """How long a service took to answer is measured from when the request was passed on."""
        self.gateway.service.answer = None
        self.gateway.exchange(request(b"/"))
        self.gateway.clock.advance(0.2)
        self.gateway.service.connections[0].answer(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.assertEqual(self.value("service_response_time_seconds_count", service="all"), 1)
        self.assertAlmostEqual(self.value("service_response_time_seconds_sum", service="all"), 0.2)

    def read(self) -> None:
        """Have all parts read, as happens every second."""
        self.gateway.worker.records._read()

    def test_parts(self) -> None:
        """What the parts of a worker are at is read: connections of both sides, instances, bytes."""
        self.gateway.service.answer = None
        client = self.gateway.client()
        client.send(request(b"/", method=b"POST", body=b"body"))
        self.read()
        url = self.gateway.worker.services["all"].instances[0].url
        self.assertEqual(self.value("gateway_client_connections"), 1)
        self.assertEqual(self.value("gateway_requests_in_flight"), 1)
        self.assertEqual(self.value("gateway_upstream_connections", service="all", state="busy"), 1)
        self.assertEqual(self.value("gateway_upstream_connect_seconds_count", service="all"), 1)
        self.assertEqual(self.value("gateway_instance_requests_in_flight", service="all", url=url), 1)
        self.gateway.service.connections[0].answer(OK)
        self.read()
        self.assertEqual(self.value("gateway_upstream_connections", service="all", state="idle"), 1)
        self.assertEqual(self.value("gateway_instance_requests_in_flight", service="all", url=url), 0)
        self.assertEqual(self.value("gateway_instance_requests_total", service="all", url=url), 1)
        self.assertEqual(self.value("gateway_received_bytes_total", service="all"), 4)
        self.assertEqual(self.value("gateway_sent_bytes_total", service="all"), len(client.answers()[0].body))

    def test_http2(self) -> None:
        """HTTP/2 connections that had to be ended are counted by why, from 0 on."""
        self.read()
        self.assertEqual(self.value("gateway_http2_connection_errors_total", error="enhance_your_calm"), 0)
        channel, transport = H2Channel(self.gateway.worker.site), MemoryTransport()
        channel.makeConnection(transport)
        channel.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.read()
        self.assertTrue(transport.closed)
        self.assertEqual(self.value("gateway_http2_connection_errors_total", error="protocol_error"), 1)

    def test_no_connection(self) -> None:
        """A connection that cannot be opened is counted by why, and held against the instance."""
        self.gateway.service.refuse = Failure(ConnectionRefusedError())
        self.gateway.exchange(request(b"/"))
        url = self.gateway.worker.services["all"].instances[0].url
        counted = self.value("gateway_upstream_connect_errors_total", service="all", error_type="connect-refused")
        self.assertGreater(counted, 0)
        self.assertEqual(self.value("gateway_instance_failures_total", service="all", url=url), counted)

    def test_instances(self) -> None:
        """What probes say of an instance is shown, and an instance that discovery finds no more is not."""
        service = self.gateway.worker.services["all"]
        (url,) = (instance.url for instance in service.instances)
        self.gateway.worker.update_instances([InstanceHealth("all", url, "unhealthy", 1.0, 1.0, None, "refused")])
        self.read()
        self.assertEqual(self.value("gateway_instance_healthy", service="all", url=url), 0)
        self.assertEqual(self.value("gateway_instance_ejected", service="all", url=url), 0)
        self.gateway.worker.list_instances("all", [Instance("http://192.0.2.99:80")])
        self.read()
        metrics = self.gateway.worker.records.metrics
        assert metrics is not None
        page = metrics.page().body.decode()
        self.assertIn('url="http://192.0.2.99:80"', page)
        self.assertNotIn(f'url="{url}"', page)

    def test_made_elsewhere(self) -> None:
        """A worker with a supervisor sends the page that this has made; without an answer in time, an error."""
        made: list[Deferred[str]] = []

        def scrape(openmetrics: bool) -> Deferred[str]:
            made.append(Deferred())
            return made[-1]

        self.gateway.worker.scrape_by(scrape)
        file = Path(self.mktemp())
        file.write_text("page 1\n")
        client = self.gateway.client()
        client.send(request(b"/metrics"))
        made[0].callback(str(file))
        answer = client.answers()[0]
        self.assertEqual((answer.status, answer.body), (200, b"page 1\n"))
        self.gateway.clock.advance(KEEP_SECONDS)
        client.send(request(b"/metrics"))
        self.gateway.clock.advance(SCRAPE_SECONDS)
        self.assertEqual(client.answers()[1].status, 500)
        self.assertEqual(len(self.flushLoggedErrors(TimeoutError)), 1)

    def test_bytes_that_are_no_request(self) -> None:
        """What is refused before it is a request is counted, too: nobody's method, and no service's."""
        self.gateway.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        self.gateway.exchange(b"\x16\x03\x01")
        self.assertEqual(self.value("gateway_requests_total", method="other", service="none", status="400"), 2)
        self.assertEqual(self.value("gateway_errors_total", service="none", error_type="bad-request"), 2)

    def test_page_of_a_second(self) -> None:
        """However often the page is asked for, it is made once a second."""
        made: list[bool] = []

        def make(openmetrics: bool) -> Deferred[Page]:
            made.append(openmetrics)
            return succeed(Page("text/plain", b"%d" % len(made)))

        clock = Clock()
        page = MetricsPage(make, clock.seconds)
        server = MemoryServer(page)
        bodies = []
        for pause in (0.0, 0.9, 0.2):
            clock.advance(pause)
            bodies.append(server.visit(request(b"/")).answers()[0].body)
        self.assertEqual(bodies, [b"1", b"1", b"2"])

    def test_cut_by_a_drain(self) -> None:
        """A request that a drain cuts is the gateway's doing, not its client's."""
        self.gateway.service.answer = None
        client = self.gateway.exchange(request(b"/"))
        self.gateway.worker.site.drain(1.0)
        self.gateway.clock.advance(1.0)
        client.settle()
        self.assertEqual(self.value("gateway_requests_total", method="GET", service="all", status="503"), 1)


class NothingTests(SynchronousTestCase):
    def test_nothing(self) -> None:
        """A gateway without dashboard, metrics and log looks at no request, and reads no clock for it."""
        tables = {"metrics": Metrics(enabled=False), "dashboard": Dashboard(enabled=False)}
        gateway = MemoryGateway(tables=tables)
        self.assertIsNone(gateway.worker.records.recorder)
        self.assertEqual(gateway.exchange(request(b"/")).answers()[0].status, 200)


class ReasonTests(SynchronousTestCase):
    def test_reason(self) -> None:
        """The log says why a token was refused; the client is told the same whatever the reason."""
        lines: list[dict[str, object]] = []
        line = json_lines()

        class Recorder:
            def request_ended(self, request: Request) -> None:
                lines.append(json.loads(line(request, 0.0, 0.0)))

        gateway = MemoryGateway(tables={"auth": AUTH}, environ=SECRET)
        gateway.worker.site._recorder = Recorder()
        bodies = set()
        for token in (b"x", b"a.b.c", b"." * 9000):
            answer = gateway.exchange(request(b"/", b"Authorization: Bearer " + token)).answers()[0]
            document = json.loads(answer.body)
            del document["request_id"]
            bodies.add(json.dumps(document))
        self.assertEqual(len(bodies), 1)
        self.assertEqual([line["error"] for line in lines], ["unauthenticated"] * 3)
        self.assertEqual(len({line["reason"] for line in lines}), 3, lines)


class TransportSecurityTests(SynchronousTestCase):
    def test_behind_a_proxy(self) -> None:
        """A client that came by TLS to a trusted proxy is told to insist on it; nobody else is, whatever they say."""
        for peer, said, expected in (
            ("192.0.2.1", b"https", True),
            ("192.0.2.1", b"http", False),
            ("198.51.100.1", b"https", False),
        ):
            for target in (b"/", b"/health"):
                gateway = MemoryGateway(
                    gateway=Gateway(trusted_proxies=(ip_network("192.0.2.0/24"),)),
                    tables={"security": Security(headers=True)},
                )
                client = gateway.client(peer)
                client.send(request(target, b"X-Forwarded-Proto: " + said, b"X-Forwarded-For: 203.0.113.9"))
                gateway.service.run()
                fields = client.answers()[0].values(b"strict-transport-security")
                self.assertEqual(fields, [b"max-age=31536000; includeSubDomains"] if expected else [], (peer, said))
