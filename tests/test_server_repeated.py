"""A client over its limit that repeats itself: it gets the same refusal, as long as that is true, and nothing else."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import SPLITS, MemoryGateway
from tests.kit_client import request
from tracseq_gateway.config.model import Client
from tracseq_gateway.config.policies import RateLimit, RateLimiting
from tracseq_gateway.interfaces import Request

GET = request(b"/a", b"User-Agent: test")


class Recorder:
    def __init__(self) -> None:
        self.ended: list[tuple[int, bytes, float]] = []

    def request_ended(self, request: Request) -> None:
        self.ended.append((request.status, request.request_id, request.began))


class RepeatedTests(SynchronousTestCase):
    def start(self, burst: int = 1, **limits: Any) -> None:
        self.gateway = MemoryGateway(
            client=Client(**limits),
            tables={"rate_limit": RateLimiting(enabled=True)},
            rate_limit=RateLimit(12, burst),
        )
        self.recorder = self.gateway.worker.site._recorder = Recorder()
        self.client = self.gateway.client()

    def setUp(self) -> None:
        self.start()

    def ask(self, data: bytes = GET) -> None:
        self.client.send(data)
        self.gateway.service.run()

    def statuses(self) -> list[int]:
        return [answer.status for answer in self.client.answers()]

    @property
    def outcomes(self) -> dict[str, int]:
        assert self.gateway.worker.rates is not None
        return dict(self.gateway.worker.rates.limiter.outcomes)

    def test_same_again(self) -> None:
        """Each repetition is answered and written down, with an id of its own; and counted as a refusal."""
        for _ in range(6):
            self.ask()
        answers = self.client.answers()
        self.assertEqual([answer.status for answer in answers], [200] + [429] * 5)
        ids = [answer.values(b"x-request-id")[0] for answer in answers]
        self.assertEqual(len(set(ids)), 6)
        self.assertEqual([request_id for _, request_id, _ in self.recorder.ended], ids)
        for answer, request_id in zip(answers[1:], ids[1:], strict=True):
            self.assertIn(b'"request_id": "%b"' % request_id, answer.body)
            self.assertEqual(answer.values(b"retry-after"), [b"5"])
        self.assertEqual(self.outcomes, {"local": 2, "remembered": 4})
        self.assertEqual(len(self.gateway.service.requests), 1)

    def test_words_stay_true(self) -> None:
        """What is repeated never says a wrong time, and ends when the client may come again."""
        self.ask()
        for step in range(20):
            self.ask()
            left = 5 - step * 0.25
            answer = self.client.answers()[-1]
            retry = int(answer.values(b"retry-after")[0])
            self.assertTrue(left <= retry < left + 1, (left, retry))
            self.assertEqual(answer.values(b"ratelimit"), [b'"all";r=0;t=%d' % retry])
            self.gateway.clock.advance(0.25)
        self.ask()
        self.assertEqual(self.statuses()[-1], 200)

    def test_other_requests(self) -> None:
        """Another request, if only by a byte, is looked at like any other."""
        for data in (GET, GET, GET, request(b"/health"), request(b"/b", b"User-Agent: test"), GET):
            self.ask(data)
        self.assertEqual(self.statuses(), [200, 429, 429, 200, 429, 429])

    def test_pieces(self) -> None:
        """In whatever pieces they come, and however many at once, each request gets its answer."""
        for split in SPLITS.values():
            self.start()
            for _ in range(3):
                for piece in split(GET):
                    self.client.send(piece)
                    self.gateway.service.run()
            self.ask(GET * 3)
            self.ask(GET + GET[:10])
            self.ask(GET[10:])
            self.assertEqual(self.statuses(), [200] + [429] * 7)

    def test_own_ids(self) -> None:
        """A client that names its requests gets the name back that it gave."""
        named = [request(b"/a", b"X-Request-Id: n-%d" % number) for number in (1, 1, 1, 2, 2)]
        for data in named:
            self.ask(data)
        ids = [answer.values(b"x-request-id")[0] for answer in self.client.answers()]
        self.assertEqual(ids, [b"n-1", b"n-1", b"n-1", b"n-2", b"n-2"])

    def test_bounds_of_the_connection(self) -> None:
        """Repetitions count as requests: after as many as a connection may bring it is closed in an orderly way."""
        self.start(requests_per_connection=5)
        for _ in range(5):
            self.ask()
        answers = self.client.answers()
        self.assertEqual([answer.values(b"connection") for answer in answers], [[]] * 4 + [[b"close"]])
        self.assertTrue(self.client.closed)

    def test_drain(self) -> None:
        """A worker that drains closes the connection with the next answer, a repeated one too."""
        for _ in range(3):
            self.ask()
        self.gateway.worker.site.drain(10.0)
        self.ask()
        self.assertEqual(self.client.answers()[-1].values(b"connection"), [b"close"])

    def test_idle(self) -> None:
        """A connection that only repeats itself is idle after its last answer, and closed in time."""
        for _ in range(3):
            self.ask()
        self.gateway.pass_time(59, 1)
        self.assertFalse(self.client.closed)
        self.ask()
        self.gateway.pass_time(59, 1)
        self.assertFalse(self.client.closed)
        self.gateway.pass_time(3, 1)
        self.assertTrue(self.client.closed)

    def test_bodies(self) -> None:
        """A request with a body is refused anew each time, and its connection closed as ever."""
        post = request(b"/a", method=b"POST", body=b"body")
        self.ask()
        for _ in range(3):
            self.client = self.gateway.client()
            self.ask(post)
            self.assertEqual(self.statuses(), [429])
        self.assertEqual(len(self.gateway.service.requests), 1)
