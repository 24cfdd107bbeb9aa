"""The gateway's own pages: what each document says, in every state of the services and of the gateway."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import Answer, MemoryGateway
from tests.kit_client import MemoryServer, request
from tracseq_gateway import __version__
from tracseq_gateway.admin.pages import pages
from tracseq_gateway.admin.status import Status, stamp
from tracseq_gateway.config.docs import Docs
from tracseq_gateway.config.keys import Size
from tracseq_gateway.config.model import Config, Gateway, Service
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.interfaces import InstanceHealth, State, WorkerHealth

ONE, TWO, OTHER = "http://127.0.0.1:8081", "http://127.0.0.1:9081", "http://127.0.0.1:8082"
PAGES = ["/", "/health", "/health/live", "/health/ready", "/health/services", "/services"]
NOW = 784111777.25


def status_of(*, environment: Any = "staging", **services: list[str]) -> Status:
    """The status of a gateway with these services, by the URLs of their instances."""
    made = {
        name: Service(name, f"/{name}", instances=tuple(Instance(url) for url in urls), max_body=Size(1000))
        for name, urls in services.items()
    }
    return Status(Config(gateway=Gateway(environment=environment), services=made, docs=Docs(enabled=False)))


class StatusTests(SynchronousTestCase):
    def test_services(self) -> None:
        """A service is what its instances are: unknown, healthy, degraded or unhealthy."""
        for states, expected in {
            (): "unknown",
            ("unknown",): "unknown",
            ("unknown", "unknown"): "unknown",
            ("healthy",): "healthy",
            ("healthy", "healthy"): "healthy",
            ("healthy", "unknown"): "healthy",
            ("unhealthy",): "unhealthy",
            ("unhealthy", "unhealthy"): "unhealthy",
            ("healthy", "unhealthy"): "degraded",
            ("unhealthy", "unknown"): "degraded",
            ("healthy", "unhealthy", "unknown"): "degraded",
        }.items():
            status = status_of(samples=[f"http://h:{number}" for number in range(len(states))])
            status.update_instances(
                InstanceHealth("samples", f"http://h:{number}", self.state(state))
                for number, state in enumerate(states)
            )
            self.assertEqual(status.service_state("samples"), expected, states)

    @staticmethod
    def state(name: str) -> State:
        states: dict[str, State] = {"unknown": "unknown", "healthy": "healthy", "unhealthy": "unhealthy"}
        return states[name]

    def test_overall(self) -> None:
        """The whole is healthy when no service is known to be worse, unhealthy when none can be used, else degraded."""
        kinds: dict[str, tuple[State, State]] = {
            "unknown": ("unknown", "unknown"),
            "healthy": ("healthy", "healthy"),
            "degraded": ("healthy", "unhealthy"),
            "unhealthy": ("unhealthy", "unhealthy"),
        }
        for first, second in product(kinds, repeat=2):
            status = status_of(samples=[ONE, TWO], storage=[ONE, TWO])
            for name, kind in (("samples", first), ("storage", second)):
                status.update_instances(
                    InstanceHealth(name, url, state) for url, state in zip((ONE, TWO), kinds[kind], strict=True)
                )
                self.assertEqual(status.service_state(name), kind)
            together = {first, second}
            if together <= {"healthy", "unknown"}:
                expected = "healthy"
            else:
                expected = "unhealthy" if together == {"unhealthy"} else "degraded"
            self.assertEqual(status.overall(), expected, together)
        self.assertEqual(status_of().overall(), "healthy")

    def test_strangers(self) -> None:
        """News of an instance that is not configured is not taken up."""
        status = status_of(samples=[ONE])
        status.update_instances(
            [InstanceHealth("samples", TWO, "unhealthy"), InstanceHealth("other", ONE, "unhealthy")]
        )
        self.assertEqual(status.service_state("samples"), "unknown")
        self.assertEqual([health.url for health in status.of_service("samples")], [ONE])
        self.assertEqual(list(status.of_service("none")), [])

    def test_stamps(self) -> None:
        """Times are RFC 3339 in UTC with milliseconds; 0 is no time."""
        self.assertEqual(stamp(NOW), "1994-11-06T08:49:37.250Z")
        self.assertEqual(stamp(1.0), "1970-01-01T00:00:01.000Z")
        self.assertIsNone(stamp(0.0))


class PageTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.status = status_of(samples=[ONE, TWO], storage=[OTHER])
        self.server = MemoryServer(pages(self.status, now=lambda: NOW))

    def ask(self, path: str, method: bytes = b"GET") -> Answer:
        (answer,) = self.server.visit(request(path.encode(), method=method)).answers(method)
        return answer

    def document(self, path: str, status: int = 200) -> dict[str, Any]:
        """The document of a page."""
        answer = self.ask(path)
        self.assertEqual((answer.status, answer.values(b"content-type")), (status, [b"application/json"]), path)
        read: dict[str, Any] = json.loads(answer.body)
        return read


class DocumentTests(PageTestCase):
    def test_root(self) -> None:
        """``/`` says what this is, and where to go on; each of its links but that for people leads to a document."""
        document = self.document("/")
        self.assertEqual(
            {key: document[key] for key in ("name", "version", "status", "environment", "services")},
            {
                "name": "TracSeq Gateway",
                "version": __version__,
                "status": "running",
                "environment": "staging",
                "services": {"samples": "/samples", "storage": "/storage"},
            },
        )
        self.assertEqual("/dashboard", document["links"].pop("dashboard"))
        for link in document["links"].values():
            self.document(link)

    def test_health(self) -> None:
        """``/health`` says that the gateway serves and, once the supervisor has told it, how many workers there are."""
        expected = {
            "status": "healthy",
            "service": "tracseq-gateway",
            "version": __version__,
            "timestamp": "1994-11-06T08:49:37.250Z",
            "services": "healthy",
        }
        self.assertEqual(self.document("/health"), expected)
        self.status.update_workers(WorkerHealth(configured=4, running=3, restarts=7))
        self.assertEqual(
            self.document("/health"), expected | {"workers": {"configured": 4, "running": 3, "restarts": 7}}
        )

    def test_health_does_not_follow_the_services(self) -> None:
        """A gateway whose services are all down is itself alive and ready: a restart of it would not help."""
        self.status.update_instances(
            InstanceHealth(name, url, "unhealthy")
            for name, url in (("samples", ONE), ("samples", TWO), ("storage", OTHER))
        )
        self.assertEqual(self.document("/health")["services"], "unhealthy")
        for page in PAGES:
            self.document(page)

    def test_health_of_services(self) -> None:
        """``/health/services`` says of each instance its state, since when, when it was probed, and what came of it."""
        self.status.update_instances(
            [
                InstanceHealth("samples", ONE, "healthy", since=1.0, checked=NOW, latency=0.0012345),
                InstanceHealth("samples", TWO, "unhealthy", since=2.0, checked=NOW, error="connection refused"),
            ]
        )
        document = self.document("/health/services")
        self.assertEqual((document["status"], document["timestamp"]), ("degraded", "1994-11-06T08:49:37.250Z"))
        self.assertEqual(list(document["services"]), ["samples", "storage"])
        first, second = document["services"]["samples"]["instances"]
        self.assertEqual(document["services"]["samples"]["status"], "degraded")
        checked = "1994-11-06T08:49:37.250Z"
        self.assertEqual(
            first,
            {
                "url": ONE,
                "state": "healthy",
                "ejected": False,
                "drained": False,
                "since": stamp(1.0),
                "checked": checked,
                "latency_ms": 1.23,
                "error": None,
            },
        )
        self.assertEqual(
            (second["state"], second["latency_ms"], second["error"]), ("unhealthy", None, "connection refused")
        )
        (unknown,) = document["services"]["storage"]["instances"]
        self.assertEqual((unknown["state"], unknown["since"], unknown["checked"]), ("unknown", None, None))

    def test_services(self) -> None:
        """``/services`` lists what is configured, in its order, with the state of each."""
        self.assertEqual(
            self.document("/services")["services"][0],
            {
                "name": "samples",
                "prefix": "/samples",
                "status": "unknown",
                "instances": 2,
                "balance": "round_robin",
                "max_body": 1000,
            },
        )
        self.assertEqual(
            [service["name"] for service in self.document("/services")["services"]], ["samples", "storage"]
        )

    def test_live_and_ready(self) -> None:
        """The two probes of an orchestrator."""
        self.assertEqual(self.document("/health/live"), {"status": "alive"})
        self.assertEqual(self.document("/health/ready"), {"status": "ready"})

    def test_draining(self) -> None:
        """While it drains, the gateway is alive but not ready: /health and /health/ready say 503, the others serve."""
        self.status.draining = True
        self.assertEqual(self.document("/health", 503)["status"], "draining")
        self.assertEqual(self.document("/health/ready", 503), {"status": "draining"})
        self.assertEqual(self.document("/health/live"), {"status": "alive"})
        self.assertEqual(self.document("/")["status"], "draining")
        self.document("/health/services")
        self.document("/services")


class AccessTests(PageTestCase):
    def test_not_cached(self) -> None:
        """No page may be kept by a cache."""
        for page in PAGES:
            self.assertEqual(self.ask(page).values(b"cache-control"), [b"no-store"])

    def test_head(self) -> None:
        """HEAD has the fields of GET and no body."""
        for page in PAGES:
            get, head = self.ask(page), self.ask(page, b"HEAD")
            self.assertEqual((head.status, head.body), (200, b""))
            self.assertEqual(head.values(b"content-length"), get.values(b"content-length"))

    def test_other_methods(self) -> None:
        """Every page can only be read."""
        for page, method in product(PAGES, (b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")):
            answer = self.ask(page, method)
            self.assertEqual((answer.status, answer.values(b"allow")), (405, [b"GET, HEAD"]), (page, method))
            self.assertEqual(answer.values(b"content-type"), [b"application/problem+json"])

    def test_post_with_a_body(self) -> None:
        """A body that nobody takes is not read, and the connection is closed behind it."""
        visitor = self.server.visit(request(b"/health", b"Content-Length: 100000", method=b"POST") + b"x")
        self.assertEqual((visitor.statuses(), visitor.half_closed), ([405], True))

    def test_slashes(self) -> None:
        """A trailing slash makes no difference; what lies below a page does not exist."""
        for page in PAGES[1:]:
            self.assertEqual(self.ask(page + "/").status, 200, page)
            self.assertEqual(self.ask(page + "?x=1").status, 200, page)
        for path in ("/health/none", "/health/live/x", "/services/samples", "/health/services/samples", "/metrics"):
            answer = self.ask(path)
            self.assertEqual(
                (answer.status, answer.values(b"content-type")), (404, [b"application/problem+json"]), path
            )


class WholeGatewayTests(SynchronousTestCase):
    def test_news_reach_the_pages(self) -> None:
        """What the supervisor tells a worker shows in its pages, and a drain, too."""
        services = {"samples": Service("samples", "/samples", instances=(Instance(ONE),))}
        gateway = MemoryGateway(services=services)
        gateway.worker.update_instances([InstanceHealth("samples", ONE, "unhealthy", error="timeout")])
        gateway.worker.update_workers(WorkerHealth(2, 2))
        (answer,) = gateway.exchange(request(b"/health/services")).answers()
        self.assertEqual(json.loads(answer.body)["services"]["samples"]["instances"][0]["error"], "timeout")
        client = gateway.client()
        client.send(request(b"/health")[:10])
        gateway.worker.drain(10.0)
        client.send(request(b"/health")[10:])
        (answer,) = client.answers()
        self.assertEqual((answer.status, json.loads(answer.body)["workers"]["running"]), (503, 2))
