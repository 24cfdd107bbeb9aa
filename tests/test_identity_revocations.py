"""What workers know of ended sessions and users: by themselves, from each other, and when Redis is away."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.redis_kit import RedisTestCase
from tracseq_gateway.config import Redis
from tracseq_gateway.identity.revocation_ledger import (
    MOST_REVOCATIONS,
    PAGE,
    Revocation,
    RevocationLedger,
    parse_message,
    parse_revocation,
)
from tracseq_gateway.identity.revocations import AGAIN_SECONDS, BATCH, RETRY_SECONDS, Known, Revocations
from tracseq_gateway.redis.control import RedisControl
from tracseq_gateway.redis.errors import RedisError, RedisUnavailable

NOW = 1_772_359_200.5
DAY = 86400.0
KEY = "tracseq:ratelimit:revocations"


def session(name: str = "s-1", until: int = int(NOW) + 60) -> Revocation:
    return Revocation("session", name, until)


class FakeSubscription:
    def __init__(self, channel: str, on_message: Callable[[bytes], None], on_ready: Callable[[], None]) -> None:
        self.channel = channel
        self.heard = on_message
        self.on_ready = on_ready
        self.ready = False
        self.stopped = False

    def stop(self) -> Deferred[None]:
        self.stopped = True
        return succeed(None)


class FakeControl:
    """A Redis of one set: it answers at once, or not at all while it is down."""

    def __init__(self) -> None:
        self.members: dict[str, int] = {}
        self.subscriptions: list[FakeSubscription] = []
        self.error: Exception | None = None
        self.commands: list[str] = []
        self.held: list[Deferred[Any]] | None = None
        """Replies that are held back; None: they are not."""

    def execute(self, *words: bytes | str | int) -> Deferred[Any]:
        self.commands.append(str(words[0]))
        if self.error is not None:
            return fail(self.error)
        reply = self._eval(words) if words[0] == "EVAL" else self._scan(words)
        if self.held is None:
            return succeed(reply)
        self.held.append(Deferred())
        return self.held[-1].addCallback(lambda _: reply)

    def _eval(self, words: tuple[Any, ...]) -> int:
        message, entries = words[6], list(words[7:])
        self.members.update({entries[at + 1]: entries[at] for at in range(0, len(entries), 2)})
        for subscription in self.subscriptions:
            if subscription.ready:
                subscription.heard(message.encode())
        return sum(subscription.ready for subscription in self.subscriptions)

    def _scan(self, words: tuple[Any, ...]) -> list[Any]:
        begin = int(words[2])
        page = list(self.members.items())[begin : begin + 2]
        cursor = begin + 2 if begin + 2 < len(self.members) else 0
        return [b"%d" % cursor, [part for name, score in page for part in (name.encode(), b"%d" % score)]]

    def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_ready: Callable[[], None]
    ) -> FakeSubscription:
        self.subscriptions.append(FakeSubscription(channel, on_message, on_ready))
        return self.subscriptions[-1]

    def come_up(self) -> None:
        self.error = None
        for subscription in self.subscriptions:
            subscription.ready = True
            subscription.on_ready()

    def go_down(self) -> None:
        self.error = RedisUnavailable("no connection")
        for subscription in self.subscriptions:
            subscription.ready = False


class KnownTests(SynchronousTestCase):
    """What one worker knows."""

    def test_news(self) -> None:
        """Only what is more than was known is news: another name, or a later end."""
        known = Known(10)
        told = [session(), session(), session(until=int(NOW)), session(until=int(NOW) + 90), session("s-2")]
        self.assertEqual([True, False, False, True, True], [known.learn(one) is not None for one in told])
        self.assertEqual({session(until=int(NOW) + 90), session("s-2")}, set(known))

    def test_user(self) -> None:
        """Of a user the latest moment counts, in whatever order it is heard."""
        known = Known(10)
        for issued in (50, 70, 60):
            known.learn(Revocation("user", "u", 100, issued))
        self.assertEqual([Revocation("user", "u", 100, 70)], list(known))

    def test_forget(self) -> None:
        """What has ended is forgotten; what was put off is not."""
        known = Known(10)
        for one in (session("a", 10), session("b", 20), session("a", 30)):
            known.learn(one)
        known.forget(19.9)
        self.assertEqual({"a", "b"}, set(known.sessions))
        known.forget(20)
        self.assertEqual({"a"}, set(known.sessions))
        known.forget(30)
        self.assertEqual(0, len(known))

    def test_bounded(self) -> None:
        """Beyond the limit, what ends first goes first, and putting one off for ever does not fill the memory."""
        known = Known(3)
        for name, until in (("a", 40), ("b", 10), ("c", 30), ("d", 20), ("e", 50)):
            known.learn(session(name, until))
        self.assertEqual({"a", "c", "e"}, set(known.sessions))
        for until in range(51, 200):
            known.learn(session("e", until))
        self.assertLessEqual(len(known._ends), 7)
        known.forget(198)
        self.assertEqual({"e"}, set(known.sessions))


class LedgerTests(SynchronousTestCase):
    """What is written, and how it is read."""

    def test_members(self) -> None:
        """A revocation is read back from its member, whatever is in its name."""
        for one in (session("a:b c"), Revocation("user", "u:1:ü", 9, 7), Revocation("user", "7", 9, 0)):
            self.assertEqual(one, parse_revocation(one.member, one.until))

    def test_message(self) -> None:
        """A message is a list of scores and members; what is not understood in it is passed over."""
        entries = [
            [60, "s:s-1"],
            [60, "x:later version"],
            "s:s-2",
            [60, "s:"],
            [True],
            ["60", "s:s-3"],
            [61, "u:7:u-1"],
        ]
        self.assertEqual(
            [session("s-1", 60), Revocation("user", "u-1", 61, 7)], parse_message(json.dumps(entries).encode())
        )
        for nonsense in (b"", b"\xff", b"{}", b"7", b"[" * 5000, b'[[NaN, "s:a"], [1e400, "s:a"], [-1, "s:a"]]'):
            self.assertEqual([], parse_message(nonsense))

    def test_identifiers(self) -> None:
        """What cannot be an id is refused: nothing, control characters, too long a text."""
        for name in ("", "a\r\nb", "a" * 257):
            with self.assertRaises(ValueError):
                Revocation.of_session(name, NOW)
            with self.assertRaises(ValueError):
                Revocation.of_user(name, NOW, NOW)


class WorkerTests(SynchronousTestCase):
    """``Revocations``, with a Redis that is up or down."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.control = FakeControl()
        self.one = self.worker()

    def worker(self, limit: int = 100) -> Revocations:
        worker = Revocations(self.control, "tracseq:ratelimit", self.clock, self.clock.seconds, DAY, limit)
        worker.start()
        return worker

    def refused(self, worker: Revocations, session: str = "", subject: str = "", issued: float | None = NOW) -> bool:
        return worker.is_revoked(session, subject, issued)

    def test_session(self) -> None:
        """An ended session is refused here at once, others are not, nor are tokens without a session."""
        self.one.revoke_session("s-1", NOW + 60)
        self.assertEqual([True, False, False], [self.refused(self.one, name) for name in ("s-1", "s-2", "")])

    def test_user(self) -> None:
        """Of a revoked user, tokens that were issued until this second and those without ``iat`` are refused."""
        self.one.revoke_user("u-1")
        moments = (NOW - 60, int(NOW), NOW, int(NOW) + 1, None)
        self.assertEqual(
            [True, True, True, False, True], [self.refused(self.one, "s", "u-1", moment) for moment in moments]
        )
        self.assertFalse(self.refused(self.one, "s", "u-2", None))

    def test_everybody(self) -> None:
        """What one worker is told, all hear."""
        two = self.worker()
        self.control.come_up()
        self.one.revoke_session("s-1")
        two.revoke_user("u-1")
        for worker in (self.one, two):
            self.assertTrue(self.refused(worker, "s-1"))
            self.assertTrue(self.refused(worker, "", "u-1"))
            self.assertTrue(worker.shared)
        end = int(NOW + DAY) + 1
        self.assertEqual({"s:s-1": end, f"u:{int(NOW)}:u-1": end}, self.control.members)

    def test_late(self) -> None:
        """A worker that starts later reads all that was said before, page by page."""
        self.control.come_up()
        for number in range(7):
            self.one.revoke_session(f"s-{number}")
        two = self.worker()
        self.assertFalse(two.shared)
        self.control.come_up()
        self.assertEqual((7, True), (len(two), two.shared))

    def test_observers(self) -> None:
        """Observers are told of each revocation once, wherever it comes from."""
        told: list[str] = []
        two = self.worker()
        two.on_change(lambda revocation: told.append(f"two {revocation.member}"))
        self.one.on_change(lambda revocation: told.append(f"one {revocation.member}"))
        self.control.come_up()
        self.one.revoke_session("s-1")
        self.one.revoke_session("s-1")
        self.control.come_up()
        self.assertEqual(["one s:s-1", "two s:s-1"], told)

    def test_away(self) -> None:
        """While Redis is away, revocations hold here; they are written when it is back."""
        two = self.worker()
        self.control.come_up()
        self.control.go_down()
        self.one.revoke_session("s-1")
        self.assertTrue(self.refused(self.one, "s-1"))
        self.assertFalse(self.refused(two, "s-1"))
        self.assertFalse(self.one.shared)
        self.control.come_up()
        self.assertTrue(self.refused(two, "s-1"))
        self.assertTrue(self.one.shared)

    def test_missed(self) -> None:
        """What was said while a worker was away is read when it is back."""
        two = self.worker()
        self.control.come_up()
        self.control.subscriptions[1].ready = False
        self.one.revoke_session("s-1")
        self.assertFalse(self.refused(two, "s-1"))
        self.control.come_up()
        self.assertTrue(self.refused(two, "s-1"))

    def test_emptied(self) -> None:
        """A Redis that comes back empty is told again what a worker knows, so that new workers know it, too."""
        self.control.come_up()
        self.one.revoke_session("s-1")
        self.one.revoke_user("u-1")
        written = dict(self.control.members)
        self.control.go_down()
        self.control.members.clear()
        self.control.come_up()
        self.assertEqual(written, self.control.members)
        three = self.worker()
        self.control.come_up()
        self.assertEqual(2, len(three))

    def test_retry(self) -> None:
        """A command that fails while listening goes on is tried again every second, and nothing goes on after that."""
        self.control.come_up()
        self.control.error = RedisError("OOM command not allowed when used memory > 'maxmemory'.")
        self.one.revoke_session("s-1")
        self.one.revoke_session("s-2")
        self.assertEqual(1, self.control.commands.count("EVAL"))
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual(2, self.control.commands.count("EVAL"))
        self.control.error = None
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual({"s:s-1", "s:s-2"}, set(self.control.members))
        self.assertEqual(1, len(self.clock.getDelayedCalls()), "only the look that is taken from time to time")

    def test_emptied_unnoticed(self) -> None:
        """When Redis was emptied and nobody noticed, what is known is written again within a minute."""
        self.control.come_up()
        self.one.revoke_session("s-1", self.clock.seconds() + 1e9)
        self.control.members.clear()
        self.clock.advance(AGAIN_SECONDS)
        self.assertEqual({"s:s-1"}, set(self.control.members))

    def test_together(self) -> None:
        """What comes while a command is on its way goes out with the next one, some hundreds at a time."""
        self.control.come_up()
        self.control.held = []
        self.one = self.worker(limit=10_000)
        for number in range(BATCH + 100):
            self.one.revoke_session(f"s-{number}")
        held = 0
        while held < len(self.control.held):
            self.control.held[held].callback(None)
            held += 1
        self.assertEqual(BATCH + 100, len(self.control.members))
        self.assertEqual(3, self.control.commands.count("EVAL"))

    def test_bounded(self) -> None:
        """While Redis is away for long, what is to be written is bounded as what is known is; the latest is kept."""
        self.control.go_down()
        for number in range(250):
            self.one.revoke_session(f"s-{number}", NOW + 60 + number)
        self.assertEqual(100, len(self.one))
        self.control.come_up()
        self.assertEqual({f"s:s-{number}" for number in range(150, 250)}, set(self.control.members))

    def test_over(self) -> None:
        """What is over is not taken up, and what ends is forgotten when something new comes."""
        self.one.revoke_session("s-0", NOW - 1)
        self.assertEqual(0, len(self.one))
        self.one.revoke_session("s-1", NOW + 60)
        self.clock.advance(61)
        self.one.revoke_session("s-2", NOW + 120)
        self.assertEqual([False, True], [self.refused(self.one, name) for name in ("s-1", "s-2")])

    def test_stop(self) -> None:
        """After the end nothing is left in the reactor, and nothing is heard or written."""
        self.control.go_down()
        self.one.revoke_session("s-1")
        self.successResultOf(self.one.stop())
        self.assertTrue(self.control.subscriptions[0].stopped)
        self.assertEqual([], self.clock.getDelayedCalls())
        commands = len(self.control.commands)
        self.one.revoke_session("s-2")
        self.assertEqual(commands, len(self.control.commands))
        self.assertFalse(self.one.shared)

    def test_stopBusy(self) -> None:
        """The end while a command is on its way gives it up."""
        self.control.held = []
        self.control.come_up()
        self.successResultOf(self.one.stop())
        self.assertEqual([], self.clock.getDelayedCalls())


class RealTests(RedisTestCase):
    """With a real server."""

    def control(self, url: str) -> RedisControl:
        control = RedisControl(self.reactor, Redis(url=url))
        self.addCleanup(control.stop)
        control.start()
        return control

    async def worker(self, url: str) -> Revocations:
        worker = Revocations(self.control(url), "tracseq:ratelimit", self.reactor, lambda: NOW + 1e9, DAY)
        self.addCleanup(worker.stop)
        worker.start()
        await self.until(lambda: worker.shared)
        return worker

    async def test_heard(self) -> None:
        """Two workers see each other's revocations within a second; the set ends with the last of them."""
        redis = self.server()
        one, two = await self.worker(redis.url), await self.worker(redis.url)
        one.revoke_session("s-1", NOW + 1e9 + 60)
        two.revoke_user("u-1")
        await self.until(lambda: two.is_revoked("s-1", "", 0) and one.is_revoked("", "u-1", 0), 1.0)
        await self.until(lambda: one.shared and two.shared)
        control = self.control(redis.url)
        self.assertEqual(b"%d" % (NOW + 1e9 + DAY + 1), await control.execute("ZSCORE", KEY, f"u:{int(NOW + 1e9)}:u-1"))
        self.assertEqual(int(NOW + 1e9 + DAY + 1), await control.execute("EXPIRETIME", KEY))

    async def test_restart(self) -> None:
        """A server that was killed and comes back empty is told again what is known, and new workers hear it."""
        redis = self.server()
        one = await self.worker(redis.url)
        one.revoke_session("s-1")
        await self.until(lambda: one.shared)
        redis.kill()
        one.revoke_session("s-2")
        await self.until(lambda: not one.shared)
        redis.start()
        await self.until(lambda: one.shared)
        two = await self.worker(redis.url)
        self.assertTrue(two.is_revoked("s-1", "", 0) and two.is_revoked("s-2", "", 0))

    async def test_pages(self) -> None:
        """A long ledger is read whole, and keeps its bound: what ends first goes."""
        redis = self.server()
        control = self.control(redis.url)
        ledger = RevocationLedger(control, "tracseq:ratelimit")
        until = int(NOW + 1e9) + 1
        for begin in range(0, 3 * PAGE, 500):
            await ledger.write([session(f"s-{begin + at}", until + begin + at) for at in range(500)], NOW)
        self.assertEqual(3 * PAGE, len(await self.worker(redis.url)))
        await control.execute("EVAL", FILL, 1, KEY, MOST_REVOCATIONS, until + 10_000)
        await ledger.write([session("last", until + 10_000)], until + 10)
        self.assertEqual(MOST_REVOCATIONS, await control.execute("ZCARD", KEY))
        self.assertIsNone(await control.execute("ZSCORE", KEY, "s:s-2999"))

    async def test_laterEnd(self) -> None:
        """A session keeps its later end, whoever writes last, and what is over leaves the set."""
        redis = self.server()
        control = self.control(redis.url)
        ledger = RevocationLedger(control, "tracseq:ratelimit")
        far = int(NOW + 1e9)
        heard = await ledger.write([session("a", far + 9), session("b", far + 5)], NOW)
        await ledger.write([session("a", far + 7)], far + 6)
        self.assertEqual(
            (0, [b"s:a", b"%d" % (far + 9)]), (heard, await control.execute("ZRANGE", KEY, 0, -1, "WITHSCORES"))
        )


FILL = "for i = 1, ARGV[1] do redis.call('ZADD', KEYS[1], ARGV[2], 's:f' .. i) end"
