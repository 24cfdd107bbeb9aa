"""What is stale: it is asked about, given all the same, or has changed."""

from __future__ import annotations

from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests import kit
from tests.cache_kit import FRESH, Cached, answer, get, status


class RevalidationTests(SynchronousTestCase):
    def test_confirmed(self) -> None:
        """What is stale is asked about with its validators, and given again once it was found to hold."""
        cached = Cached(
            answer(b"Cache-Control: max-age=60", b'ETag: "1"', b"Last-Modified: Mon, 01 Jun 2026 00:00:00 GMT")
        )
        cached.ask()
        cached.pass_time(61)
        cached.says(answer(b"Cache-Control: max-age=30", b"X-New: 1", status=b"304 Not Modified"))
        given = cached.ask()
        self.assertEqual(cached.asked[1].values(b"if-none-match"), [b'"1"'])
        self.assertEqual(cached.asked[1].values(b"if-modified-since"), [b"Mon, 01 Jun 2026 00:00:00 GMT"])
        self.assertEqual((given.status, given.body), (200, b"kept"))
        self.assertEqual(status(given), b"tracseq-gateway; fwd=stale; fwd-status=304")
        self.assertEqual(given.values(b"x-new"), [b"1"])
        cached.pass_time(10)
        self.assertEqual(status(cached.ask()), b"tracseq-gateway; hit; ttl=20")
        self.assertEqual(cached.results, {"miss": 1, "revalidated": 1, "hit": 1})

    def test_replaced(self) -> None:
        """A new answer takes the place of what was stale."""
        cached = Cached()
        cached.ask()
        cached.pass_time(61)
        cached.says(answer(b"Cache-Control: max-age=60", body=b"new"))
        self.assertEqual(status(cached.ask()), b"tracseq-gateway; fwd=stale; stored")
        self.assertEqual(cached.ask().body, b"new")

    def test_gone(self) -> None:
        """A new answer that may not be kept leaves nothing of the old one."""
        cached = Cached()
        cached.ask()
        cached.pass_time(61)
        cached.says(answer(b"Cache-Control: no-store", body=b"secret"))
        cached.ask()
        self.assertEqual(status(cached.ask()), b"tracseq-gateway; fwd=uri-miss")

    def test_client_conditions(self) -> None:
        """A client's conditions are between it and the cache; the service sees those of what is kept."""
        cached = Cached()
        cached.ask()
        given = cached.ask(get(b"/a", b'If-None-Match: W/"1"'))
        self.assertEqual((given.status, given.body, status(given)), (304, b"", b"tracseq-gateway; hit; ttl=60"))
        self.assertEqual(given.values(b"etag"), [b'"1"'])
        self.assertEqual(cached.ask(get(b"/a", b'If-None-Match: "2"')).status, 200)
        cached.pass_time(61)
        cached.says(answer(status=b"304 Not Modified"))
        self.assertEqual(cached.ask(get(b"/a", b'If-None-Match: "0"')).status, 200)
        self.assertEqual(cached.asked[-1].values(b"if-none-match"), [b'"1"'])
        cached.pass_time(61)
        self.assertEqual(cached.ask(get(b"/a", b'If-None-Match: "0", "1"')).status, 304)

    def test_conditions_of_nothing(self) -> None:
        """Where nothing is kept a client's conditions go to the service, and its 304 to the client."""
        cached = Cached(answer(b"Cache-Control: max-age=60", status=b"304 Not Modified"))
        given = cached.ask(get(b"/a", b'If-None-Match: "1"'))
        self.assertEqual((given.status, status(given)), (304, b"tracseq-gateway; fwd=uri-miss"))
        self.assertEqual(cached.asked[0].values(b"if-none-match"), [b'"1"'])
        cached.says(FRESH)
        self.assertIn(b"fwd=uri-miss", status(cached.ask()))

    def test_confirmed_for_one(self) -> None:
        """A 304 that makes what is kept somebody's, by a cookie or by what it says, answers him, and nobody else."""
        for line in (b"Set-Cookie: session=his", b"Cache-Control: private", b"Cache-Control: no-store"):
            cached = Cached()
            cached.ask()
            cached.pass_time(61)
            cached.says(None)
            first, second = cached.ask_later(), cached.ask_later()
            confirming = cached.gateway.service.connections[-1]
            cached.says(FRESH)
            confirming.answer(answer(line, status=b"304 Not Modified"))
            cached.gateway.service.run()
            (given,), (others,) = first.answers(), second.answers()
            self.assertEqual((given.status, given.body), (200, b"kept"), line)
            self.assertEqual(others.values(b"set-cookie"), [])
            self.assertEqual(len(cached.asked), 3, line)
            self.assertEqual(cached.ask().values(b"set-cookie"), [], line)

    def test_confirmed_with_cookie(self) -> None:
        """Who has the answer already gets the cookie that came with its confirmation."""
        cached = Cached()
        cached.ask()
        cached.pass_time(61)
        cached.says(answer(b"Set-Cookie: session=his", status=b"304 Not Modified"))
        given = cached.ask(get(b"/a", b'If-None-Match: "1"'))
        self.assertEqual((given.status, given.values(b"set-cookie")), (304, [b"session=his"]))
        cached.says(FRESH)
        given = cached.ask()
        self.assertEqual((status(given), given.values(b"set-cookie")), (b"tracseq-gateway; fwd=uri-miss; stored", []))

    def test_other_confirmed(self) -> None:
        """A 304 that names another representation answers a request, but freshens nothing of what is kept."""
        cached = Cached()
        cached.ask()
        cached.pass_time(61)
        cached.says(answer(b'ETag: "other"', b"Cache-Control: max-age=900", status=b"304 Not Modified"))
        for _ in range(2):
            given = cached.ask()
            self.assertEqual((given.body, given.values(b"etag")), (b"kept", [b'"1"']))
            self.assertIn(b"fwd=stale", status(given))

    def test_no_cache(self) -> None:
        """What must not be given without asking is kept to be asked about."""
        cached = Cached(answer(b"Cache-Control: no-cache", b'ETag: "1"'))
        cached.ask()
        cached.says(answer(status=b"304 Not Modified"))
        given = cached.ask()
        self.assertEqual((given.body, status(given)), (b"kept", b"tracseq-gateway; fwd=stale; fwd-status=304"))


class StaleTests(SynchronousTestCase):
    def stale(self, *, control: bytes = b"max-age=60, stale-if-error=100") -> Cached:
        """A cache with an answer that has been stale for 40 s."""
        cached = Cached(answer(b"Cache-Control: " + control, b'ETag: "1"'))
        cached.ask()
        cached.pass_time(100)
        return cached

    def test_error(self) -> None:
        """When a service fails, what is stale is given where that is allowed; else the client sees the failure."""
        cached = self.stale()
        cached.says(answer(status=b"500 Internal Server Error", body=b"x" * 100))
        given = cached.ask()
        self.assertEqual((given.status, given.body), (200, b"kept"))
        self.assertEqual(status(given), b"tracseq-gateway; fwd=stale; fwd-status=500")
        self.assertEqual(cached.results, {"miss": 1, "stale": 1})
        for control in (
            b"max-age=60",
            b"max-age=60, stale-if-error=30",
            b"max-age=60, stale-if-error=100, must-revalidate",
        ):
            cached = self.stale(control=control)
            cached.says(answer(status=b"500 Internal Server Error"))
            self.assertEqual(cached.ask().status, 500, control)

    def test_unreachable(self) -> None:
        """The same holds when there is no service at all."""
        cached = self.stale()
        cached.gateway.service.connections[0].close()
        cached.gateway.service.refuse = Failure(ConnectionRefusedError())
        given = cached.ask()
        self.assertEqual((given.status, given.body, status(given)), (200, b"kept", b"tracseq-gateway; fwd=stale"))
        cached.pass_time(100)
        self.assertEqual(cached.ask().status, 502)

    def test_slow_failure(self) -> None:
        """A failure that goes on and on does not hold up a large answer that was kept."""
        body = b"y" * 300_000
        cached = Cached(answer(b"Cache-Control: max-age=1, stale-if-error=100", b'ETag: "1"', body=body))
        cached.ask()
        cached.pass_time(5)
        cached.says(None)
        client = cached.gateway.client()
        client.transport.stalled = True
        client.send(get())
        connection = cached.gateway.service.connections[-1]
        connection.answer(b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nno")
        connection.answer(b"!!")
        client.transport.drain()
        (given,) = client.answers()
        self.assertEqual(given.body, body)

    def test_meanwhile(self) -> None:
        """While one asks, others get what is stale at once, where that is allowed."""
        cached = self.stale(control=b"max-age=60, stale-while-revalidate=100")
        cached.says(None)
        first = cached.ask_later()
        given = cached.ask()
        self.assertEqual((given.body, status(given)), (b"kept", b"tracseq-gateway; hit; ttl=-40"))
        cached.gateway.service.connections[-1].answer(answer(status=b"304 Not Modified"))
        self.assertEqual(status(first.answers()[0]), b"tracseq-gateway; fwd=stale; fwd-status=304")
        self.assertEqual(status(cached.ask()), b"tracseq-gateway; hit; ttl=60")


class InvalidationTests(SynchronousTestCase):
    def test_changed(self) -> None:
        """A request that may change something has what is kept of its target dropped, if it succeeds."""
        for method, said, expected in (
            (b"PUT", b"204 No Content", b"fwd=uri-miss"),
            (b"POST", b"303 See Other", b"fwd=uri-miss"),
            (b"DELETE", b"404 Not Found", b"hit"),
            (b"PATCH", b"500 Internal Server Error", b"hit"),
            (b"OPTIONS", b"200 OK", b"hit"),
        ):
            cached = Cached()
            cached.ask()
            cached.says(answer(status=said, body=b""))
            self.assertEqual(status(cached.ask(get(method=method))), b"tracseq-gateway; fwd=method")
            cached.says(FRESH)
            self.assertIn(expected, status(cached.ask()), method)

    def test_named(self) -> None:
        """So is what its answer names on the same host, as Location or Content-Location."""
        for line, expected in (
            (b"Location: /a", b"fwd=uri-miss"),
            (b"Content-Location: http://lab/a", b"fwd=uri-miss"),
            (b"Location: a", b"fwd=uri-miss"),
            (b"Location: http://elsewhere/a", b"hit"),
            (b"Location: http://[/a", b"hit"),
        ):
            cached = Cached()
            cached.ask()
            cached.says(answer(line, status=b"201 Created"))
            cached.ask(get(b"/b", method=b"POST"))
            cached.says(FRESH)
            self.assertIn(expected, status(cached.ask()), line)

    def test_under_way(self) -> None:
        """What was asked before a change is not kept after it, and nobody who comes after it waits for that."""
        cached = Cached(None)
        before = cached.ask_later()
        cached.gateway.service.answer = answer(status=b"204 No Content")
        cached.ask(get(method=b"PUT"))
        cached.says(None)
        cached.pass_time(0.1)
        after = cached.ask_later()
        one, _, two = cached.gateway.service.connections
        one.answer(answer(b"Cache-Control: max-age=60", body=b"old"))
        self.assertEqual(before.answers()[0].body, b"old")
        self.assertEqual(after.received, b"")
        two.answer(answer(b"Cache-Control: max-age=60", body=b"new"))
        self.assertEqual(after.answers()[0].body, b"new")
        self.assertEqual(cached.ask().body, b"new")

    def test_clock_set_back(self) -> None:
        """So it is also when the clock of the machine is set back meanwhile."""
        cached = Cached(None)
        before = cached.ask_later()
        self.patch(kit, "EPOCH", kit.EPOCH - 3600)
        cached.says(answer(status=b"204 No Content"))
        cached.ask(get(method=b"PUT"))
        cached.gateway.service.connections[0].answer(answer(b"Cache-Control: max-age=60", body=b"old"))
        self.assertEqual(before.answers()[0].body, b"old")
        cached.says(answer(body=b"new"))
        self.assertEqual(cached.ask().body, b"new")
