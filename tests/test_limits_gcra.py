"""The arithmetic of the limits: both stores against a plain model, and the model against the promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.redis_kit import RealRedis
from tests.redis_talk import Talk
from tracseq_gateway.limits.gcra import Policy
from tracseq_gateway.limits.local_store import MOST_KEYS, LocalStore
from tracseq_gateway.limits.redis_store import SCRIPT

EDGE = Fraction(2, 1_000_000)
"""Seconds: who is that much too early may be admitted."""
LIFE = b"math.ceil(ahead[i] / 1000)"
TIME = b"redis.call('TIME')"


class Bucket:
    """The plain model: a bucket of ``burst`` tokens that fills at the rate; what is taken beyond its bottom is owed."""

    def __init__(self, per_minute: int, burst: int) -> None:
        self.rate = Fraction(per_minute, 60)
        self.burst = burst
        self.tokens = Fraction(burst)
        self.at = Fraction(0)

    def take(self, now: Fraction, units: int) -> bool:
        self.tokens = min(Fraction(self.burst), self.tokens + (now - self.at) * self.rate)
        self.at = now
        if units > 0 and self.tokens < min(units, self.burst):
            return False
        self.tokens = min(Fraction(self.burst), self.tokens - units)
        return True


class Asked:
    """A question, and what came of it."""

    def __init__(self, keys: Sequence[bytes], policies: Sequence[Policy], units: Sequence[int] = (1,)) -> None:
        self.keys, self.policies, self.units = keys, policies, units
        self.wait: float | None = None
        self.ahead: Sequence[float] = ()

    def decided(self, wait: float, ahead: Sequence[float]) -> None:
        self.wait, self.ahead = wait, list(ahead)

    def undecided(self) -> None:
        raise AssertionError("a local store always decides")


RATES = st.integers(1, 6000)
BURSTS = st.integers(1, 50)
# Milliseconds from one request to the next, and what it asks for.
REQUESTS = st.lists(st.tuples(st.integers(0, 3000), st.sampled_from([1, 1, 1, 2, 7, 60, -1])), max_size=60)


class LocalArithmeticTests(SynchronousTestCase):
    @given(RATES, BURSTS, REQUESTS)
    @settings(max_examples=200, deadline=None)
    def test_model(self, rate: int, burst: int, requests: list[tuple[int, int]]) -> None:
        """A worker's own store admits what a bucket of tokens with the same rate and burst does, request by request."""
        now = [1000.0]
        store = LocalStore(lambda: now[0])
        bucket = Bucket(rate, burst)
        policy = Policy("p", rate, burst)
        clock = Fraction(0)
        for pause, units in requests:
            clock += Fraction(pause, 1000)
            now[0] = 1000.0 + float(clock)
            asked = Asked([b"key"], [policy], [units])
            before = bucket.tokens + (clock - bucket.at) * bucket.rate
            if units > 0 and 0 < min(units, burst) - min(before, Fraction(burst)) < bucket.rate * EDGE:
                continue  # a moment that is rounded away
            store.ask(asked)
            self.assertEqual(bucket.take(clock, units), asked.wait == 0, (clock, units))

    @given(RATES, BURSTS, st.lists(st.integers(0, 500), min_size=1, max_size=200))
    @settings(max_examples=100, deadline=None)
    def test_any_interval(self, rate: int, burst: int, pauses: list[int]) -> None:
        """In every interval, no more is admitted than the burst and what the rate gives in that time."""
        now = [0.0]
        store = LocalStore(lambda: now[0])
        policy = Policy("p", rate, burst)
        admitted = []
        for pause in pauses:
            now[0] += pause / 1000
            asked = Asked([b"key"], [policy])
            store.ask(asked)
            if asked.wait == 0:
                admitted.append(now[0])
        for first, begin in enumerate(admitted):
            for count, end in enumerate(admitted[first:], 1):
                self.assertLessEqual(count, burst + (end - begin) * rate / 60 + 1e-6)

    def test_wait_is_enough(self) -> None:
        """Who waits as long as he is told is admitted; who comes a moment earlier is not."""
        now = [0.0]
        store = LocalStore(lambda: now[0])
        policy = Policy("p", 60, 2)
        for _ in range(2):
            store.ask(Asked([b"key"], [policy]))
        refused = Asked([b"key"], [policy])
        store.ask(refused)
        assert refused.wait is not None
        self.assertAlmostEqual(refused.wait, 1e6)
        now[0] = 0.999
        early = Asked([b"key"], [policy])
        store.ask(early)
        now[0] = refused.wait / 1e6
        late = Asked([b"key"], [policy])
        store.ask(late)
        self.assertEqual((early.wait is not None and early.wait > 0, late.wait), (True, 0))

    def test_all_or_nothing(self) -> None:
        """A request that one of its limits refuses is charged to none of them."""
        store = LocalStore(lambda: 0.0)
        narrow, wide = Policy("narrow", 60, 1), Policy("wide", 60, 5)
        answers = []
        for _ in range(4):
            asked = Asked([b"n", b"w"], [narrow, wide], [1, 1])
            store.ask(asked)
            answers.append((asked.wait == 0, narrow.remaining(asked.ahead[0]), wide.remaining(asked.ahead[1])))
        self.assertEqual(answers, [(True, 0, 4)] + [(False, 0, 4)] * 3)

    def test_larger_than_the_burst(self) -> None:
        """What is larger than the burst needs all of it, and is paid off before the next is admitted."""
        now = [0.0]
        store = LocalStore(lambda: now[0])
        policy = Policy("bytes", 60, 10, "bytes")
        first, second, third = (Asked([b"key"], [policy], [units]) for units in (30, 1, 1))
        store.ask(first)
        store.ask(second)
        now[0] = 21.0
        store.ask(third)
        self.assertEqual((first.wait, second.wait, third.wait), (0, 21e6, 0))

    def test_share(self) -> None:
        """One of four workers gives out a quarter of the rate and of the burst."""
        store = LocalStore(lambda: 0.0)
        store.share_among(4)
        policy = Policy("p", 400, 100)
        admitted = 0
        for _ in range(200):
            asked = Asked([b"key"], [policy])
            store.ask(asked)
            admitted += asked.wait == 0
        self.assertEqual(admitted, 25)

    def test_bounded(self) -> None:
        """However many clients come, no more than so many are remembered, those that came last."""
        store = LocalStore(lambda: 0.0)
        policy = Policy("p", 60, 1)
        for number in range(MOST_KEYS + 10):
            store.ask(Asked([b"%d" % number], [policy]))
        self.assertEqual(len(store), MOST_KEYS)
        last = Asked([b"%d" % (MOST_KEYS + 9)], [policy])
        store.ask(last)
        self.assertNotEqual(last.wait, 0)


class ScriptTests(SynchronousTestCase):
    """The script in a real server, which is told what time it is."""

    def setUp(self) -> None:
        server = RealRedis()
        self.addCleanup(server.stop)
        server.start()
        self.redis = Talk.to(server)
        self.addCleanup(self.redis.close)

    lasting = False
    """Whether keys outlive the test: their life is in real time, which the test's is not."""

    def run_at(self, microseconds: int, questions: list[Asked]) -> None:
        """Run the script once for all questions, at a time since 2026."""
        seconds = 1_767_225_600 + microseconds // 1_000_000
        script = SCRIPT.replace(LIFE, b"60000") if self.lasting else SCRIPT
        script = script.replace(TIME, b"{'%d', '%d'}" % (seconds, microseconds % 1_000_000))
        self.assertNotEqual(script, SCRIPT)
        keys: list[bytes] = []
        arguments: list[bytes] = []
        for question in questions:
            keys += question.keys
            arguments.append(b"%d" % len(question.keys))
            for policy, units in zip(question.policies, question.units, strict=True):
                arguments += [*policy.arguments, b"%d" % units]
        answer = self.redis.command(b"EVAL", script, len(keys), *keys, *arguments)
        for question in questions:
            count = len(question.keys)
            question.decided(answer[0], answer[1 : 1 + count])
            answer = answer[1 + count :]
        self.assertEqual(answer, [])

    @given(RATES, BURSTS, REQUESTS)
    @settings(max_examples=60, deadline=None)
    def test_model(self, rate: int, burst: int, requests: list[tuple[int, int]]) -> None:
        """The script admits what a bucket of tokens with the same rate and burst does, request by request."""
        self.redis.command(b"FLUSHALL")
        bucket = Bucket(rate, burst)
        # The model's bucket never holds more than its burst; what is owed beyond the largest request is no debt.
        policy = Policy("p", rate, burst, largest=60 * len(requests))
        clock = Fraction(0)
        for pause, units in requests:
            clock += Fraction(pause, 1000)
            asked = Asked([b"key"], [policy], [units])
            before = bucket.tokens + (clock - bucket.at) * bucket.rate
            if units > 0 and 0 < min(units, burst) - min(before, Fraction(burst)) < bucket.rate * EDGE:
                continue
            self.run_at(int(clock * 1_000_000), [asked])
            self.assertEqual(bucket.take(clock, units), asked.wait == 0, (clock, units))

    def test_one_call_for_many(self) -> None:
        """Questions of one call are decided in their order, each charged before the next is looked at."""
        self.redis.command(b"FLUSHALL")
        policy, other = Policy("p", 60, 2), Policy("q", 60, 1)
        questions = [Asked([b"a"], [policy]) for _ in range(3)]
        questions.insert(1, Asked([b"b", b"a"], [other, policy], [1, 1]))
        self.run_at(0, questions)
        self.assertEqual([asked.wait == 0 for asked in questions], [True, True, False, False])
        self.assertEqual([len(asked.ahead) for asked in questions], [1, 2, 1, 1])

    def test_every_key_has_an_end(self) -> None:
        """Every key that is written ends when nothing is owed any more."""
        self.redis.command(b"FLUSHALL")
        policy = Policy("p", 60, 100)
        for number in range(10):
            self.run_at(0, [Asked([b"%d" % number], [policy], [number + 1])])
            left = self.redis.command(b"PTTL", b"%d" % number)
            self.assertTrue(0 < left <= 1000 * (number + 1), left)

    def test_asking_costs_nothing(self) -> None:
        """To ask for nothing writes nothing, and tells how much is left."""
        self.redis.command(b"FLUSHALL")
        policy = Policy("p", 60, 3)
        asked = Asked([b"key"], [policy], [0])
        self.run_at(0, [asked])
        self.assertEqual((asked.wait, asked.ahead, self.redis.command(b"EXISTS", b"key")), (0, [0], 0))

    def test_given_back(self) -> None:
        """What is given back can be taken again; a bucket that is full again leaves no key."""
        self.redis.command(b"FLUSHALL")
        policy = Policy("p", 60, 2)
        for units, admitted in ((1, True), (1, True), (1, False), (-1, True), (1, True), (1, False), (-2, True)):
            asked = Asked([b"key"], [policy], [units])
            self.run_at(0, [asked])
            self.assertEqual(asked.wait == 0, admitted)
        self.assertEqual(self.redis.command(b"EXISTS", b"key"), 0)

    def test_clock_set_back(self) -> None:
        """When the server's clock is set back by an hour, nobody waits longer than for one full burst."""
        self.redis.command(b"FLUSHALL")
        policy = Policy("p", 60, 2)
        for _ in range(2):
            self.run_at(3_600_000_000, [Asked([b"key"], [policy])])
        asked = Asked([b"key"], [policy])
        self.run_at(0, [asked])
        self.assertEqual(asked.wait, 1e6)

    def test_whole_burst_at_once(self) -> None:
        """Whatever the rate, a whole burst is admitted in one call, and what is left is told to the last one."""
        for rate in (7, 13, 17, 97, 333, 1000, 999_983):
            self.redis.command(b"FLUSHALL")
            policy = Policy("p", rate, 100)
            questions = [Asked([b"key"], [policy]) for _ in range(101)]
            self.run_at(0, questions)
            self.assertEqual([asked.wait == 0 for asked in questions], [True] * 100 + [False], rate)
            left = [policy.remaining(asked.ahead[0]) for asked in questions]
            self.assertEqual(left, [*range(99, -1, -1), 0], rate)

    def test_garbage_in_a_key(self) -> None:
        """A key that holds no number counts as an empty one; one of another type spoils its own question alone."""
        self.redis.command(b"FLUSHALL")
        policy = Policy("p", 60, 2)
        self.redis.command(b"SET", b"key", b"garbage")
        asked = Asked([b"key"], [policy])
        self.run_at(0, [asked])
        self.assertEqual(asked.wait, 0)
        self.redis.command(b"HSET", b"hash", b"a", b"b")
        spoiled, sound = Asked([b"hash", b"key"], [policy, policy], [1, 1]), Asked([b"key"], [policy])
        self.run_at(0, [spoiled, sound])
        self.assertEqual((spoiled.wait, sound.wait), (-1, 0))

    def test_fast_rates(self) -> None:
        """A rate of 100,000 a second is kept to one in a thousand."""
        self.redis.command(b"FLUSHALL")
        policy = Policy("p", 6_000_000, 1000)
        admitted = 0
        self.lasting = True
        for step in range(20):
            questions = [Asked([b"key"], [policy]) for _ in range(200)]
            self.run_at(step * 1000, questions)
            admitted += sum(asked.wait == 0 for asked in questions)
        self.assertTrue(math.isclose(admitted, 1000 + 19 * 100, rel_tol=0.001), admitted)
