"""Commands that may wait, and channels that are listened to whatever happens to the connection."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.redis_kit import RealRedis, RedisTestCase
from tracseq_gateway.config.policies import Redis
from tracseq_gateway.redis.control import MOST_WAITING, PATIENCE, RedisControl, Subscription
from tracseq_gateway.redis.errors import RedisError, RedisUnavailable


class WaitingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.control = RedisControl(Nowhere(self.clock), Redis(url="redis://somewhere"))

    def test_not_started(self) -> None:
        """Before the start, a command fails at once."""
        self.failureResultOf(self.control.execute("PING"), RedisUnavailable)

    def test_patience(self) -> None:
        """Without a connection each command waits for its time, and fails with the reason."""
        self.control.start()
        first = self.control.execute("PING")
        self.clock.advance(PATIENCE / 2)
        second = self.control.execute("PING")
        self.clock.advance(PATIENCE / 2)
        self.assertEqual(
            self.failureResultOf(first, RedisUnavailable).value.reason,
            "DNS lookup failed: no results for hostname lookup: somewhere.",
        )
        self.assertNoResult(second)
        self.clock.advance(PATIENCE / 2)
        self.failureResultOf(second, RedisUnavailable)

    def test_bounded(self) -> None:
        """Only so many commands wait; a stop fails them all and leaves no timer."""
        self.control.start()
        calls = [self.control.execute("PING") for _ in range(MOST_WAITING)]
        self.failureResultOf(self.control.execute("PING"), RedisUnavailable)
        self.assertNoResult(calls[0])
        self.successResultOf(self.control.stop())
        for call in calls:
            self.assertEqual(self.failureResultOf(call, RedisUnavailable).value.reason, "stopped")
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Nowhere:
    """The time of a reactor for which no name leads anywhere."""

    def __init__(self, clock: Clock) -> None:
        self.seconds = clock.seconds
        self.callLater = clock.callLater
        self.nameResolver = self

    def resolveHostName(self, receiver: Any, name: str, portNumber: int) -> None:
        receiver.resolutionComplete()


class ControlTestCase(RedisTestCase):
    def control(self, redis: RealRedis) -> RedisControl:
        control = RedisControl(self.reactor, Redis(url=redis.url), self.watch)
        self.addCleanup(control.stop)
        control.start()
        return control


class CommandTests(ControlTestCase):
    async def test_execute(self) -> None:
        """Commands wait for the connection, and are carried out in order; errors come by their codes."""
        control = self.control(self.server())
        waiting = [control.execute("APPEND", "k", word) for word in ("a", "b", "c")]
        self.assertEqual([await one for one in waiting], [1, 2, 3])
        self.assertEqual(await control.execute("GET", "k"), b"abc")
        error = await self.failure_of(control.execute("INCR", "k"), RedisError)
        self.assertEqual(error.code, "ERR")

    async def test_no_word(self) -> None:
        """A command that waits and turns out to be none fails alone."""
        control = self.control(self.server())
        bad, good = control.execute("GET", None), control.execute("PING")  # type: ignore[arg-type]
        await self.failure_of(bad, TypeError)
        self.assertEqual(await good, b"PONG")

    async def test_restart(self) -> None:
        """A command that comes while the server restarts is carried out once it is back."""
        redis = await self.serving()
        control = self.control(redis)
        await control.execute("PING")
        redis.kill()
        await self.until(lambda: not control.ready)
        answer = control.execute("INCR", "n")
        redis.start()
        self.assertEqual(await answer, 1)


class SubscriptionTests(ControlTestCase):
    def listen(self, control: RedisControl, channel: str = "news") -> Subscription:
        self.heard: list[bytes | str] = []
        return control.subscribe(channel, self.heard.append, lambda: self.heard.append("ready"))

    async def test_messages(self) -> None:
        """What is published arrives as it is, in order, after it was said that listening began."""
        control = self.control(self.server())
        subscription = self.listen(control)
        await self.until(lambda: subscription.ready)
        for payload in (b"one", b"\0\r\n\xff", b"", b"x" * 100_000):
            self.assertEqual(await control.execute("PUBLISH", "news", payload), 1)
        await control.execute("PUBLISH", "other", b"not for us")
        await self.until(lambda: len(self.heard) == 5)
        self.assertEqual(self.heard, ["ready", b"one", b"\0\r\n\xff", b"", b"x" * 100_000])

    async def test_soon(self) -> None:
        """A message is heard well within a second."""
        control = self.control(self.server())
        subscription = self.listen(control)
        await self.until(lambda: subscription.ready)
        began = time.monotonic()
        await control.execute("PUBLISH", "news", b"one")
        await self.until(lambda: b"one" in self.heard)
        self.assertLess(time.monotonic() - began, 0.5)

    async def test_subscribed_again(self) -> None:
        """After a restart it listens again, and says so each time, so that what was missed can be loaded."""
        redis = await self.serving()
        control = self.control(redis)
        subscription = self.listen(control)
        await self.until(lambda: subscription.ready)
        for number in (2, 3):
            redis.kill()
            await self.until(lambda: not subscription.ready)
            self.assertTrue(subscription.reason)
            redis.start()
            await self.until(lambda number=number: self.heard.count("ready") == number)  # type: ignore[misc]
        await control.execute("PUBLISH", "news", b"again")
        await self.until(lambda: self.heard[-1] == b"again")

    async def test_kicked(self) -> None:
        """A subscriber that the server throws out listens again."""
        control = self.control(await self.serving())
        subscription = self.listen(control)
        await self.until(lambda: subscription.ready)
        await control.execute("CLIENT", "KILL", "TYPE", "pubsub")
        await self.until(lambda: self.heard.count("ready") == 2)

    async def test_quiet(self) -> None:
        """A channel on which nothing is said for some seconds is listened to all the time."""
        control = self.control(await self.serving())
        subscription = self.listen(control)
        await self.until(lambda: subscription.ready)
        await deferLater(self.reactor, 2.5)
        self.assertEqual(self.heard, ["ready"])

    async def test_hang(self) -> None:
        """A server that hangs is noticed though nothing is said, and messages come again when it is over."""
        redis = await self.serving()
        control = self.control(redis)
        subscription = self.listen(control)
        await self.until(lambda: subscription.ready)
        redis.pause()
        await self.until(lambda: not subscription.ready, seconds=5.0)
        redis.resume()
        await self.until(lambda: self.heard.count("ready") == 2, seconds=5.0)

    async def test_stop(self) -> None:
        """A subscription that was stopped hears nothing more; the others do."""
        control = self.control(self.server())
        one = self.listen(control)
        two_heard: list[bytes] = []
        two = control.subscribe("news", two_heard.append, lambda: None)
        await self.until(lambda: one.ready and two.ready)
        await one.stop()
        self.assertEqual(await control.execute("PUBLISH", "news", b"one"), 1)
        await self.until(lambda: two_heard == [b"one"])
        self.assertEqual(self.heard, ["ready"])
