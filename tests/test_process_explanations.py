"""The ``explain`` of the control socket: which worker is asked, and what becomes of what it says."""

from __future__ import annotations

import json
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.process.explanations import ANSWER_SECONDS, LONGEST_QUESTION, Explanations
from tracseq_gateway.process.worker_process import WorkerProcess


class Worker:
    """A worker that answers when the test likes."""

    index, pid = 1, 4711

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.report: Deferred[bytes] = Deferred()

    def explain(self, question: bytes) -> Deferred[bytes]:
        self.asked.append(question)
        return self.report


class ExplanationsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.worker = Worker()
        self.wanted: list[int | None] = []
        self.explanations = Explanations(self.clock, self.serving)

    def serving(self, index: int | None) -> WorkerProcess | None:
        self.wanted.append(index)
        return cast(WorkerProcess, self.worker) if index in (None, 1) else None

    def asked(self, **request: Any) -> Deferred[Any]:
        return cast("Deferred[Any]", self.explanations.answer({"question": {"method": "GET"}, **request}, None))

    def test_answer(self) -> None:
        """The question goes to the worker, and its report comes back with who it is."""
        for request in ({}, {"worker": None}, {"worker": 1}):
            self.worker = Worker()
            answer = self.asked(**request)
            self.assertNoResult(answer)
            self.worker.report.callback(b'{"outcome": "passed"}')
            self.assertEqual({"outcome": "passed", "worker": 1, "pid": 4711}, self.successResultOf(answer))
            self.assertEqual([{"method": "GET"}], [json.loads(question) for question in self.worker.asked])
        self.assertEqual([None, None, 1], self.wanted)

    def test_nobody(self) -> None:
        """Where no such worker serves, that is the answer; it is nobody's fault."""
        for worker in (0, -1, "1", True, 1.5):
            self.assertEqual({"error"}, self.successResultOf(self.asked(worker=worker)).keys())

    def test_too_long(self) -> None:
        """What does not fit into a message is not sent."""
        answer = self.successResultOf(self.asked(question="\u00e9" * (LONGEST_QUESTION // 6)))
        self.assertEqual(({"error"}, []), (answer.keys(), self.worker.asked))

    def test_silence(self) -> None:
        """A worker that gives no answer, or is gone, is waited for no longer."""
        answer = self.asked()
        self.clock.advance(ANSWER_SECONDS)
        self.assertIn("no answer within 15 s", self.successResultOf(answer)["error"])
        self.worker = Worker()
        answer = self.asked()
        self.worker.report.errback(Failure(ConnectionLost()))
        self.assertIn("is gone", self.successResultOf(answer)["error"])
        self.assertEqual([], self.clock.getDelayedCalls())
