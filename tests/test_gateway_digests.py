"""What a worker's gateway tells the supervisor once a second."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import EPOCH, OK, MemoryClient, MemoryGateway
from tracseq_gateway.config import Breaker, RateLimit, RateLimiting, Retries
from tracseq_gateway.overview.digest import Digest, InstanceDigest
from tracseq_gateway.overview.notable import LONGEST_PATH, MOST_CLIENTS, MOST_ENDED, MOST_TOLD

URL = "http://127.0.0.1:9001"


def get(path: str = "/x") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


class DigestTests(SynchronousTestCase):
    """A gateway in memory with one service; seconds pass by its fake clock."""

    def make(self, **settings: Any) -> None:
        self.gateway = MemoryGateway(**settings)
        self.told: list[Digest] = []
        self.gateway.worker.digested = self.told.append
        self.gateway.worker.records.start()

    def ask(self, data: bytes | None = None, peer: str = "192.0.2.7") -> MemoryClient:
        client = self.gateway.client(peer)
        client.send(data or get())
        self.gateway.service.run()
        return client

    def second(self, seconds: float = 1.0) -> Digest:
        """Let a second pass; what was told at its end."""
        self.gateway.clock.advance(seconds)
        return self.told[-1]

    def test_counts(self) -> None:
        """Requests, bytes and durations of the second that has passed, and nothing of the one before."""
        self.make()
        self.ask()
        self.ask(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd")
        digest = self.second()
        (service,) = digest.services
        self.assertEqual(("all", 2, 0, 0, 1.0), (
            service.name, service.requests, service.errors, service.refused, digest.seconds,
        ))  # fmt: skip
        self.assertEqual(2, sum(count for _, count in service.durations))
        self.assertEqual([InstanceDigest("all", URL, 2, 0, 0)], digest.instances)
        self.assertEqual((4, 2 * len(OK.partition(b"\r\n\r\n")[2])), (digest.received, digest.sent))
        self.assertEqual(([], []), (self.second().services, self.second().instances))

    def test_present(self) -> None:
        """How the worker is: requests under way, connections, memory, limits."""
        self.make(answer=None)
        self.ask()
        digest = self.second()
        self.assertEqual((1, 1, "off"), (digest.in_flight, digest.connections, digest.limits))
        self.assertEqual([InstanceDigest("all", URL, 1, 0, 1)], digest.instances)
        self.assertEqual([InstanceDigest("all", URL, 0, 0, 1)], self.second().instances)
        self.assertGreater(digest.memory, 1 << 20)

    def test_oftener(self) -> None:
        """Counts that are read in between, for a page of metrics, come with the next digest, each once."""
        self.make()
        for _ in range(3):
            self.ask()
            self.gateway.worker.records.hand_over()
        self.assertEqual([], self.told)
        (service,) = self.second().services
        self.assertEqual((3, 3), (service.requests, self.told[0].instances[0].requests))

    def test_end(self) -> None:
        """A worker that ends tells what it had not told yet."""
        self.make()
        self.ask().leave()
        self.gateway.clock.advance(0.5)
        self.successResultOf(self.gateway.worker.drain(0.0))
        (last,) = self.told
        self.assertEqual((0.5, 1), (last.seconds, last.services[0].requests))

    def test_failed(self) -> None:
        """A request that failed is described, without its query; the kind of the error is counted."""
        self.make(retries=Retries(attempts=0), breaker=Breaker(failures=1))
        self.gateway.service.refuse = Failure(ConnectionRefusedError())
        self.ask(get("/x?token=secret"))
        digest = self.second()
        (failed,) = digest.failed
        self.assertEqual(("GET", "/x", "all", URL, 502, "connect-refused"), (
            failed.method, failed.path, failed.service, failed.instance, failed.status, failed.error,
        ))  # fmt: skip
        self.assertAlmostEqual(EPOCH + 1000.0, failed.time, delta=1.0)
        self.assertEqual([("all", "connect-refused", 1)], digest.errors)
        self.assertEqual(([("all", "open")], 1), (digest.circuits, digest.instances[0].failed))
        self.assertNotIn(b"secret", digest.pack())
        self.assertEqual((), self.second().failed)

    def test_answeredWith(self) -> None:
        """A 5xx of the service itself is counted by its status, for it has no kind."""
        self.make(answer=OK.replace(b"200 OK", b"500 Oops"))
        self.ask()
        digest = self.second()
        self.assertEqual(([("all", "status-500", 1)], 1), (digest.errors, digest.services[0].errors))
        (failed,) = digest.failed
        self.assertEqual((500, None, None), (failed.status, failed.error, failed.reason))

    def test_slow(self) -> None:
        """A request that takes a second or more is described; a path without an end is cut off."""
        self.make(answer=None)
        self.ask(get("/" + "x" * 300))
        self.gateway.clock.advance(1.5)
        self.gateway.service.connections[0].answer(OK)
        (slow,) = self.second().slow
        self.assertEqual((200, 1500.0, LONGEST_PATH), (slow.status, slow.duration_ms, len(slow.path)))

    def test_refused(self) -> None:
        """Clients that are over their limit are named as the limiter does, those that were refused most often."""
        self.make(rate_limit=RateLimit(1, 1), tables={"rate_limit": RateLimiting(enabled=True)})
        for number in range(MOST_TOLD + 5):
            for _ in range(2 if number else 5):
                self.ask(peer=f"192.0.2.{number}")
        digest = self.second()
        self.assertEqual(("all", "a:192.0.2.0", 4), digest.refused[0])
        self.assertEqual((MOST_TOLD, "local"), (len(digest.refused), digest.limits))
        self.assertEqual(MOST_TOLD + 5 + 3, digest.services[0].refused)

    def test_bounded(self) -> None:
        """However much happens within a second, a digest has only so much of it."""
        self.make(answer=OK.replace(b"200 OK", b"500 Oops"))
        for _ in range(3 * MOST_ENDED):
            self.ask()
        self.assertEqual(MOST_ENDED, len(self.second().failed))
        self.make(rate_limit=RateLimit(1, 1), tables={"rate_limit": RateLimiting(enabled=True)})
        for number in range(MOST_CLIENTS + 50):
            for _ in range(2):
                self.ask(peer=f"10.0.{number // 250}.{number % 250}")
        self.assertEqual(MOST_CLIENTS + 50, self.second().services[0].refused)
