"""Where answers are kept: in memory, and in Redis."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.redis_kit import RedisTestCase, debian_binary
from tests.test_limits_stores import FakeLink
from tracseq_gateway.cache.kept import Kept, Record, Variants, unpack
from tracseq_gateway.cache.keys import Scope, key_of, variant_key
from tracseq_gateway.cache.memory_store import MemoryStore
from tracseq_gateway.cache.redis_store import MOST_UNDER_WAY, RedisStore
from tracseq_gateway.cache.store import Bounds, Store
from tracseq_gateway.redis.errors import RedisError, RedisUnavailable


def kept(body: bytes = b"body", *fields: tuple[bytes, bytes]) -> Kept:
    """An answer."""
    pairs = [(b"cache-control", b"max-age=60"), (b"x", b"\xe4"), *fields]
    return Kept(200, b"OK", pairs, b"hsts: x\r\n", body, 1000.5, 2.25)


def key(path: bytes, query: bytes = b"", service: bytes = b"samples") -> bytes:
    return key_of(service, b"http", b"lab", path, query)


def find(store: Store, wanted: bytes) -> Record | None:
    """What a store that answers at once has."""
    found: list[Record | None] = []
    store.get(wanted, found.append)
    return found[0]


class PackingTests(SynchronousTestCase):
    def test_round(self) -> None:
        """What is packed comes out equal, byte for byte."""
        for body in (b"", b"a\nb", bytes(range(256))):
            given = kept(body)
            taken = unpack(given.pack())
            assert isinstance(taken, Kept)
            for name in ("status", "reason", "fields", "over_tls", "body", "received", "initial_age", "fresh_for"):
                self.assertEqual(getattr(given, name), getattr(taken, name), name)
        variants = Variants((b"accept", b"x-y"), b"\x00\xff")
        self.assertEqual(variants, unpack(variants.pack()))

    def test_nonsense(self) -> None:
        """Bytes that are no record are refused, whatever they are."""
        packed = kept().pack()
        for data in (
            b"",
            b"nothing",
            packed[:-1],
            packed + b"x",
            packed.replace(b"answer [1,", b"answer [2,"),
            b"answer {}\n",
            b"answer [1,200]\n",
            b"answer " + b"[" * 100_000,
            b"varies [1,1,1]",
            b"varies [1,[1],2]",
            b"other [1]\n",
        ):
            self.assertRaises(ValueError, unpack, data)


class ScopeTests(SynchronousTestCase):
    def test_scopes(self) -> None:
        """What is meant is a service, a path with any query or one, or all below a path; variants go with the rest."""
        keys = {
            "a": key(b"/v1/a"),
            "a?x": key(b"/v1/a", b"?x"),
            "a/b": variant_key(key(b"/v1/a/b"), b"g", b"v"),
            "ab": key(b"/v1/ab"),
            "rag": key(b"/v1/a", b"", b"rag"),
        }
        for scope, expected in (
            (Scope("samples"), "a a?x a/b ab"),
            (Scope("samples", b"/v1/a"), "a a?x"),
            (Scope("samples", b"/v1/a", b"?x"), "a?x"),
            (Scope("samples", b"/v1/a/", below=True), "a a?x a/b"),
            (Scope("samples", b"/v1/a/b"), "a/b"),
            (Scope("rag", b"/", below=True), "rag"),
            (Scope("storage"), ""),
        ):
            meant = [name for name, each in keys.items() if scope.takes_in(each)]
            self.assertEqual(expected.split(), meant, scope)

    def test_secret(self) -> None:
        """A key says nothing of a query, which may hold a secret."""
        self.assertNotIn(b"secret", key(b"/a", b"?token=secret"))


class MemoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def store(self, size: int = 1 << 20, entries: int = 100) -> MemoryStore:
        return MemoryStore(Bounds(size, entries), self.clock.seconds)

    def test_time(self) -> None:
        """What is kept for a time is there for that time."""
        store = self.store()
        store.put(b"a", kept(), 10)
        store.put(b"b", kept(), 0)
        self.clock.advance(9)
        self.assertIsNotNone(find(store, b"a"))
        self.clock.advance(1)
        self.assertEqual([None, None], [find(store, b"a"), find(store, b"b")])
        self.assertEqual(Bounds(0, 0), store.usage)

    def test_bounds(self) -> None:
        """There is never more than there may be; what was not asked for the longest goes first."""
        store = self.store(entries=2)
        for name in (b"a", b"b"):
            store.put(name, kept(), 10)
        find(store, b"a")
        store.put(b"c", kept(), 10)
        self.assertEqual([True, False, True], [find(store, name) is not None for name in (b"a", b"b", b"c")])
        size = kept(b"x" * 1000).size + 1
        store = self.store(size=3 * size)
        for name in (b"a", b"b", b"c", b"d", b"d"):
            store.put(name, kept(b"x" * 1000), 10)
        self.assertEqual(Bounds(3 * size, 3), store.usage)
        store.put(b"e", kept(b"x" * 10_000), 10)
        self.assertEqual([None, Bounds(3 * size, 3)], [find(store, b"e"), store.usage])

    def test_purge(self) -> None:
        """A purge drops what is meant and says how many answers that were."""
        store = self.store()
        names = (key(b"/a"), variant_key(key(b"/a"), b"g", b"v"), key(b"/b"))
        store.put(names[0], Variants((), b"g"), 10)
        for name in names[1:]:
            store.put(name, kept(), 10)
        self.assertEqual(1, self.successResultOf(store.purge(Scope("samples", b"/a"))))
        self.assertEqual([False, False, True], [find(store, name) is not None for name in names])


class RedisAwayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.link = FakeLink()
        self.ended: list[str] = []
        self.store = RedisStore(
            self.link, "p", Bounds(1 << 30, 10), lambda outcome, seconds: self.ended.append(outcome)
        )

    def test_away(self) -> None:
        """Without Redis nothing is there, at once, and nothing is kept."""
        self.link.ready = False
        self.assertIsNone(find(self.store, b"a"))
        self.store.put(b"a", kept(), 10)
        self.store.drop(b"a")
        self.assertEqual([], self.link.calls)

    def test_owed(self) -> None:
        """What could not be dropped is not found any more, and is dropped when Redis is there again."""
        self.link.ready = False
        self.store.drop(b"a")
        self.link.ready = True
        self.assertIsNone(find(self.store, b"a"))
        self.store.settle()
        self.link.answers[0].errback(RedisUnavailable("gone again"))
        self.assertIsNone(find(self.store, b"a"))
        self.store.settle()
        self.link.answers[1].callback(1)
        self.store.get(b"a", lambda record: None)
        self.assertEqual(b"GET", self.link.calls[2][0])

    def test_failures(self) -> None:
        """Whatever Redis answers instead of a record, there is none, and the request goes on."""
        for answer in (RedisUnavailable("late"), RedisError("WRONGTYPE"), b"nonsense", None, 7):
            found: list[Record | None] = []
            self.store.get(b"a", found.append)
            self.assertEqual([], found)
            reply = self.link.answers[-1]
            reply.errback(answer) if isinstance(answer, Exception) else reply.callback(answer)
            self.assertEqual([None], found, answer)
        self.assertEqual(["timeout", "error", "ok", "ok", "ok"], self.ended)

    def test_under_way(self) -> None:
        """What is on its way to Redis is bounded; when Redis does not take it, there is room again."""
        body = b"x" * (MOST_UNDER_WAY // 2)
        for _ in range(3):
            self.store.put(b"a", kept(body), 10)
        self.assertEqual(1, len(self.link.calls))
        self.link.answers[0].errback(RedisUnavailable("gone"))
        self.store.put(b"a", kept(body), 10)
        self.assertEqual(2, len(self.link.calls))

    def test_purge_fails(self) -> None:
        """A purge that Redis does not carry out says so."""
        purged = self.store.purge(Scope("samples"))
        self.link.answers[0].errback(RedisUnavailable("gone"))
        self.failureResultOf(purged, RedisUnavailable)


class RealRedisTests(RedisTestCase):
    async def store(self, size: int = 1 << 20, entries: int = 100, binary: str | None = None) -> RedisStore:
        redis = await self.serving(binary=binary)
        self.link = await self.ready(redis.url)
        return RedisStore(self.link, "p", Bounds(size, entries))

    async def find(self, store: RedisStore, wanted: bytes) -> Record | None:
        """What is kept, once all is there that is on its way."""
        await self.until(lambda: not store.under_way)
        found: Deferred[Record | None] = Deferred()
        store.get(wanted, found.callback)
        return await found

    async def usage(self) -> tuple[int, int]:
        """What Redis itself holds: bytes by its sum, and records."""
        total: Any = await self.link.call("HGET", "p:@cache-sizes", "")
        entries: Any = await self.link.call("ZCARD", "p:@cache-index")
        return int(total or 0), int(entries)

    async def test_kept(self) -> None:
        """What one worker keeps another finds, until its time is over or it is dropped; the sum is right all along."""
        store = await self.store()
        self.assertIsNone(await self.find(store, b"a"))
        for body in (b"one", b"other"):
            store.put(b"a", kept(body), 10)
            found = await self.find(store, b"a")
            assert isinstance(found, Kept)
            self.assertEqual(body, found.body)
        self.assertEqual((len(kept(b"other").pack()) + len(b"p:@cache:a"), 1), await self.usage())
        store.put(b"b", kept(), 50)
        await self.find(store, b"b")
        self.assertTrue(49_000 < await self.link.call("PTTL", "p:@cache:b") <= 50_000)
        for name in (b"a", b"b"):
            store.drop(name)
        self.assertEqual(0, await store.purge(Scope("samples")))
        self.assertEqual([None, None], [await self.find(store, name) for name in (b"a", b"b")])
        self.assertEqual((0, 0), await self.usage())

    async def test_older_server(self) -> None:
        """The same holds for the server of the distribution, whose numbers are written in another way."""
        store = await self.store(binary=debian_binary())
        store.put(b"a", kept(), 10)
        self.assertIsInstance(await self.find(store, b"a"), Kept)
        self.assertEqual(1, store.usage.entries)

    async def test_ended(self) -> None:
        """What has ended is gone, and no longer counted when something else is kept."""
        store = await self.store()
        store.put(b"a", kept(), 0.02)
        await self.find(store, b"a")
        await self.until(lambda: self.link.ready and store.usage.entries == 1)
        await deferLater(self.reactor, 0.03)
        self.assertIsNone(await self.find(store, b"a"))
        store.put(b"b", kept(), 10)
        await self.find(store, b"b")
        self.assertEqual(1, store.usage.entries)

    async def test_bounds(self) -> None:
        """What ends soonest makes room, so that there is never more than there may be; the ended ones go first."""
        store = await self.store(entries=3)
        for name, seconds in ((b"a", 30), (b"b", 10), (b"c", 20), (b"d", 40)):
            store.put(name, kept(), seconds)
        there = [await self.find(store, name) is not None for name in (b"a", b"b", b"c", b"d")]
        self.assertEqual([True, False, True, True], there)
        size = len(kept(b"x" * 1000).pack()) + len(b"p:@cache:1")
        tight = RedisStore(self.link, "p", Bounds(2 * size, 100))
        for name in (b"1", b"2", b"3"):
            tight.put(name, kept(b"x" * 1000), 50)
        self.assertIsNotNone(await self.find(tight, b"3"))
        self.assertEqual((2 * size, 2), await self.usage())
        self.assertEqual(Bounds(2 * size, 2), tight.usage)

    async def test_purge(self) -> None:
        """A purge finds what is meant among all that is kept, and says how many answers that were."""
        store = await self.store(size=1 << 24, entries=5000)
        for number in range(1200):
            store.put(key(b"/a/%d" % number), kept(), 60)
        store.put(key(b"/b"), Variants((b"accept",), b"g"), 60)
        store.put(variant_key(key(b"/b"), b"g", b"v"), kept(), 60)
        await self.until(lambda: not store.under_way)
        self.assertEqual(1, await store.purge(Scope("samples", b"/b")))
        self.assertEqual(1200, await store.purge(Scope("samples", b"/a", below=True)))
        self.assertEqual((0, 0), await self.usage())
