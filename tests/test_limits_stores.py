"""How Redis is asked, and what a worker does when it gets no answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.limits.gcra import Policy
from tracseq_gateway.limits.limiter import MOST_REFUSED, Charge, Limiter
from tracseq_gateway.limits.local_store import LocalStore
from tracseq_gateway.limits.redis_store import MOST_IN_CALL, SCRIPT, SCRIPT_SHA, SUSPENDED_SECONDS, RedisStore
from tracseq_gateway.redis.errors import RedisError, RedisUnavailable

POLICY = Policy("p", 60, 2)


class FakeLink:
    """Keeps the calls; the test answers them."""

    def __init__(self) -> None:
        self.ready = True
        self.calls: list[tuple[Any, ...]] = []
        self.answers: list[Deferred[Any]] = []
        self.distrusted = 0

    def distrust(self, reason: str) -> None:
        self.distrusted += 1

    def call(self, *arguments: bytes | int | str) -> Deferred[Any]:
        self.calls.append(arguments)
        self.answers.append(Deferred())
        return self.answers[-1]


class Question:
    """A question about one key, and what was said."""

    def __init__(self, key: bytes = b"key", units: int = 1) -> None:
        self.keys, self.policies, self.units = (key,), (POLICY,), (units,)
        self.said: list[object] = []

    def decided(self, wait: float, ahead: Sequence[float]) -> None:
        self.said.append((wait, list(ahead)))

    def undecided(self) -> None:
        self.said.append("undecided")


class RedisStoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.link = FakeLink()
        self.store = RedisStore(self.link, self.clock)

    def ask(self, count: int = 1) -> list[Question]:
        questions = [Question(b"%d" % number) for number in range(count)]
        for question in questions:
            self.store.ask(question)
        self.clock.advance(0)
        return questions

    def test_one_call_a_turn(self) -> None:
        """All that is asked in one turn of the reactor goes in one call, and each gets its own part of the answer."""
        questions = self.ask(3)
        ((command, sha, count, *words),) = self.link.calls
        self.assertEqual((command, sha, count, words[:3]), (b"EVALSHA", SCRIPT_SHA, 3, [b"0", b"1", b"2"]))
        self.assertEqual(words[3:], [b"1", *POLICY.arguments, b"1"] * 3)
        self.link.answers[0].callback([0, 10, 500, 20, 0, 30])
        self.assertEqual([question.said for question in questions], [[(0, [10])], [(500, [20])], [(0, [30])]])

    def test_nothing_is_sent_before_the_turn_ends(self) -> None:
        """Nothing is sent while more may be asked in the same turn."""
        self.store.ask(Question())
        self.assertEqual(self.link.calls, [])

    def test_calls_are_bounded(self) -> None:
        """So many questions that Redis would be busy for long go in several calls."""
        self.ask(MOST_IN_CALL + 1)
        self.assertEqual([call[2] for call in self.link.calls], [MOST_IN_CALL, 1])

    def test_unknown_script(self) -> None:
        """A Redis that does not know the script gets it, once; the questions are asked again and not lost."""
        (question,) = self.ask()
        self.link.answers[0].errback(RedisError("NOSCRIPT No matching script."))
        self.assertEqual([call[:2] for call in self.link.calls], [(b"EVALSHA", SCRIPT_SHA), (b"EVAL", SCRIPT)])
        self.link.answers[1].callback([0, 10])
        self.assertEqual((question.said, self.store.usable), ([(0, [10])], True))

    def test_unknown_script_twice(self) -> None:
        """A Redis that says so of the script itself is not asked a third time."""
        (question,) = self.ask()
        for answer in range(2):
            self.link.answers[answer].errback(RedisError("NOSCRIPT No matching script."))
        self.assertEqual((len(self.link.calls), question.said), (2, ["undecided"]))

    def test_error_replies(self) -> None:
        """An error reply leaves the questions undecided and Redis alone for a moment; each is counted."""
        for code in ("LOADING", "READONLY", "OOM", "NOAUTH", "BUSY", "WRONGTYPE", "ERR"):
            questions = self.ask(2)
            self.link.answers[-1].errback(RedisError(f"{code} some words"))
            self.assertEqual([question.said for question in questions], [["undecided"]] * 2, code)
            self.assertFalse(self.store.usable)
            self.clock.advance(SUSPENDED_SECONDS)
            self.assertTrue(self.store.usable)

    def test_replies_of_another_form(self) -> None:
        """What is not as many integers as were asked for decides nothing, and its connection is not believed again."""
        for reply in (
            1,
            b"OK",
            None,
            [],
            [0],
            [0, 1, 0],
            [0, 1, 0, 1, 0],
            [0, 1, 0, b"1"],
            [0, 1, 0, None],
            [[0, 1, 0, 1]],
        ):
            questions = self.ask(2)
            self.link.answers[-1].callback(reply)
            self.assertEqual([question.said for question in questions], [["undecided"]] * 2, reply)
        self.assertEqual(self.link.distrusted, 10)

    def test_lost_connection(self) -> None:
        """When the connection is lost or a call takes too long, the questions are undecided."""
        questions = self.ask(2)
        self.link.ready = False
        self.link.answers[0].errback(RedisUnavailable("no answer within 0.05 s"))
        self.assertEqual(([question.said for question in questions], self.store.usable), ([["undecided"]] * 2, False))

    def test_one_that_fails_spares_the_others(self) -> None:
        """A question that cannot take its answer does not keep the others from theirs; it is logged."""

        class Broken(Question):
            def decided(self, wait: float, ahead: Sequence[float]) -> None:
                raise ValueError("a fault of ours")

        broken, good = Broken(b"a"), Question(b"b")
        self.store.ask(broken)
        self.store.ask(good)
        self.clock.advance(0)
        self.link.answers[0].callback([0, 1, 0, 2])
        self.assertEqual(good.said, [(0, [2])])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class LimiterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.link = FakeLink()
        self.store = RedisStore(self.link, self.clock)
        self.limiter = Limiter(self.store, LocalStore(self.clock.seconds), self.clock.seconds)

    def test_undecided_at_once(self) -> None:
        """While Redis is away nothing waits for it."""
        self.link.ready = False
        question = Question()
        self.limiter.ask(question)
        self.assertEqual((question.said, self.limiter.shared), (["undecided"], False))

    def test_refused_until(self) -> None:
        """A key that was refused is refused without asking until one request would be admitted, and not longer."""
        question = Question()
        self.limiter.remember(question, [2_000_000])
        self.assertEqual(self.limiter.refused([b"other", b"key"]), [(1, 1_000_000.0)])
        self.clock.advance(0.75)
        self.assertEqual(self.limiter.refused([b"key"]), [(0, 250_000.0)])
        self.clock.advance(0.25)
        self.assertEqual(self.limiter.refused([b"key"]), [])

    def test_only_what_refuses_is_remembered(self) -> None:
        """Of several limits only the one that refused is remembered."""
        question = Question()
        question.keys, question.policies, question.units = (b"a", b"b"), (POLICY, POLICY), (1, 1)  # type: ignore[assignment]
        self.limiter.remember(question, [500_000, 2_000_000])
        self.assertEqual(self.limiter.refused([b"a", b"b"]), [(1, 1_000_000.0)])

    def test_what_is_remembered_is_bounded(self) -> None:
        """However many clients are refused, no more than so many are remembered."""
        for number in range(MOST_REFUSED + 1):
            self.limiter.remember(Question(b"%d" % number), [2_000_000])
        self.assertEqual(len(self.limiter.refused([b"%d" % number for number in range(MOST_REFUSED + 1)])), 1)

    def test_charge_without_redis(self) -> None:
        """What is charged afterwards is charged to the worker's own limits while Redis is away."""
        self.link.ready = False
        self.limiter.ask(Charge(self.limiter, (b"key",), (POLICY,), (2,)))
        question = Question()
        self.limiter.local.ask(question)
        self.assertEqual(question.said, [(1_000_000.0, [2_000_000.0])])
