"""Kept answers as clients meet them."""

from __future__ import annotations

from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.cache_kit import FRESH, Cached, answer, get, status
from tracseq_gateway.config import Size
from tracseq_gateway.config.cache import Cache


class HitTests(SynchronousTestCase):
    def test_hit(self) -> None:
        """What is fresh is given again, with its age, and the service hears nothing of it."""
        cached = Cached()
        first = cached.ask()
        self.assertEqual((first.body, status(first)), (b"kept", b"tracseq-gateway; fwd=uri-miss; stored"))
        self.assertEqual(first.values(b"age"), [])
        cached.pass_time(10)
        second = cached.ask()
        self.assertEqual((second.status, second.body), (200, b"kept"))
        self.assertEqual(status(second), b"tracseq-gateway; hit; ttl=50")
        self.assertEqual(second.values(b"age"), [b"10"])
        self.assertEqual(second.values(b"etag"), [b'"1"'])
        self.assertEqual(len(second.values(b"date")), 1)
        self.assertEqual(len(second.values(b"x-request-id")), 1)
        self.assertNotEqual(first.values(b"x-request-id"), second.values(b"x-request-id"))
        self.assertEqual(len(cached.asked), 1)
        self.assertEqual(cached.results, {"miss": 1, "hit": 1})

    def test_off(self) -> None:
        """A service that does not say so has none of its answers kept, nor does any answer speak of it."""
        cached = Cached(answer(b"Content-Type: text/plain"))
        for _ in range(2):
            self.assertEqual(status(cached.ask()), b"tracseq-gateway; fwd=uri-miss")
        self.assertEqual(len(cached.asked), 2)

    def test_head(self) -> None:
        """HEAD is answered by what was kept of a GET, and asks for nothing to be kept."""
        cached = Cached()
        self.assertEqual(status(cached.ask(get(method=b"HEAD"))), b"tracseq-gateway; fwd=uri-miss")
        cached.ask()
        given = cached.ask(get(method=b"HEAD"))
        self.assertEqual((given.status, given.values(b"content-length"), given.body), (200, [b"4"], b""))
        self.assertEqual(len(cached.asked), 2)

    def test_target(self) -> None:
        """Another host, path or query is another target."""
        cached = Cached()
        for data in (get(), get(b"/b"), get(b"/a?x=1"), get(b"/a?x=2"), get(host=b"other")):
            cached.ask(data)
        self.assertEqual(len(cached.asked), 5)
        for data in (get(), get(b"/a?x=2"), get(host=b"LAB")):
            self.assertIn(b"hit", status(cached.ask(data)))

    def test_others(self) -> None:
        """What a cache before ours says stays before what we say; what is kept keeps it, too."""
        cached = Cached(answer(b"Cache-Control: max-age=60", b"Cache-Status: edge; hit", b"Age: 20"))
        self.assertEqual(status(cached.ask()), b"edge; hit, tracseq-gateway; fwd=uri-miss; stored")
        again = cached.ask()
        self.assertEqual(status(again), b"edge; hit, tracseq-gateway; hit; ttl=40")
        self.assertEqual(again.values(b"age"), [b"20"])

    def test_large(self) -> None:
        """A large body goes to a slow client as it takes it, and whole."""
        body = bytes(range(256)) * 2000
        cached = Cached(answer(b"Cache-Control: max-age=60", body=body))
        cached.ask()
        client = cached.gateway.client()
        client.transport.stalled = True
        client.send(get())
        self.assertLess(len(client.received), 200_000)
        client.transport.drain()
        (given,) = client.answers()
        self.assertEqual(given.body, body)
        self.assertEqual(len(cached.asked), 1)

    def test_chunked(self) -> None:
        """An answer of unknown length is kept once it is whole, and then has a length."""
        cached = Cached(
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        )
        self.assertEqual(status(cached.ask()), b"tracseq-gateway; fwd=uri-miss")
        given = cached.ask()
        self.assertEqual((given.framing, given.body), ("length", b"ab"))

    def test_broken(self) -> None:
        """An answer that breaks off is not kept."""
        cached = Cached(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: 9\r\n\r\nshort")
        client = cached.gateway.exchange(get())
        cached.gateway.service.connections[0].close()
        self.assertTrue(client.closed)
        cached.says(FRESH)
        self.assertIn(b"fwd=uri-miss", status(cached.ask()))


class PassingTests(SynchronousTestCase):
    def test_bypass(self) -> None:
        """Requests for a part, with a body or with conditions for the service pass by, and nothing of them is kept."""
        cached = Cached()
        cached.ask()
        for data in (
            get(b"/a", b"Range: bytes=0-1"),
            get(b"/a", b'If-Match: "1"'),
            get(b"/a", b"Content-Length: 2") + b"hi",
        ):
            self.assertEqual(status(cached.ask(data)), b"tracseq-gateway; fwd=bypass")
        self.assertEqual(cached.results, {"miss": 1, "passed": 3})

    def test_part(self) -> None:
        """206 is never kept."""
        cached = Cached(
            answer(b"Cache-Control: max-age=60", b"Content-Range: bytes 0-3/9", status=b"206 Partial Content")
        )
        cached.ask()
        cached.ask()
        self.assertEqual(len(cached.asked), 2)

    def test_cookies(self) -> None:
        """What sets a cookie is not kept."""
        cached = Cached(answer(b"Cache-Control: public, max-age=60", b"Set-Cookie: a=b"))
        self.assertEqual(status(cached.ask()), b"tracseq-gateway; fwd=uri-miss")
        cached.ask()
        self.assertEqual(len(cached.asked), 2)

    def test_no_store(self) -> None:
        """A request with no-store is answered, and its answer not kept."""
        cached = Cached()
        cached.ask(get(b"/a", b"Cache-Control: no-store"))
        self.assertEqual(status(cached.ask()), b"tracseq-gateway; fwd=uri-miss; stored")

    def test_largest(self) -> None:
        """What is larger than the largest passes whole and is not kept, whether it says its length or not."""
        big = b"x" * 5000
        chunked = (
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n%b\r\n0\r\n\r\n"
        )
        for said in (answer(b"Cache-Control: max-age=9", body=big), chunked % big):
            cached = Cached(said, cache=Cache(largest=Size(2048)))
            for _ in range(2):
                given = cached.ask()
                self.assertEqual((given.body, status(given)), (big, b"tracseq-gateway; fwd=uri-miss"))


class IdentityTests(SynchronousTestCase):
    CREDENTIALS = (b"Authorization: Basic eDp5", b"Cookie: session=1", b"X-API-Key: secret")

    def test_apart(self) -> None:
        """What somebody's credential got is nobody else's, nor his own again, unless it says that it is for all."""
        for line in self.CREDENTIALS:
            cached = Cached()
            self.assertEqual(status(cached.ask(get(b"/a", line))), b"tracseq-gateway; fwd=uri-miss")
            self.assertEqual(status(cached.ask(get(b"/a", line))), b"tracseq-gateway; fwd=uri-miss")
            self.assertEqual(status(cached.ask()), b"tracseq-gateway; fwd=uri-miss; stored")
            self.assertEqual(status(cached.ask(get(b"/a", line))), b"tracseq-gateway; fwd=request")
            self.assertEqual(status(cached.ask()), b"tracseq-gateway; hit; ttl=60")

    def test_shared(self) -> None:
        """Answers that are public, or for shared caches, are kept and given to all."""
        for control in (b"public, max-age=60", b"s-maxage=60", b"max-age=60, must-revalidate"):
            cached = Cached(answer(b"Cache-Control: " + control))
            cached.ask(get(b"/a", self.CREDENTIALS[0]))
            for lines in ((), self.CREDENTIALS[:1], (b"Cookie: other=1",)):
                self.assertIn(b"hit", status(cached.ask(get(b"/a", *lines))), control)

    def test_private(self) -> None:
        """Private answers are kept for nobody."""
        for control in (b"private, max-age=60", b'public, max-age=60, private="x"', b"no-store, max-age=60"):
            cached = Cached(answer(b"Cache-Control: " + control))
            cached.ask()
            cached.ask()
            self.assertEqual(len(cached.asked), 2, control)


class VaryTests(SynchronousTestCase):
    def test_variants(self) -> None:
        """Of an answer that varies, each request gets the one that was made for its like."""
        cached = Cached(answer(b"Cache-Control: max-age=60", b"Vary: Accept-Language", body=b"hallo"))
        cached.ask(get(b"/a", b"Accept-Language: de"))
        cached.says(answer(b"Cache-Control: max-age=60", b"Vary: Accept-Language", body=b"hello"))
        other = cached.ask(get(b"/a", b"Accept-Language: en"))
        self.assertEqual(status(other), b"tracseq-gateway; fwd=vary-miss; stored")
        for language, body in ((b"de", b"hallo"), (b"EN", b"hello")):
            given = cached.ask(get(b"/a", b"Accept-Language: " + language))
            self.assertEqual((given.body, status(given)), (body, b"tracseq-gateway; hit; ttl=60"))
        self.assertEqual(len(cached.asked), 2)

    def test_star(self) -> None:
        """What varies by anything is not kept."""
        cached = Cached(answer(b"Cache-Control: max-age=60", b"Vary: Accept, *"))
        cached.ask()
        cached.ask()
        self.assertEqual(len(cached.asked), 2)

    def test_own_fields(self) -> None:
        """What counts is the field as the service got it: a client cannot choose by one that the gateway replaces."""
        cached = Cached(answer(b"Cache-Control: max-age=60", b"Vary: X-Forwarded-For, X-User-Role"))
        cached.ask(get(b"/a", b"X-Forwarded-For: 203.0.113.1", b"X-User-Role: guest"))
        given = cached.ask(get(b"/a", b"X-Forwarded-For: 203.0.113.2", b"X-User-Role: lab_administrator"))
        self.assertEqual(status(given), b"tracseq-gateway; hit; ttl=60")


class RequestDirectiveTests(SynchronousTestCase):
    def test_directives(self) -> None:
        """A client may want what is fresher, or take what is staler."""
        for age, lines, expected in (
            (10, (b"Cache-Control: no-cache",), b"tracseq-gateway; fwd=request; fwd-status=304"),
            (10, (b"Pragma: no-cache",), b"tracseq-gateway; fwd=request; fwd-status=304"),
            (10, (b"Cache-Control: max-age=5",), b"tracseq-gateway; fwd=request; fwd-status=304"),
            (10, (b"Cache-Control: max-age=15",), b"tracseq-gateway; hit; ttl=50"),
            (10, (b"Cache-Control: min-fresh=55",), b"tracseq-gateway; fwd=request; fwd-status=304"),
            (10, (b"Cache-Control: min-fresh=45",), b"tracseq-gateway; hit; ttl=50"),
            (70, (b"Cache-Control: max-stale",), b"tracseq-gateway; hit; ttl=-10"),
            (70, (b"Cache-Control: max-stale=15",), b"tracseq-gateway; hit; ttl=-10"),
            (70, (b"Cache-Control: max-stale=5",), b"tracseq-gateway; fwd=stale; fwd-status=304"),
            (70, (), b"tracseq-gateway; fwd=stale; fwd-status=304"),
        ):
            cached = Cached()
            cached.ask()
            cached.pass_time(age)
            cached.says(answer(status=b"304 Not Modified"))
            given = cached.ask(get(b"/a", *lines))
            self.assertEqual((status(given), given.body, given.status), (expected, b"kept", 200), lines)

    def test_only_if_cached(self) -> None:
        """A client that wants nothing but a kept answer gets it, or 504."""
        cached = Cached()
        self.assertEqual(cached.ask(get(b"/a", b"Cache-Control: only-if-cached")).status, 504)
        cached.ask()
        self.assertEqual(cached.ask(get(b"/a", b"Cache-Control: only-if-cached")).status, 200)
        self.assertEqual(len(cached.asked), 1)


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


class CollapsingTests(SynchronousTestCase):
    def test_collapsed(self) -> None:
        """Requests for the same while one is at the service wait for its answer, and get it."""
        cached = Cached(None)
        first, *others = [cached.ask_later() for _ in range(5)]
        self.assertEqual(len(cached.asked), 1)
        cached.gateway.service.connections[0].answer(FRESH)
        self.assertEqual(first.answers()[0].body, b"kept")
        for client in others:
            (given,) = client.answers()
            self.assertEqual((given.body, status(given)), (b"kept", b"tracseq-gateway; fwd=uri-miss; collapsed"))
        self.assertEqual(cached.results, {"miss": 1, "collapsed": 4})

    def test_unfit(self) -> None:
        """When the answer is not for all, those who waited go on at once, and the next ones do not wait at all."""
        cached = Cached(None)
        clients = [cached.ask_later() for _ in range(4)]
        cached.gateway.service.connections[0].answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbeg")
        self.assertEqual(len(cached.asked), 4)
        cached.ask_later()
        self.assertEqual(len(cached.asked), 5)
        for connection in cached.gateway.service.connections[1:4]:
            connection.answer(answer(body=b"own"))
        self.assertEqual([client.answers()[0].body for client in clients], [b"beg", b"own", b"own", b"own"])
        cached.pass_time(11)
        cached.ask_later()
        cached.ask_later()
        self.assertEqual(len(cached.asked), 6)

    def test_leader_leaves(self) -> None:
        """When the one who asks leaves, the next of those who wait asks in its place, and the others go on to wait."""
        cached = Cached(None)
        first, second, third = [cached.ask_later() for _ in range(3)]
        first.leave()
        self.assertEqual(len(cached.asked), 2)
        cached.gateway.service.connections[1].answer(FRESH)
        self.assertEqual(second.answers()[0].body, b"kept")
        self.assertIn(b"collapsed", status(third.answers()[0]))

    def test_leader_leaves_halfway(self) -> None:
        """The same when it leaves in the middle of its answer."""
        cached = Cached(None)
        first, second = cached.ask_later(), cached.ask_later()
        cached.gateway.service.connections[0].answer(FRESH[:-2])
        first.leave()
        cached.gateway.service.connections[1].answer(FRESH)
        self.assertEqual(second.answers()[0].body, b"kept")

    def test_waiting_leaves(self) -> None:
        """One who waits may leave."""
        cached = Cached(None)
        first, second = cached.ask_later(), cached.ask_later()
        second.leave()
        cached.gateway.service.connections[0].answer(FRESH)
        self.assertEqual(first.answers()[0].body, b"kept")
        self.assertEqual(second.received, b"")

    def test_failure(self) -> None:
        """When the service fails the first, those who waited ask for themselves."""
        cached = Cached(None)
        clients = [cached.ask_later() for _ in range(3)]
        cached.gateway.service.connections[0].answer(FRESH[:-2])
        cached.gateway.service.connections[0].close()
        self.assertTrue(clients[0].closed)
        self.assertEqual(len(cached.asked), 3)
        cached.gateway.service.connections[1].answer(FRESH)
        cached.gateway.service.connections[2].answer(FRESH)
        self.assertEqual([client.answers()[0].body for client in clients[1:]], [b"kept", b"kept"])

    def test_patience(self) -> None:
        """Nobody waits longer than is configured."""
        cached = Cached(None)
        cached.ask_later()
        second = cached.ask_later()
        cached.pass_time(4)
        self.assertEqual(len(cached.asked), 1)
        cached.pass_time(2)
        self.assertEqual(len(cached.asked), 2)
        cached.gateway.service.connections[1].answer(FRESH)
        self.assertEqual(second.answers()[0].body, b"kept")

    def test_crowd(self) -> None:
        """No more wait than is configured; the others ask for themselves."""
        cached = Cached(None, cache=Cache(waiting=1))
        for _ in range(3):
            cached.ask_later()
        self.assertEqual(len(cached.asked), 2)

    def test_variants(self) -> None:
        """Who turns out to be due another variant asks for himself, all of them at once."""
        cached = Cached(None)
        clients = [cached.ask_later(get(b"/a", b"Accept: " + kind)) for kind in (b"a/1", b"a/2", b"a/1", b"a/3")]
        varied = (b"Cache-Control: max-age=60", b"Vary: Accept")
        cached.gateway.service.connections[0].answer(answer(*varied, body=b"one"))
        self.assertEqual([len(client.answers()) for client in clients], [1, 0, 1, 0])
        self.assertEqual(len(cached.asked), 3)
        for connection in cached.gateway.service.connections:
            connection.answer(answer(*varied, body=b"other"))
        self.assertEqual([client.answers()[0].body for client in clients], [b"one", b"other", b"one", b"other"])
        self.assertIn(b"hit", status(cached.ask(get(b"/a", b"Accept: a/3"))))

    def test_credentials(self) -> None:
        """Nobody waits for the answer to somebody with a credential but others who have one."""
        cached = Cached(None)
        cached.ask_later(get(b"/a", b"Authorization: Basic eDp5"))
        cached.ask_later()
        self.assertEqual(len(cached.asked), 2)
        cached.ask_later(get(b"/a", b"Authorization: Basic eDp6"))
        self.assertEqual(len(cached.asked), 2)
        cached.gateway.service.connections[0].answer(FRESH)
        self.assertEqual(len(cached.asked), 3)

    def test_no_cache(self) -> None:
        """Who wants the service asked does not wait for an answer that was asked for before."""
        cached = Cached()
        cached.ask()
        cached.says(None)
        for _ in range(2):
            cached.ask_later(get(b"/a", b"Cache-Control: no-cache"))
        self.assertEqual(len(cached.asked), 3)
