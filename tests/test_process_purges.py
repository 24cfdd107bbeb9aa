"""The ``purge`` of the control socket, and the command that asks for it."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.cli import main
from tracseq_gateway.config import Config, Service
from tracseq_gateway.config.cache import ServiceCache
from tracseq_gateway.process.control import NotPurged
from tracseq_gateway.process.purges import ANSWER_SECONDS, Purges, parsed
from tracseq_gateway.process.worker_process import WorkerProcess


class Worker:
    """A worker that answers when the test likes."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes, bytes, bool]] = []
        self.purged: Deferred[int] = Deferred()

    def purge(self, service: str, path: bytes, query: bytes, below: bool) -> Deferred[int]:
        self.asked.append((service, path, query, below))
        return self.purged


class PurgesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.workers = [Worker(), Worker()]
        kept = Service("samples", prefix="/samples", cache=ServiceCache(enabled=True))
        self.config = Config(services={"samples": kept, "rag": Service("rag", prefix="/rag")})

    def asked(self, **request: Any) -> Deferred[Any]:
        workers = cast("list[WorkerProcess]", self.workers)
        return cast("Deferred[Any]", Purges(self.clock, lambda: self.config, lambda: workers).answer(request, None))

    def test_counted(self) -> None:
        """All workers are asked, and what they dropped is added up; who is gone keeps nothing."""
        answer = self.asked(service="samples", path="/samples/1?x=2")
        self.assertNoResult(answer)
        self.workers[0].purged.callback(3)
        self.workers[1].purged.errback(Failure(ConnectionLost()))
        self.assertEqual({"purged": 3, "workers": 2}, self.successResultOf(answer))
        for worker in self.workers:
            self.assertEqual([("samples", b"/samples/1", b"?x=2", False)], worker.asked)

    def test_failed(self) -> None:
        """A worker that could not do it says why; one that says nothing is not waited for."""
        answer = self.asked()
        self.workers[0].purged.errback(Failure(NotPurged("Redis is away")))
        self.assertEqual({"error": "not all was dropped: Redis is away"}, self.successResultOf(answer))
        self.workers = [Worker()]
        answer = self.asked()
        self.clock.advance(ANSWER_SECONDS)
        self.assertIn("no answer within 15 s", self.successResultOf(answer)["error"])

    def test_refused(self) -> None:
        """What is none of its business is refused, and no worker hears of it."""
        for request, words in (
            ({"service": "rag"}, "no answers of 'rag' are kept; those of samples are"),
            ({"service": 1}, "are texts"),
            ({"path": "samples"}, "is no path"),
            ({"path": "/a/%00"}, "encoded NUL"),
            ({"path": "/ä"}, "is no path"),
        ):
            self.assertIn(words, self.successResultOf(self.asked(**request))["error"].replace('"', "'"))
        self.config = Config(services={"rag": Service("rag", prefix="/rag")})
        self.assertIn("no service has its answers kept", self.successResultOf(self.asked())["error"])
        self.assertEqual([[], []], [worker.asked for worker in self.workers])

    def test_paths(self) -> None:
        """A path is read as those of requests are; behind it there may be a query, or ``/*``."""
        for text, expected in {
            "": (b"", b"", False),
            "/a": (b"/a", b"", False),
            "/a//b/../c": (b"/a/c", b"", False),
            "/a/*": (b"/a/", b"", True),
            "/*": (b"/", b"", True),
            "/a/*?x": (b"/a/*", b"?x", False),
        }.items():
            self.assertEqual(expected, parsed(text), text)


class CommandTests(SynchronousTestCase):
    def test_usage(self) -> None:
        """Something must be named, or all; and not both."""
        for words in ((), ("/a", "--all"), ("--service", "rag", "--all")):
            with redirect_stderr(io.StringIO()) as complaint:
                refused = self.assertRaises(SystemExit, main, ["purge", *words])
            self.assertIn("a PATH, a --service or --all", complaint.getvalue())
            self.assertEqual(2, refused.code)
