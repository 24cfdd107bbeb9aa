"""What a Redis client of another make sees of ours, and ours of it: an operator's scripts are such clients."""

from __future__ import annotations

import json
from typing import Any

import txredisapi

from tests.redis_kit import RedisTestCase
from tracseq_gateway.config.policies import Redis
from tracseq_gateway.identity.revocations import Revocations
from tracseq_gateway.limits.gcra import Policy
from tracseq_gateway.limits.redis_store import RedisStore
from tracseq_gateway.redis.control import RedisControl

NOW = 1_900_000_000.0
KEY = "tracseq:ratelimit:revocations"


class Asked:
    """A question about one key."""

    keys = (b"tracseq:ratelimit:samples:u:1",)
    units = (1,)

    def __init__(self, policy: Policy) -> None:
        self.policies = (policy,)
        self.said: list[object] = []

    def decided(self, wait: float, ahead: object) -> None:
        self.said.append(wait)

    def undecided(self) -> None:
        self.said.append("undecided")


class OtherClientTests(RedisTestCase):
    async def other(self, path: str) -> Any:
        connection = await txredisapi.UnixConnection(path, reconnect=False)
        self.addCleanup(connection.disconnect)
        return connection

    async def test_revocations(self) -> None:
        """It reads who was revoked and until when, and what it writes and publishes in the same form, we hear."""
        redis = await self.serving()
        other = await self.other(redis.path)
        control = RedisControl(self.reactor, Redis(url=redis.url))
        self.addCleanup(control.stop)
        control.start()
        worker = Revocations(control, "tracseq:ratelimit", self.reactor, lambda: NOW, 3600)
        self.addCleanup(worker.stop)
        worker.start()
        await self.until(lambda: worker.shared)
        worker.revoke_session("s-1", NOW + 60)
        await self.until(lambda: worker.shared)
        self.assertEqual([("s:s-1", NOW + 60)], await other.zrange(KEY, 0, -1, withscores=True))
        await other.zadd(KEY, NOW + 90, "s:s-2")
        await other.publish(KEY, json.dumps([[NOW + 90, "s:s-2"]]))
        await self.until(lambda: worker.is_revoked("s-2", "", None))

    async def test_limits(self) -> None:
        """It reads a client's limit, which ends by itself, and when it deletes it the client begins anew."""
        redis = await self.serving()
        other = await self.other(redis.path)
        store = RedisStore(await self.ready(redis.url), self.reactor)
        policy = Policy("samples", 1, 1)
        asked = [Asked(policy) for _ in range(3)]
        store.ask(asked[0])
        store.ask(asked[1])
        await self.until(lambda: asked[1].said)
        self.assertEqual((asked[0].said, asked[1].said[0] != 0), ([0], True))
        (key,) = await other.keys("tracseq:ratelimit:*")
        self.assertTrue(0 < await other.ttl(key) <= 60)
        await other.delete(key)
        store.ask(asked[2])
        await self.until(lambda: asked[2].said)
        self.assertEqual(asked[2].said, [0])
