"""Rates with many keys, costs and limits at once: never more than was promised, and waiting as told is enough."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.test_limits_gcra import EDGE, Asked, Bucket
from tracseq_gateway.limits.gcra import Policy
from tracseq_gateway.limits.local_store import LocalStore

POLICIES = st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 20)), min_size=1, max_size=3)
"""Rates a minute, and bursts."""
QUESTIONS = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 2), st.lists(st.integers(1, 25), min_size=3, max_size=3)),
    min_size=1,
    max_size=40,
)
"""Milliseconds since the one before, whose it is, and what it costs by each limit."""


class InterleavedTests(SynchronousTestCase):
    @given(POLICIES, QUESTIONS)
    @settings(max_examples=200, deadline=None)
    def test_all_or_nothing(self, limits: list[tuple[int, int]], questions: list[tuple[int, int, list[int]]]) -> None:
        """What several limits admit fits a bucket for each; what they refuse is charged to none, and told when."""
        now = [1000.0]
        store = LocalStore(lambda: now[0])
        policies = [Policy(f"p{number}", rate, burst) for number, (rate, burst) in enumerate(limits)]
        buckets = {(who, at): Bucket(*limit) for who in range(3) for at, limit in enumerate(limits)}
        clock = Fraction(0)
        for pause, who, costs in questions:
            clock += Fraction(pause, 1000)
            now[0] = 1000.0 + float(clock)
            mine = [buckets[who, at] for at in range(len(limits))]
            needs = [min(cost, bucket.burst) for cost, bucket in zip(costs, mine, strict=False)]
            # What each has at this moment: to take nothing lets a bucket fill.
            for bucket in mine:
                bucket.take(clock, 0)
            missing = [need - bucket.tokens for need, bucket in zip(needs, mine, strict=True)]
            if any(0 < lack < bucket.rate * EDGE for lack, bucket in zip(missing, mine, strict=True)):
                continue  # a moment that is rounded away
            asked = Asked([b"%d-%d" % (who, at) for at in range(len(limits))], policies, costs[: len(limits)])
            store.ask(asked)
            admitted = max(missing) <= 0
            self.assertEqual(asked.wait == 0, admitted, (clock, who, costs))
            if admitted:
                for bucket, cost in zip(mine, costs, strict=False):
                    self.assertTrue(bucket.take(clock, cost))
            else:
                # Told exactly when the last of its limits would let it pass.
                due = max(lack / bucket.rate for lack, bucket in zip(missing, mine, strict=True))
                self.assertAlmostEqual((asked.wait or 0) / 1e6, float(due), delta=3e-6)

    @given(POLICIES, QUESTIONS, st.lists(st.integers(1, 25), min_size=3, max_size=3))
    @settings(max_examples=150, deadline=None)
    def test_honest(
        self, limits: list[tuple[int, int]], questions: list[tuple[int, int, list[int]]], costs: list[int]
    ) -> None:
        """Who waits as long as he is told is admitted, whatever others do meanwhile; who comes sooner is refused."""
        now = [0.0]
        store = LocalStore(lambda: now[0])
        policies = [Policy(f"p{number}", rate, burst) for number, (rate, burst) in enumerate(limits)]

        def ask(who: int, costs: list[int]) -> float:
            asked = Asked([b"%d-%d" % (who, at) for at in range(len(limits))], policies, costs[: len(limits)])
            store.ask(asked)
            return asked.wait or 0.0

        for pause, _, each in questions:
            now[0] += pause / 1000
            ask(0, each)
        wait = ask(0, costs) / 1e6
        if wait > 1e-3:
            begin = now[0]
            now[0] = begin + wait - 1e-4
            self.assertGreater(ask(0, costs), 0)
            for _, who, each in questions:
                ask(1 + who, each)
            now[0] = begin + wait
            self.assertEqual(ask(0, costs), 0)
