"""An explanation costs nobody anything: whatever is asked, and however often, everything is as it was."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.explain_kit import Laboratory
from tests.identity_lab import KEY, Lab
from tests.redis_kit import RedisTestCase
from tracseq_gateway.config import Config, Instance, RateLimit, RateLimiting, Redis, Service
from tracseq_gateway.config.policies import Metrics
from tracseq_gateway.interfaces import Observation
from tracseq_gateway.limits.concurrency import ClientConcurrency, ServiceConcurrency
from tracseq_gateway.service import Gateway
from tracseq_gateway.service.explain import Question
from tracseq_gateway.upstream.service import UpstreamService

QUESTIONS: list[dict[str, Any]] = [
    {},
    {"target": "/samples/open/1", "fields": ["X-Request-Id: a"]},
    {"target": "/samples/open/1", "method": "POST", "fields": ["Content-Type: application/json", "Content-Length: 9"]},
    {"target": "/storage/7", "method": "PUT", "fields": ["Content-Length: 1500"]},
    {"target": "/board/7", "fields": ["Cookie: tsq=x"]},
    {"target": "/samples/far/7"},
    {"target": "/auth/login", "method": "POST", "account": "a@lab.test"},
    {"target": "/health"},
    {"target": "/nowhere"},
    {"method": "TRACE"},
    {"api_key": KEY.key},
    {"token": "x.y.z"},
]


def state_of(service: UpstreamService) -> object:
    """All of a service that a request changes."""
    instances = [
        (one.url, one.state, one.in_flight, one.asked, one.failed, one.current_weight, one.latency, one.warm_from)
        for one in service.instances
    ]
    records = [tuple(getattr(one.record, name) for name in one.record.__slots__) for one in service.instances]
    policies = [
        {name: value for name, value in vars(policy).items() if isinstance(value, int | tuple | list)}
        for policy in (service._policy, service._second_choice)
    ]
    pools = [one.pool.state for one in service.instances]
    passive = (dict(service.passive.counts), service.breaker.state, service.retries.under_way)
    return instances, records, policies, pools, passive, service._random.getstate()


def snapshot(worker: Gateway) -> str:
    """All of a worker that a request changes."""
    rates, callers, site = worker.rates, worker.callers, worker.site
    assert rates is not None
    limiter, counts = rates.limiter, worker.records._counts
    seen: list[object] = [state_of(service) for service in worker.services.values()]
    seen += [dict(limiter.outcomes), dict(limiter._refused), dict(limiter.local._tats), rates._fields._policies]
    seen += [site.active, site.awaited, len(site.channels)]
    seen += [
        dict(counts._requests),
        dict(counts._errors),
        [[getattr(one, name) for name in one.__slots__] for one in counts._services.values()],
    ]
    seen += [worker.records.metrics.page() if worker.records.metrics is not None else None]
    seen += [sum(map(len, worker.deadlines._slots.values()))]
    doors = [door.link for way in worker._ways.values() for door in way.doors]
    seen += [link.in_flight for link in doors if isinstance(link, ServiceConcurrency)]
    seen += [dict(link._in_flight) for link in doors if isinstance(link, ClientConcurrency)]
    if callers is not None:
        authenticator = callers.authenticator
        verdicts = authenticator.verdicts
        seen += [dict(authenticator.outcomes), [(key, attrs.asdict(one)) for key, one in verdicts._good.items()]]
        seen += [dict(verdicts._bad), list(authenticator._waiting), len(callers._signer._kept)]
    return repr(seen)


class UnchangedTests(SynchronousTestCase):
    def test_again_and_again(self) -> None:
        """Asked a hundred times about each of many requests, a worker in use is as before, and nobody was connected."""
        lab = Laboratory(metrics=Metrics(enabled=True))
        token = lab.token()
        for number in range(3):
            lab.make(Question("GET", f"/samples/{number}", token=token))
            lab.make(Question("GET", f"/storage/{number}"))
        lab.make(Question("POST", "/auth/login", account="a@lab.test"))
        lab.worker.take_observation(Observation("board", "http://127.0.0.1:9032", "ejected", 20.0))
        before, attempts, requests = snapshot(lab.worker), len(lab.service.attempts), len(lab.service.requests)
        calls = len(lab.clock.getDelayedCalls())
        reports = []
        for question in [*QUESTIONS, {"token": token}, {"token": token, "target": "/storage/1"}]:
            said = [lab.explain(**question) for _ in range(100)]
            self.assertNotIn("error", said[0])
            reports.append(said[0]["outcome"])
            self.assertEqual({said[0]["outcome"]}, {one["outcome"] for one in said})
        self.assertEqual({"passed", "refused", "answered"}, set(reports))
        self.assertEqual(before, snapshot(lab.worker))
        self.assertEqual((attempts, requests), (len(lab.service.attempts), len(lab.service.requests)))
        self.assertEqual(calls, len(lab.clock.getDelayedCalls()))
        lab.make(Question("GET", "/storage/7"))
        self.assertNotEqual(before, snapshot(lab.worker))

    def test_round_robin(self) -> None:
        """Who is next stays next until a request takes his turn."""
        lab = Laboratory()
        asked: list[str] = []
        for _ in range(4):
            urls = {lab.explain(target="/samples/open/1")["upstream"]["instance"] for _ in range(10)}
            self.assertEqual({lab.make(Question("GET", "/samples/open/1")).instance}, urls)
            asked += urls
        self.assertEqual(3, len(set(asked)))

    def test_half_open(self) -> None:
        """The one request that may try an open circuit is not spent."""
        lab = Laboratory()
        lab.worker.take_observation(Observation("samples", "", "opened", 5.0))
        self.assertEqual("circuit-open", lab.explain(target="/samples/open/1")["answer"]["error"])
        lab.pass_time(10)
        for _ in range(3):
            self.assertEqual("passed", lab.explain(target="/samples/open/1")["outcome"])
        self.assertEqual(200, lab.make(Question("GET", "/samples/open/1")).answer.status)

    def test_auth_service(self) -> None:
        """The Auth Service is not asked; its question would be, and is said to be."""
        lab = Lab()
        lab.hold = True
        token = lab.token().partition(b"Bearer ")[2].decode()
        reports: list[bytes] = []
        question = json.dumps({"method": "GET", "target": "/samples/1", "token": token}).encode()
        lab.worker.explain(question).addCallback(reports.append)
        report = json.loads(reports[0])
        [identity] = [step for step in report["steps"] if step["name"] == "identity"]
        self.assertEqual(("passed", "session"), (report["outcome"], identity["facts"]["assumed"]))
        self.assertEqual((0, 0), (lab.questions, len(lab.callers.authenticator.verdicts)))
        self.assertNotIn(token, reports[0].decode())

    def test_auth_service_asked(self) -> None:
        """When it may be asked it is, and the answer is not kept."""
        lab = Lab()
        token = lab.token().partition(b"Bearer ")[2].decode()
        lab.hold = True
        for stands, outcome in ((True, "passed"), (False, "refused")):
            reports: list[bytes] = []
            question = json.dumps({"method": "GET", "target": "/samples/1", "token": token, "ask": True}).encode()
            lab.worker.explain(question).addCallback(reports.append)
            self.assertEqual((1, []), (lab.questions, reports))
            lab.answer_question(stands=stands)
            self.assertEqual(outcome, json.loads(reports[0])["outcome"])
            authenticator = lab.callers.authenticator
            self.assertEqual((0, {}, {}), (len(authenticator.verdicts), authenticator.outcomes, authenticator._waiting))


class RedisTests(RedisTestCase):
    async def test_peeked(self) -> None:
        """What all workers have counted in a real Redis is told exactly, and asking writes nothing there."""
        redis = await self.serving()
        instances = (Instance("http://127.0.0.1:1"),)
        samples = Service("samples", prefix="/samples", instances=instances, rate_limit=RateLimit(1, 3))
        config = Config(
            services={"samples": samples},
            redis=Redis(redis.url, call_seconds=0.5),  # type: ignore[arg-type]
            rate_limit=RateLimiting(enabled=True),
        )
        worker = Gateway(config, self.reactor)
        await worker.start()
        self.addCleanup(worker.drain, 0)
        assert worker.rates is not None
        link, limiter = worker.rates.link, worker.rates.limiter
        question = json.dumps({"method": "GET", "target": "/samples/1", "address": "192.0.2.7"}).encode()
        key = b"tracseq:ratelimit:samples:a:192.0.2.7"
        for left in (3, 2, 1, 0):
            kept = await link.call(b"GET", key)
            for _ in range(5):
                report = json.loads(await worker.explain(question))
                [limits] = [step for step in report["steps"] if step["name"] == "limits"]
                self.assertEqual(left, limits["facts"]["limits"][0]["left"])
                self.assertEqual("passed" if left else "refused", report["outcome"])
                self.assertIn("all workers together count, in Redis", limits["lines"])
            self.assertEqual(kept, await link.call(b"GET", key))
            self.assertEqual(1 if kept else 0, await link.call(b"DBSIZE"))
            await self.take(worker)
        self.assertEqual({"admitted": 3, "refused": 1}, dict(limiter.outcomes))
        report = json.loads(await worker.explain(question))
        self.assertIn("a refusal of a moment ago is remembered", "".join(report["steps"][-1]["lines"]))
        self.assertTrue(50 <= report["answer"]["retry_after"] <= 60, report["answer"])

    async def take(self, worker: Gateway) -> None:
        """Have one request counted."""
        assert worker.rates is not None
        said: Deferred[None] = Deferred()
        stage = worker.rates.stage(worker.services["samples"].settings, 8, lambda request: said.callback(None))
        channel = _Channel(said)
        stage(_request(worker, channel))
        await said


class _Channel:
    """Whose answer only says that there is one."""

    via, secure, local_port = "gw", False, 8000

    def __init__(self, said: Deferred[None]) -> None:
        self._said = said

    def begin(self, *answer: object) -> None:
        self._said.callback(None)


def _request(worker: Gateway, channel: Any) -> Any:
    from tests.kit_client import request, request_parser
    from tracseq_gateway.server.request import GatewayRequest

    return GatewayRequest(channel, request_parser().parse(request(b"/samples/1")), "192.0.2.7", b"")
