"""A service's rehearsal: it chooses and refuses as the service then does, by whatever policy, and changes nothing."""

from __future__ import annotations

from typing import Any, get_args

from twisted.trial.unittest import SynchronousTestCase

from tests.explain_kit import Laboratory, instances
from tests.kit import OK
from tracseq_gateway.config import Instance, RateLimiting, Service
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.upstream import Admission, Balance, Connections, Retries
from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.service.explain import Question

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class RehearsalTests(SynchronousTestCase):
    def laboratory(self, **settings: Any) -> Laboratory:
        """A gateway with one service that anybody may call as often as he likes."""
        service = Service("all", prefix="/all", rewrite="", auth="none", **settings)
        auth = Service("auth", prefix="/auth", rewrite="", instances=instances(9001))
        return Laboratory(services={"all": service, "auth": auth}, rate_limit=RateLimiting())

    def agree(self, lab: Laboratory, number: int, about: str) -> str:
        """See that the next request goes where it was said to go; return where that is, or why it is refused."""
        question = Question("GET", f"/all/{number}")
        said = lab.explain(method="GET", target=question.target)
        done = lab.make(question)
        if said["outcome"] == "passed":
            self.assertEqual(said["upstream"]["instance"], done.instance, about)
            return done.instance
        self.assertEqual(said["answer"]["status"], done.answer.status, about)
        return str(said["answer"]["error"])

    def test_policies(self) -> None:
        """Every policy, among few and among many of which two are drawn, with some that warm up."""
        for balance in get_args(Balance):
            for count in (3, 12):
                weights = [1 + port % 3 if balance == "weighted_round_robin" else 1 for port in range(count)]
                listed = tuple(Instance(f"http://127.0.0.1:{9100 + port}", weights[port]) for port in range(count))
                lab = self.laboratory(instances=listed, balance=balance, slow_start=Seconds(20.0), hash_by="path")
                for state in ("unhealthy", "healthy"):
                    for instance in listed[:2]:
                        lab.worker.update_instances([InstanceHealth("all", instance.url, state)])
                asked = set()
                for number in range(60):
                    lab.pass_time(0.5, 0.5)
                    asked.add(self.agree(lab, number, f"{balance} of {count}"))
                self.assertGreater(len(asked), 2, balance)

    def test_failing_service(self) -> None:
        """While a service fails: ejections, the circuit, and admission control, which draws who is refused."""
        lab = self.laboratory(
            instances=instances(9011, 9012, 9013),
            admission=Admission(enabled=True),
            retries=Retries(attempts=0),
        )
        met = set()
        for number in range(150):
            lab.service.answer = BUSY if number % 50 < 25 else OK
            lab.pass_time(1.0, 0.5)
            met.add(self.agree(lab, number, f"request {number}"))
        self.assertTrue({"not-admitted", "circuit-open"} <= met, met)

    def test_crowded(self) -> None:
        """Where no connection is free and nobody may wait, another instance is asked, and then nobody."""
        lab = self.laboratory(instances=instances(9011, 9012), connections=Connections(max=1, queue=0))
        lab.service.answer = None
        for expected in ("http://127.0.0.1:9011", "http://127.0.0.1:9012", "queue-full"):
            said = lab.explain(target="/all/1")
            self.assertEqual(expected, said["upstream"]["instance"] if said["upstream"] else said["answer"]["error"])
            lab.client().send(b"GET /all/1 HTTP/1.1\r\nHost: gw.test\r\n\r\n")
        passive = lab.worker.services["all"].passive
        self.assertEqual((1, 0), (passive.counts["retried"], lab.worker.services["all"].retries.under_way))
