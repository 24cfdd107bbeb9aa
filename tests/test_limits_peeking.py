"""A limiter that is only looked at: it says what the real one would, takes nothing, and keeps what it learns apart."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.test_limits_stores import POLICY, FakeLink, Question
from tracseq_gateway.limits.limiter import Limiter
from tracseq_gateway.limits.local_store import LocalStore
from tracseq_gateway.limits.peeking import PeekingLimiter, Untouched
from tracseq_gateway.limits.redis_store import RedisStore


class PeekingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.link = FakeLink()
        self.calls: list[str] = []
        self.store = RedisStore(self.link, self.clock, lambda outcome, seconds: self.calls.append(outcome))
        self.limiter = Limiter(self.store, LocalStore(self.clock.seconds), self.clock.seconds)

    def peek(self) -> PeekingLimiter:
        return PeekingLimiter(self.limiter, self.store, RedisStore(self.link, self.clock))

    def test_shared(self) -> None:
        """Redis is asked for nothing by the usual script, and the answer is worked out here; no call is counted."""
        for before, said in ((0, (0.0, [1_000_000.0])), (2_000_000, (1_000_000.0, [2_000_000]))):
            peeking, question = self.peek(), Question()
            peeking.ask(question)
            self.clock.advance(0)
            self.assertEqual(b"0", self.link.calls[-1][-1])  # units
            self.link.answers[-1].callback([0, before])
            self.assertEqual([said], question.said)
            [peeked] = peeking.peeked
            self.assertEqual((b"key", POLICY, before), (peeked.key, peeked.policy, peeked.before))
            self.assertEqual((said[0], False), (peeked.wait, peeked.alone))
        self.assertEqual([], self.calls)

    def test_alone(self) -> None:
        """While Redis is away, or a key is not ours, the worker's share counts, and nothing is taken of it."""
        self.limiter.local.share_among(2)
        self.limiter.local.ask(Question())
        for away in (True, False):
            self.link.ready = not away
            peeking, question = self.peek(), Question()
            peeking.ask(question)
            if not away:
                self.clock.advance(0)
                self.link.answers[-1].callback([-1, 0])
            self.assertEqual(["undecided"], question.said)
            for _ in range(3):
                peeking.local.ask(question)
            self.assertEqual({True}, {one.alone for one in peeking.peeked})
            self.assertEqual(POLICY.per_minute / 2, peeking.peeked[0].policy.per_minute)
            self.assertEqual(1, len({one.before for one in peeking.peeked}))
        self.assertEqual(1, len(self.limiter.local))

    def test_remembered(self) -> None:
        """A refusal that is remembered is known, for how long too; what is learnt here is not remembered there."""
        self.limiter.remember(Question(), [2_000_000])
        peeking = self.peek()
        self.assertEqual([(0, 1_000_000.0)], peeking.refused([b"key", b"other"]))
        self.assertEqual([(b"key", 1.0)], peeking.remembered)
        peeking.remember(Question(b"other"), [2_000_000])
        self.assertEqual([], self.limiter.refused([b"other"]))

    def test_untouched(self) -> None:
        """Without a gateway that runs, nobody has called yet."""
        question = Question()
        PeekingLimiter(self.limiter, Untouched(), Untouched()).ask(question)
        self.assertEqual([(0.0, [1_000_000.0])], question.said)
