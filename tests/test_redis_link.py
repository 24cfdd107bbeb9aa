"""The link on a fake clock: when it is ready, what it says of itself, and how it comes back."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.redis_kit import GREETINGS, PaperRedis, paper_link
from tracseq_gateway.config.redis_url import Login
from tracseq_gateway.redis.errors import RedisError, RedisUnavailable
from tracseq_gateway.redis.link import BEAT, CODES, FIRST_PAUSE, LONGEST_PAUSE
from tracseq_gateway.redis.target import ATTEMPT_SECONDS

REPLICA = b"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:0\r\n"


class LinkTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.redis = PaperRedis(self.clock)

    def link(self, login: Login = Login(), **rest: Any) -> None:  # noqa: B008
        self.link_, self.watch = paper_link(self.redis, login, **rest)

    def settle(self) -> None:
        """Let what is due now happen."""
        self.clock.advance(0)

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.01] * round(seconds / 0.01))

    def assertUnavailable(self, kind: str = "connection") -> None:
        """A call fails at once."""
        self.assertFalse(self.link_.ready)
        self.assertEqual(self.failureResultOf(self.link_.call("PING"), RedisUnavailable).value.kind, kind)


class GreetingTests(LinkTestCase):
    def test_ready(self) -> None:
        """It is ready when a server has shown that it is a master and answers; that is told once."""
        self.link()
        self.assertEqual(self.redis.last.commands, [[b"ROLE"], [b"PING"]])
        self.assertTrue(self.link_.ready)
        self.assertEqual(self.watch.told, [(True, "")])
        self.assertEqual((self.link_.reason, self.link_.errors), ("", {}))
        call = self.link_.call("GET", "k")
        self.assertEqual(self.redis.last.commands[-1], [b"GET", b"k"])
        self.redis.last.send(b"$1\r\nv\r\n")
        self.assertEqual(self.successResultOf(call), b"v")

    def test_login(self) -> None:
        """It logs in by user and password, or by password alone, and chooses its database."""
        self.link(Login("gate", "pw", 3))
        self.assertEqual(self.redis.last.commands[:2], [[b"AUTH", b"gate", b"pw"], [b"SELECT", b"3"]])
        self.assertTrue(self.link_.ready)
        self.link(Login("", "pw"))
        self.assertEqual(self.redis.last.commands[0], [b"AUTH", b"pw"])

    def test_refused(self) -> None:
        """A server that refuses the greeting is not ready; its reason is told, its error counted, and it is left."""
        cases = {
            b"PING": [b"-LOADING Redis is loading the dataset in memory", b"-BUSY Redis is busy running a script."],
            b"SELECT": [b"-ERR DB index is out of range", b"-NOAUTH Authentication required."],
            b"AUTH": [b"-WRONGPASS invalid username-password pair or user is disabled.", b"-ERR max number of clients"],
        }
        for command, replies in cases.items():
            for reply in replies:
                self.redis.answers[command] = reply + b"\r\n"
                self.link(Login("", "pw", 1))
                self.assertEqual(self.watch.told, [(False, reply[1:].decode())])
                self.assertEqual(self.link_.errors, {reply[1:].split()[0].decode(): 1})
                self.assertTrue(self.redis.last.transport.aborted)
                self.assertUnavailable()
            self.redis.answers[command] = GREETINGS[command]

    def test_secret(self) -> None:
        """A server that quotes what it was sent does not get a password into a reason."""
        self.redis.answers[b"AUTH"] = b"-ERR unknown command 'AUTH', with args beginning with: 'hush' \r\n"
        self.link(Login("", "hush"))
        self.assertEqual(self.watch.told, [(False, "ERR unknown command")])

    def test_replica(self) -> None:
        """A replica is not ready; one that does not tell its role is believed."""
        self.redis.answers[b"ROLE"] = REPLICA
        self.link()
        self.assertEqual(self.watch.told, [(False, "the server is not a master")])
        self.assertEqual(self.link_.errors, {"replica": 1})
        self.redis.answers[b"ROLE"] = b"-NOPERM this user has no permissions\r\n"
        self.link()
        self.assertTrue(self.link_.ready)

    def test_silent(self) -> None:
        """A server that accepts and then says nothing is given up in time."""
        self.redis.answers.clear()
        self.link()
        self.assertEqual(self.watch.told, [])
        self.clock.advance(ATTEMPT_SECONDS)
        self.assertEqual(self.watch.told, [(False, "no answer in time")])
        self.assertEqual(self.link_.errors, {"timeout": 1})
        self.assertTrue(self.redis.last.transport.aborted)

    def test_garbage(self) -> None:
        """What answers in another tongue, or closes at once, is left."""
        self.redis.answers.clear()
        self.link()
        self.redis.last.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertEqual(self.link_.errors, {"protocol": 1})
        self.link()
        self.redis.last.close()
        self.assertEqual(self.watch.told, [(False, "closed by the server")])

    def test_subscribed(self) -> None:
        """With a channel it is ready when it is subscribed; messages reach who listens."""
        heard: list[bytes] = []
        self.redis.answers[b"SUBSCRIBE"] = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
        self.redis.answers[b"PING"] = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
        self.link(listen=("c", heard.append))
        self.assertEqual(self.redis.last.commands, [[b"ROLE"], [b"SUBSCRIBE", b"c"], [b"PING"]])
        self.assertTrue(self.link_.ready)
        self.redis.last.send(b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n")
        self.assertEqual(heard, [b"hi"])


class CallTests(LinkTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.link()

    def test_error(self) -> None:
        """An error reply fails its call by its code, is counted, and the connection goes on."""
        for number, code in enumerate(("NOSCRIPT", "OOM", "WRONGTYPE", "MISCONF", "ERR", "NOPERM")):
            call = self.link_.call("EVALSHA", "x", 0)
            self.redis.last.send(f"-{code} something\r\n".encode())
            self.assertEqual(self.failureResultOf(call, RedisError).value.code, code)
            self.assertEqual(len(self.link_.errors), number + 1)
        self.assertTrue(self.link_.ready)
        self.assertEqual(len(self.redis.connections), 1)

    def test_useless(self) -> None:
        """A server that says it is of no use is left, and asked anew; the caller still hears what it said."""
        for code in ("READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "BUSY"):
            self.link()
            first, second = self.link_.call("EVALSHA"), self.link_.call("EVALSHA")
            self.redis.last.send(f"-{code} of no use\r\n".encode())
            self.assertEqual(self.failureResultOf(first, RedisError).value.code, code)
            self.assertEqual(self.failureResultOf(second, RedisUnavailable).value.reason, f"{code} of no use")
            self.assertTrue(self.redis.last.transport.aborted)
            self.assertEqual(self.watch.told, [(True, ""), (False, f"{code} of no use")])
            self.assertEqual(self.link_.errors, {code: 1})
            self.pass_time(1.0)
            self.assertTrue(self.link_.ready)

    def test_distrusted(self) -> None:
        """Who asked may say that a reply was none to his question: the connection ends, with all that waits on it."""
        self.link()
        waiting = self.link_.call("GET", "k")
        self.link_.distrust("a reply of another form")
        self.assertEqual(self.failureResultOf(waiting, RedisUnavailable).value.kind, "protocol")
        self.assertUnavailable()
        self.assertEqual(self.link_.errors, {"protocol": 1})
        self.link_.distrust("there is none any more")

    def test_counters_bounded(self) -> None:
        """A server cannot invent counters."""
        for number in range(100):
            self.link_.call("GET", "k").addErrback(lambda failure: failure.trap(RedisError))
            self.redis.last.send(b"-X%d\r\n" % number)
        self.assertEqual(self.link_.errors, {"OTHER": 100})
        self.assertNotIn("OTHER", CODES)

    def test_timeout(self) -> None:
        """A call that is not answered in time ends the connection; its late reply meets no other call."""
        call = self.link_.call("GET", "k")
        old = self.redis.last
        self.clock.advance(0.05)
        self.assertEqual(self.failureResultOf(call, RedisUnavailable).value.kind, "timeout")
        self.assertEqual(self.watch.told[1:], [(False, "no answer within 0.05 seconds")])
        self.assertEqual(self.link_.errors, {"timeout": 1})
        self.assertUnavailable()
        self.pass_time(0.1)
        call = self.link_.call("GET", "other")
        old.protocol.dataReceived(b"$4\r\nlate\r\n")
        self.assertNoResult(call)
        self.redis.last.send(b"$5\r\nright\r\n")
        self.assertEqual(self.successResultOf(call), b"right")

    def test_unavailable_at_once(self) -> None:
        """Without a connection a call fails at once, with the reason; nothing is queued."""
        self.redis.up = False
        self.redis.last.close()
        failure = self.failureResultOf(self.link_.call("GET", "k"), RedisUnavailable)
        self.assertEqual(failure.value.reason, "closed by the server")

    def test_beat(self) -> None:
        """An idle connection is asked now and then, and left when it does not answer; a busy one is not asked."""
        self.clock.advance(BEAT)
        self.settle()
        self.assertEqual(self.redis.last.commands[2:], [[b"PING"]])
        self.clock.advance(BEAT - 0.01)
        call = self.link_.call("GET", "k")
        self.clock.advance(0.01)
        self.assertEqual(self.redis.last.commands[3:], [[b"GET", b"k"]])
        self.redis.last.send(b"$-1\r\n")
        self.assertEqual(self.successResultOf(call), None)
        del self.redis.answers[b"PING"]
        self.pass_time(BEAT + 0.1)
        self.assertFalse(self.link_.ready)
        self.assertEqual(self.link_.errors, {"timeout": 1})

    def test_stop(self) -> None:
        """After a stop, waiting calls have failed, no timer runs, and it is told; once the connection is gone, too."""
        call = self.link_.call("GET", "k")
        stopped = self.link_.stop()
        self.assertEqual(self.failureResultOf(call, RedisUnavailable).value.kind, "stopped")
        self.assertEqual(self.watch.told[1:], [(False, "stopped")])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNoResult(stopped)
        self.redis.last.close()
        self.successResultOf(stopped)
        self.successResultOf(self.link_.stop())
        self.assertEqual(self.link_.errors, {})
        self.assertUnavailable()


class ReturnTests(LinkTestCase):
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.redis.attempts)]

    def test_back_off(self) -> None:
        """The pauses double from the first to the longest, each less up to a half by chance; for ever."""
        self.redis.up = False
        self.link()
        self.pass_time(60.0)
        expected = [min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures) for failures in range(1, len(self.pauses()) + 1)]
        for pause, longest in zip(self.pauses(), expected, strict=True):
            self.assertLess(pause, longest + 0.02)
            self.assertGreater(pause, longest / 2 - 0.001)
        self.assertGreater(len({round(pause, 3) for pause in self.pauses()[5:]}), 10)
        self.assertEqual(len(self.watch.told), 1)
        self.assertEqual(self.link_.errors, {"connection": len(self.redis.attempts)})

    def test_recovery(self) -> None:
        """After however long, it is ready within two seconds of the server's return, and each change is told once."""
        for away in (0.3, 5.0, 60.0):
            self.redis.up = True
            self.link()
            self.pass_time(2.0)
            self.redis.up = False
            self.redis.last.close()
            self.pass_time(away)
            self.redis.up = True
            self.pass_time(2.0)
            self.assertTrue(self.link_.ready)
            self.assertEqual(self.watch.told, [(True, ""), (False, "closed by the server"), (True, "")])
            self.link_.stop()

    def test_soon_after_one_loss(self) -> None:
        """A connection that lasted and is lost is replaced after the first pause."""
        self.link()
        self.pass_time(2.0)
        self.redis.last.close()
        self.pass_time(FIRST_PAUSE + 0.01)
        self.assertTrue(self.link_.ready)

    def test_short_lived(self) -> None:
        """Connections that end as soon as they are ready do not come ever faster."""
        self.link()
        for _ in range(20):
            self.redis.last.close()
            while not self.link_.ready:
                self.pass_time(0.01)
        self.assertGreater(min(self.pauses()[8:]), LONGEST_PAUSE / 2)

    def test_stop_while_away(self) -> None:
        """A stop between two attempts, and one within an attempt, leave nothing behind."""
        self.redis.up = False
        self.link()
        self.successResultOf(self.link_.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.redis.up = True
        self.redis.answers.clear()
        self.link()
        stopped = self.link_.stop()
        self.assertTrue(self.redis.last.transport.aborted)
        self.redis.last.close()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.pass_time(5.0)
        self.assertEqual(self.watch.told, [(False, "stopped")])

    def test_start_again(self) -> None:
        """A link that was stopped can be started again."""
        self.link()
        self.link_.stop()
        self.redis.last.close()
        self.link_.start()
        self.settle()
        self.assertEqual([ready for ready, _ in self.watch.told], [True, False, True])

    def test_observer_raises(self) -> None:
        """An observer that raises is logged, and harms nothing."""
        self.redis.answers[b"PING"] = b"-LOADING\r\n"
        self.link()
        self.watch.told = None  # type: ignore[assignment]
        self.redis.answers[b"PING"] = GREETINGS[b"PING"]
        self.pass_time(1.0)
        self.assertTrue(self.link_.ready)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_observer_stops(self) -> None:
        """An observer may stop the link from within what it is told."""
        self.link()

        def stop(ready: bool, reason: str) -> None:
            self.link_.stop()

        self.link_._changed = stop
        self.redis.last.close()
        self.pass_time(5.0)
        self.assertEqual(len(self.redis.attempts), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
