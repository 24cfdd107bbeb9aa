"""Overload: admission control, lag, priorities; and the times that a service is given."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryGateway
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.model import Gateway, Service
from tracseq_gateway.config.policies import Metrics, PathRule
from tracseq_gateway.config.upstream import Admission, Breaker, Instance, Outliers, PathTimeouts, Timeouts
from tracseq_gateway.net.lag import LOOK_SECONDS, LagMeter
from tracseq_gateway.upstream.admission import AdmissionControl

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n%b\r\n"
AWAY = b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"


class AdmissionControlTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.time = 1000.0
        self.control = AdmissionControl(Admission(enabled=True), lambda: self.time, Random(1).random)

    def run_at(self, success: float, requests: int) -> float:
        """Ask so often of a service with this share of successes; return the share that was refused."""
        draw, refused = Random(2).random, 0
        for _ in range(requests):
            self.time += 0.01
            if self.control.admits():
                self.control.ended(draw() < success)
            else:
                refused += 1
        return refused / requests

    def test_a_good_service(self) -> None:
        """Up to one failure in twenty refuses nothing."""
        self.assertEqual(self.run_at(1.0, 1000), 0.0)
        self.assertLess(self.run_at(0.96, 3000), 0.01)

    def test_half(self) -> None:
        """A service that fails half of its requests gets about as many as it can answer."""
        self.run_at(0.5, 3000)
        self.assertApproximates(self.control.refused_share(), 0.47, 0.05)

    def test_never_all(self) -> None:
        """A fifth is let through always, or nobody would notice that a service is back."""
        self.run_at(0.0, 3000)
        self.assertEqual(self.control.refused_share(), 0.8)
        self.assertApproximates(self.run_at(0.0, 3000), 0.8, 0.03)

    def test_forgets(self) -> None:
        """What is older than the window counts no more."""
        self.run_at(0.0, 1000)
        self.time += 31
        self.assertEqual(self.control.refused_share(), 0.0)

    def test_through_the_gateway(self) -> None:
        """Refused requests get 503 with Retry-After and their own reason, and reach no instance."""
        gateway = MemoryGateway(
            answer=AWAY,
            admission=Admission(enabled=True),
            breaker=Breaker(failures=0),
            outliers=Outliers(failures=0, share=0.0),
        )
        answers = [gateway.exchange(GET % b"").answers()[0] for _ in range(300)]
        refused = [answer for answer in answers if b"not-admitted" in answer.body]
        self.assertGreater(len(refused), 150)
        self.assertEqual({(answer.status, *answer.values(b"retry-after")) for answer in refused}, {(503, b"1")})
        self.assertEqual(len(gateway.service.requests), 300 - len(refused))


class LagMeterTests(SynchronousTestCase):
    def looks(self, *steps: float) -> list[float]:
        clock = Clock()
        meter = LagMeter(clock)
        meter.start()
        seen = []
        for step in steps:
            clock.advance(step)
            seen.append(round(meter.lag, 6))
        meter.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
        return seen

    def test_one_long_call_is_no_overload(self) -> None:
        """It takes two late looks in a row, and the better one counts."""
        self.assertEqual(self.looks(LOOK_SECONDS, 0.9, LOOK_SECONDS), [0.0, 0.0, 0.0])
        self.assertEqual(self.looks(0.9, 0.6, LOOK_SECONDS), [0.0, 0.5, 0.0])


class SheddingTests(SynchronousTestCase):
    def make(self, **limits: Any) -> None:
        names = {"low": "low", "normal": None, "high": "high"}
        self.gateway = MemoryGateway(
            answer=None,
            gateway=Gateway(**limits),
            services={
                name: Service(
                    name,
                    prefix=f"/{name}",
                    instances=(Instance("http://127.0.0.1:9001"),),
                    priority=priority,  # type: ignore[arg-type]
                )
                for name, priority in names.items()
            },
            tables={"metrics": Metrics(enabled=False)},
        )

    def ask(self, path: str) -> int:
        """The status that is answered at once; 0 when the request was passed on."""
        client = self.gateway.client()
        client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        answers = client.answers()
        if not answers:
            return 0
        if answers[0].status == 503:
            self.assertEqual(answers[0].values(b"retry-after"), [b"1"])
        return answers[0].status

    def passed(self) -> dict[str, bool]:
        return {name: self.ask(f"/{name}/x") == 0 for name in ("low", "normal", "high")}

    def test_lag(self) -> None:
        """Bulk is refused first and logins last, when the reactor runs late; the gateway's own pages answer on."""
        self.make(max_lag=Seconds(0.5))
        self.gateway.worker.start()
        for lag, low, normal, high in (
            (0.1, True, True, True),
            (0.4, False, True, True),
            (0.8, False, False, True),
            (1.5, False, False, False),
        ):
            self.gateway.clock.advance(LOOK_SECONDS + lag)
            self.gateway.clock.advance(LOOK_SECONDS + lag)
            self.assertEqual(self.passed(), {"low": low, "normal": normal, "high": high}, lag)
            self.assertEqual(self.ask("/health"), 200)
        self.gateway.pass_time(0.5)
        self.assertEqual(self.passed(), {"low": True, "normal": True, "high": True})

    def test_places(self) -> None:
        """Bulk fills four fifths of the places, logins find some when all are taken."""
        self.make(max_concurrent_requests=10)
        self.assertEqual([self.ask("/low/x") for _ in range(9)], [0] * 8 + [503])
        self.assertEqual([self.ask("/normal/x") for _ in range(3)], [0, 0, 503])
        self.assertEqual([self.ask("/high/x") for _ in range(2)], [0, 503])
        self.assertEqual(self.ask("/health"), 200)

    def test_the_auth_service(self) -> None:
        """Is of high priority without being told."""
        gateway = MemoryGateway(
            answer=None,
            gateway=Gateway(max_concurrent_requests=10),
            services={
                name: Service(name, prefix=f"/{name}", instances=(Instance("http://127.0.0.1:9001"),))
                for name in ("auth", "samples")
            },
        )
        for _ in range(10):
            gateway.client().send(b"GET /samples/x HTTP/1.1\r\nHost: a\r\n\r\n")
        samples, auth = gateway.client(), gateway.client()
        samples.send(b"GET /samples/x HTTP/1.1\r\nHost: a\r\n\r\n")
        auth.send(b"GET /auth/x HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual([answer.status for answer in samples.answers()], [503])
        self.assertEqual(auth.answers(), [])


class TimesTests(SynchronousTestCase):
    def told(self, fields: bytes = b"", path: bytes = b"/x", **more: Any) -> list[bytes]:
        """What the service is told about its time."""
        gateway = MemoryGateway(**more)
        gateway.exchange(b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (path, fields))
        return gateway.service.requests[0].values(b"x-request-timeout-ms")

    def test_the_service_is_told(self) -> None:
        """How many milliseconds it has: the time for the answer's head, or what is left in all if that is less."""
        self.assertEqual(self.told(), [b"30000"])
        self.assertEqual(self.told(timeouts=Timeouts(total=Seconds(2.5))), [b"2500"])
        self.assertEqual(self.told(timeouts=Timeouts(response=Seconds(0.0))), [])
        self.assertEqual(self.told(timeouts=Timeouts(response=Seconds(1.0), total=Seconds(9.0))), [b"1000"])

    def test_by_nobody_else(self) -> None:
        """A client's own field of that name goes no further, however it is spelled."""
        self.assertEqual(self.told(b"X-Request-Timeout-Ms: 1\r\nX_Request-TIMEOUT_ms: 2\r\n"), [b"30000"])

    def test_other_names(self) -> None:
        """The field can have another name, or be left out."""
        self.assertEqual(self.told(deadline_header=""), [])
        gateway = MemoryGateway(deadline_header="X-Envoy-Expected-Rq-Timeout-Ms")
        gateway.exchange(GET % b"")
        self.assertEqual(gateway.service.requests[0].values(b"x-envoy-expected-rq-timeout-ms"), [b"30000"])

    def test_paths(self) -> None:
        """A path may have more time than the rest of its service, and keeps what it does not name."""
        gateway = MemoryGateway(
            answer=None,
            timeouts=Timeouts(response=Seconds(2.0)),
            paths={"/reports": PathRule(timeouts=PathTimeouts(response=Seconds(20.0)))},
        )
        clients = [gateway.client() for _ in range(2)]
        for client, path in zip(clients, (b"/reports/7", b"/x"), strict=True):
            client.send(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" % path)
        told = [request.values(b"x-request-timeout-ms") for request in gateway.service.requests]
        self.assertEqual(told, [[b"20000"], [b"2000"]])
        gateway.pass_time(5, 0.5)
        self.assertEqual([len(client.answers()) for client in clients], [0, 1])
        gateway.pass_time(17, 0.5)
        self.assertEqual([client.answers()[0].status for client in clients], [504, 504])

    def test_the_rest_of_the_total_time(self) -> None:
        """A further attempt is told what is left by then."""
        gateway = MemoryGateway(
            answer=None,
            timeouts=Timeouts(total=Seconds(10.0)),
            instances=(Instance("http://127.0.0.1:9001"), Instance("http://127.0.0.1:9002")),
        )
        client = gateway.client()
        client.send(GET % b"")
        gateway.pass_time(4)
        gateway.service.connections[0].close()
        gateway.clock.advance(0.03)
        first, second = (int(request.values(b"x-request-timeout-ms")[0]) for request in gateway.service.requests)
        self.assertEqual(first, 10000)
        self.assertIn(second, range(5900, 6001))
        gateway.service.connections[1].answer(OK)
        self.assertEqual([answer.status for answer in client.answers()], [200])
