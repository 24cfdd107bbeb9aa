"""Sentinel: the master is found and proven, and after a failover the next one is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.process_kit import freePort
from tests.redis_kit import PaperRedis, RealRedis, RealSentinel, RedisTestCase, debian_binary, paper_link
from tracseq_gateway.config.redis_url import Login, Sentinels, Tcp, Unix
from tracseq_gateway.redis.connection import RedisConnection, Word
from tracseq_gateway.redis.endpoint import server_endpoint
from tracseq_gateway.redis.errors import RedisUnavailable
from tracseq_gateway.redis.sentinel import SENTINEL_SECONDS, MasterEndpoint

MASTER = b"*2\r\n$1\r\nm\r\n$4\r\n6379\r\n"
QUESTION = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", b"main"]


class EndpointTests(SynchronousTestCase):
    """On paper: two sentinels and a master."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.places = {host: PaperRedis(self.clock) for host in ("s1", "s2", "m")}
        for host in ("s1", "s2"):
            self.places[host].answers = {b"SENTINEL": MASTER, b"AUTH": b"+OK\r\n"}
        self.endpoint = self.make()

    def make(self, login: Login = Login()) -> MasterEndpoint:  # noqa: B008
        sentinels = Sentinels((("s1", 26379), ("s2", 26379)), "main")
        return MasterEndpoint(self.clock, sentinels, login, self.reach)

    def reach(self, place: Tcp) -> PaperRedis:
        return self.places[place.host]

    def connect(self) -> Deferred[Any]:
        connecting = self.endpoint.connect(Factory.forProtocol(lambda: RedisConnection(self.clock)))
        self.clock.advance(0)
        return connecting

    def asked(self) -> list[int]:
        """How often each sentinel was connected to."""
        return [len(self.places[host].attempts) for host in ("s1", "s2")]

    def test_found(self) -> None:
        """A sentinel is asked for the master by name, left, and the master connected to."""
        self.assertIsInstance(self.successResultOf(self.connect()), RedisConnection)
        self.assertEqual(self.places["s1"].last.commands, [QUESTION])
        self.assertTrue(self.places["s1"].last.transport.aborted)
        self.assertEqual(len(self.places["m"].attempts), 1)

    def test_next(self) -> None:
        """When one is down, knows nothing, or talks nonsense, the next is asked."""
        for answer in (None, b"*-1\r\n", b"-ERR no\r\n", b"+OK\r\n", b"*2\r\n:1\r\n:2\r\n", b"nonsense\r\n"):
            self.setUp()
            if answer is None:
                self.places["s1"].up = False
            else:
                self.places["s1"].answers[b"SENTINEL"] = answer
            self.successResultOf(self.connect())
            self.assertEqual(self.asked(), [1, 1])

    def test_silent(self) -> None:
        """One that says nothing is given up in time."""
        self.places["s1"].answers.clear()
        connecting = self.connect()
        self.assertNoResult(connecting)
        self.clock.advance(SENTINEL_SECONDS)
        self.successResultOf(connecting)
        self.assertTrue(self.places["s1"].last.transport.aborted)

    def test_turns(self) -> None:
        """The next connection asks the next sentinel first."""
        for expected in ([1, 0], [1, 1], [2, 1]):
            self.successResultOf(self.connect())
            self.assertEqual(self.asked(), expected)

    def test_none(self) -> None:
        """When none knows a master, the error says what each said."""
        self.places["s1"].up = False
        self.places["s2"].answers[b"SENTINEL"] = b"*-1\r\n"
        failure = self.failureResultOf(self.connect(), RedisUnavailable)
        self.assertIn("s1:26379: Connection was refused", failure.value.reason)
        self.assertIn("s2:26379: knows no master main", failure.value.reason)

    def test_cancelled(self) -> None:
        """Who gives up has nobody asked any more."""
        self.places["s1"].answers.clear()
        connecting = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(self.places["s1"].last.transport.aborted)
        self.assertEqual(self.asked(), [1, 0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_password(self) -> None:
        """The password is given to a sentinel that asks for one, and to no other."""
        self.endpoint = self.make(Login("", "pw"))
        self.successResultOf(self.connect())
        self.assertEqual(self.places["s1"].last.commands, [QUESTION])
        self.places["s2"].answers[b"SENTINEL"] = b"-NOAUTH Authentication required.\r\n"
        connecting = self.connect()
        self.places["s2"].answers[b"SENTINEL"] = MASTER
        self.clock.advance(0)
        self.clock.advance(0)
        self.successResultOf(connecting)
        self.assertEqual(self.places["s2"].last.commands, [QUESTION, [b"AUTH", b"pw"], QUESTION])

    def test_not_master(self) -> None:
        """Whom the sentinels call the master and is none is not used."""
        self.places["m"].answers[b"ROLE"] = b"*1\r\n$5\r\nslave\r\n"
        link, watch = paper_link(self.places["m"])
        self.assertFalse(link.ready)
        self.assertEqual(watch.told, [(False, "the server is not a master")])


class FailoverTests(RedisTestCase):
    async def ask(self, redis: RealRedis, *words: Word) -> Any:
        """Ask a server, or a sentinel, over a connection for this question alone."""
        factory = Factory.forProtocol(lambda: RedisConnection(self.reactor))
        factory.noisy = False
        connection: Any = await server_endpoint(self.reactor, Unix(redis.path), "", 1.0).connect(factory)
        try:
            return await connection.call(*words)
        finally:
            connection.end("asked")
            await connection.closed

    async def until_answer(self, redis: RealRedis, right: Callable[[Any], object], *words: Word) -> None:
        """Ask until the answer is right."""
        for _ in range(200):
            if right(await self.ask(redis, *words)):
                return
            await deferLater(self.reactor, 0.05)
        self.fail(f"{words} is not answered as it should be")

    async def test_failover(self) -> None:
        """When the master is killed, the link is soon ready at the one that the sentinels made the next."""
        binary = debian_binary()
        master = await self.serving("--bind", "127.0.0.1", port=freePort(), binary=binary)
        master_of = "--replicaof", "127.0.0.1", str(master.port)
        replica = await self.serving("--bind", "127.0.0.1", *master_of, port=freePort(), binary=binary)
        await self.until_answer(replica, lambda role: role[3] == b"connected", "ROLE")
        sentinel = RealSentinel(binary, freePort(), master)
        self.addCleanup(sentinel.stop)
        sentinel.start()
        await self.until(sentinel.accepts)
        await self.until_answer(sentinel, lambda known: known and b"ok" in known[0], "SENTINEL", "REPLICAS", "main")

        link = await self.ready(f"sentinel://127.0.0.1:{freePort()},127.0.0.1:{sentinel.port}/main/0")
        await link.call("SET", "k", "v")
        self.assertEqual(await link.call("WAIT", 1, 400), 1)
        master.kill()
        await self.until(lambda: not link.ready, seconds=1.0)
        await self.until(lambda: link.ready, seconds=15.0)
        self.assertEqual(await link.call("CONFIG", "GET", "port"), [b"port", b"%d" % replica.port])
        self.assertEqual(await link.call("GET", "k"), b"v")
        self.assertEqual(await link.call("SET", "k", "w"), b"OK")
        self.assertEqual([ready for ready, _ in self.watch.told], [True, False, True])
