"""A job that many ask for."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.process.one_at_a_time import OneAtATime


class OneAtATimeTests(SynchronousTestCase):
    """``OneAtATime``."""

    def setUp(self) -> None:
        self.runs: list[Deferred[str]] = []
        self.jobs = OneAtATime(self.job)

    async def job(self) -> str:
        self.runs.append(Deferred())
        return await self.runs[-1]

    def test_alone(self) -> None:
        """Each who asks while nothing runs has a run of his own."""
        for name in ("first", "second"):
            asked = self.jobs.ask()
            self.runs[-1].callback(name)
            self.assertEqual(name, self.successResultOf(asked))

    def test_collapsed(self) -> None:
        """All who ask during a run get the result of one further run, and it begins only after the first."""
        first, second, third = self.jobs.ask(), self.jobs.ask(), self.jobs.ask()
        self.assertEqual(1, len(self.runs))
        self.runs[0].callback("first")
        self.assertEqual("first", self.successResultOf(first))
        self.assertEqual(2, len(self.runs))
        self.assertNoResult(second)
        self.runs[1].callback("second")
        self.assertEqual(["second"] * 2, [self.successResultOf(asked) for asked in (second, third)])
        self.assertEqual(2, len(self.runs))

    def test_askedFromWithin(self) -> None:
        """Who asks again when he has his answer is served by a further run, too."""
        again: list[Deferred[str]] = []
        self.jobs.ask().addCallback(lambda _: again.append(self.jobs.ask()))
        self.runs[0].callback("first")
        self.runs[1].callback("second")
        self.assertEqual("second", self.successResultOf(again[0]))

    def test_failure(self) -> None:
        """A run that fails tells those who asked for it, and nobody else."""
        first, second = self.jobs.ask(), self.jobs.ask()
        self.runs[0].errback(ValueError("no"))
        self.failureResultOf(first, ValueError)
        self.runs[1].callback("yes")
        self.assertEqual("yes", self.successResultOf(second))
