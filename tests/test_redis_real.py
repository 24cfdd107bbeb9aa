"""The link and real servers: each fault that a Redis can have, and that all is well again when it is over."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Factory, Protocol

from tests.process_kit import freePort
from tests.redis_kit import RedisTestCase
from tracseq_gateway.config.policies import Redis
from tracseq_gateway.redis.errors import RedisError, RedisUnavailable
from tracseq_gateway.redis.link import redis_link

LOOP = "while true do end"
"""A script that never ends."""


class PlaceTests(RedisTestCase):
    async def test_unix(self) -> None:
        """A unix socket is connected to; calls are answered in order, binary as it is."""
        link = await self.ready((await self.serving()).url + "?db=3")
        calls = [link.call("SET", b"k\xff", b"\0\r\n"), link.call("GET", b"k\xff"), link.call("CLIENT", "INFO")]
        calls += [link.call("INCRBY", "n", number) for number in range(200)]
        first, second, info, *sums = [result for _, result in await DeferredList(calls)]
        self.assertEqual((first, second), (b"OK", b"\0\r\n"))
        self.assertIn(b" db=3 ", info)
        self.assertEqual(sums, [number * (number + 1) // 2 for number in range(200)])
        self.assertEqual((self.watch.told, link.errors), ([(True, "")], {}))

    async def test_large(self) -> None:
        """A call and a reply that fill all buffers on the way arrive whole."""
        link = await self.ready((await self.serving()).url)
        value = bytes(range(256)) * 16384
        await link.call("SET", "k", value)
        self.assertEqual(await link.call("GET", "k"), value)

    async def test_tcp(self) -> None:
        """A host by address or by name is connected to, with the password; a wrong one is not ready."""
        redis = await self.serving("--requirepass", "hush", "--bind", "127.0.0.1", port=freePort())
        link = await self.ready(f"redis://:hush@localhost:{redis.port}/1")
        self.assertEqual(await link.call("PING"), b"PONG")
        wrong = self.link_to(f"redis://:wrong@127.0.0.1:{redis.port}")
        await self.until(lambda: "WRONGPASS" in wrong.errors)
        self.assertIn("WRONGPASS", wrong.reason)
        without = self.link_to(redis.url)
        await self.until(lambda: "NOAUTH" in without.errors)
        self.assertFalse(wrong.ready or without.ready)

    async def test_user(self) -> None:
        """A user of the access list logs in; what he may not do fails his call alone."""
        redis = await self.serving("--user", "gate", "on", ">pw", "~k*", "+ping", "+get", port=freePort())
        link = await self.ready(f"redis://gate:pw@127.0.0.1:{redis.port}")
        error = await self.failure_of(link.call("SET", "k", 1), RedisError)
        self.assertEqual(error.code, "NOPERM")
        self.assertIsNone(await link.call("GET", "k"))
        self.assertEqual(link.errors, {"NOPERM": 1})


class FaultTests(RedisTestCase):
    async def test_refused(self) -> None:
        """Without a server it says so, and is ready soon after one comes."""
        redis = await self.serving()
        redis.kill()
        link = self.link_to(redis.url)
        await self.until(lambda: self.watch.told)
        self.assertEqual([ready for ready, _ in self.watch.told], [False])
        redis.start()
        await self.until(lambda: link.ready, seconds=3.0)

    async def test_killed(self) -> None:
        """A kill is noticed at once, waiting calls fail, and two seconds after the restart calls are answered again."""
        redis = await self.serving()
        link = await self.ready(redis.url)
        redis.pause()
        call = link.call("GET", "k")
        redis.kill()
        await self.failure_of(call, RedisUnavailable)
        self.assertFalse(link.ready)
        began = time.monotonic()
        error = await self.failure_of(link.call("GET", "k"), RedisUnavailable)
        self.assertLess(time.monotonic() - began, 0.02)
        self.assertEqual(error.reason, link.reason)
        redis.start()
        await self.until(lambda: link.ready, seconds=3.0)
        self.assertIsNone(await link.call("GET", "k"))
        self.assertEqual([ready for ready, _ in self.watch.told], [True, False, True])

    async def test_hang(self) -> None:
        """A server that hangs costs the calls that wait 50 ms; further ones fail at once until it is over."""
        redis = await self.serving()
        link = await self.ready(redis.url, call_seconds=0.05)
        redis.pause()
        began = time.monotonic()
        calls = [link.call("INCR", "n") for _ in range(10)]
        results = await DeferredList(calls, consumeErrors=True)
        self.assertLess(time.monotonic() - began, 0.5)
        self.assertEqual({failure.value.kind for _, failure in results}, {"timeout"})
        began = time.monotonic()
        await self.failure_of(link.call("GET", "n"), RedisUnavailable)
        self.assertLess(time.monotonic() - began, 0.02)
        await self.until(lambda: link.errors["timeout"] > 1)  # a greeting that was not answered, either
        redis.resume()
        self.assertLess(await self.until(lambda: link.ready, seconds=4.0), 3.0)
        self.assertEqual(await link.call("ECHO", "right"), b"right")

    async def test_idle_hang(self) -> None:
        """A server that hangs while nobody calls is noticed, too."""
        redis = await self.serving()
        link = await self.ready(redis.url, call_seconds=0.1)
        redis.pause()
        await self.until(lambda: not link.ready, seconds=3.0)
        redis.resume()
        await self.until(lambda: link.ready, seconds=4.0)

    async def test_out_of_memory(self) -> None:
        """OOM fails the call by its code, and reading goes on."""
        link = await self.ready((await self.serving("--maxmemory", "1mb", "--maxmemory-policy", "noeviction")).url)
        error = await self.failure_of(self.fill(link), RedisError)
        self.assertEqual(error.code, "OOM")
        self.assertIsNone(await link.call("GET", "none"))
        self.assertTrue(link.ready)

    async def fill(self, link: Any) -> None:
        for number in range(100):
            await link.call("SET", f"k{number}", b"x" * 100_000)

    async def test_wrong_type_and_script(self) -> None:
        """WRONGTYPE and NOSCRIPT fail their calls by their codes, and the connection goes on."""
        link = await self.ready((await self.serving()).url)
        digest = await link.call("SCRIPT", "LOAD", "return redis.call('INCR', KEYS[1])")
        self.assertEqual(await link.call("EVALSHA", digest, 1, "n"), 1)
        await link.call("SCRIPT", "FLUSH")
        await link.call("RPUSH", "list", 1)
        missing = await self.failure_of(link.call("EVALSHA", digest, 1, "n"), RedisError)
        wrong = await self.failure_of(link.call("INCR", "list"), RedisError)
        self.assertEqual((missing.code, wrong.code), ("NOSCRIPT", "WRONGTYPE"))
        self.assertEqual(link.errors, {"NOSCRIPT": 1, "WRONGTYPE": 1})
        self.assertEqual(await link.call("INCR", "n"), 2)

    async def test_busy(self) -> None:
        """A server that is busy with a script is left until the script is over."""
        redis = await self.serving("--busy-reply-threshold", "50")
        link = await self.ready(redis.url)
        other = await self.ready(redis.url)
        script = other.call("EVAL", LOOP, 0)
        script.addErrback(lambda failure: failure.trap(RedisUnavailable, RedisError))
        await self.until(lambda: "BUSY" in link.errors)
        self.assertFalse(link.ready)
        self.assertIn("BUSY", link.reason)
        await self.kill_script(redis.path)
        await self.until(lambda: link.ready, seconds=3.0)
        await script

    async def kill_script(self, path: str) -> None:
        """Kill the script from a connection that needs no greeting, for only this command is answered now."""
        from twisted.internet.endpoints import UNIXClientEndpoint

        from tracseq_gateway.redis.connection import RedisConnection

        factory = Factory.forProtocol(lambda: RedisConnection(self.reactor))
        connection: Any = await UNIXClientEndpoint(self.reactor, path).connect(factory)
        self.assertEqual(await connection.call("SCRIPT", "KILL"), b"OK")
        connection.end("done")
        await connection.closed

    async def test_too_many_clients(self) -> None:
        """A server that takes no more clients is not ready; when one leaves, it is."""
        redis = await self.serving("--maxclients", "1")
        first = await self.ready(redis.url)
        second = self.link_to(redis.url)
        await self.until(lambda: second.errors)
        self.assertEqual(second.reason, "ERR max number of clients reached")
        await first.stop()
        await self.until(lambda: second.ready, seconds=3.0)

    async def test_replica(self) -> None:
        """A master that becomes a replica is left at its first refusal, and a replica is not ready."""
        redis = await self.serving()
        link = await self.ready(redis.url)
        await link.call("REPLICAOF", "127.0.0.1", freePort())
        error = await self.failure_of(link.call("SET", "k", 1), RedisError)
        self.assertEqual(error.code, "READONLY")
        self.assertFalse(link.ready)
        await self.until(lambda: "replica" in link.errors)
        self.assertEqual(link.reason, "the server is not a master")

    async def test_kicked(self) -> None:
        """A server that closes the connection is connected to again."""
        redis = await self.serving()
        link = await self.ready(redis.url)
        other = await self.ready(redis.url)
        await other.call("CLIENT", "KILL", "SKIPME", "yes")
        await self.until(lambda: link.errors == {"connection": 1})
        await self.until(lambda: link.ready)


class Canned(Protocol):
    """A server that answers the greeting as a master, and every further read with canned bytes, in pieces."""

    greeted = False

    def __init__(self, answer: bytes, size: int) -> None:
        self._answer = answer
        self._size = size

    def dataReceived(self, data: bytes) -> None:
        answer = self._answer if self.greeted else b"*1\r\n$6\r\nmaster\r\n+PONG\r\n"
        self.greeted = True
        self._send(answer)

    def _send(self, data: bytes) -> None:
        from twisted.internet import reactor

        if self.transport is not None and self.connected:
            self.transport.write(data[: self._size])
            if len(data) > self._size:
                clock: Any = reactor
                clock.callLater(0.001, self._send, data[self._size :])


class SocketTests(RedisTestCase):
    """Servers that no Redis is, on real sockets."""

    async def canned(self, answer: bytes, size: int = 65536) -> Any:
        factory = Factory.forProtocol(lambda: Canned(answer, size))
        port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return await self.ready(f"redis://127.0.0.1:{port.getHost().port}")

    async def test_pieces(self) -> None:
        """A reply that comes byte by byte is the reply."""
        link = await self.canned(b"*2\r\n$3\r\nabc\r\n:7\r\n", 1)
        self.assertEqual(await link.call("GET", "k"), [b"abc", 7])

    async def test_garbage(self) -> None:
        """Garbage ends the connection; another is made."""
        link = await self.canned(b"\xffnonsense\r\n")
        error = await self.failure_of(link.call("GET", "k"), RedisUnavailable)
        self.assertEqual(error.kind, "protocol")
        await self.until(lambda: link.ready)

    async def test_truncated(self) -> None:
        """A reply that is never completed is a time-out."""
        link = await self.canned(b"$100\r\nabc")
        error = await self.failure_of(link.call("GET", "k"), RedisUnavailable)
        self.assertEqual(error.kind, "timeout")

    async def test_surplus(self) -> None:
        """A second reply to one call ends the connection before it can meet another call."""
        link = await self.canned(b"+one\r\n+two\r\n")
        self.assertEqual(await link.call("GET", "k"), b"one")
        await self.until(lambda: link.errors == {"protocol": 1})

    async def test_backlog(self) -> None:
        """A host that never accepts does not keep the link waiting for long."""
        import socket

        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            with socket.create_connection(listener.getsockname()):
                link = self.link_to(f"redis://127.0.0.1:{listener.getsockname()[1]}")
                await self.until(lambda: link.errors.get("timeout", 0) >= 2, seconds=4.0)
                self.assertEqual(link.reason, "no answer in time")
                await link.stop()

    async def test_no_such_host(self) -> None:
        """A name that does not exist is said, and tried again."""
        link = self.link_to("redis://no-such-host.invalid")
        await self.until(lambda: link.errors, seconds=5.0)
        self.assertFalse(link.ready)
        await link.stop()

    def test_embedded(self) -> None:
        """``embedded`` is not an address, and is refused when the link is made."""
        with self.assertRaises(ValueError):
            redis_link(self.reactor, Redis(), self.watch)

    async def test_stop_at_once(self) -> None:
        """A link that is stopped as soon as it was started leaves nothing behind."""
        link = self.link_to((await self.serving()).url)
        stopped: Deferred[None] = link.stop()
        await stopped
        self.assertEqual(self.watch.told, [(False, "stopped")])
