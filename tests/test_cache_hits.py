"""Kept answers as clients meet them: what is kept, for whom, and what passes by."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.cache_kit import FRESH, Cached, answer, get, status
from tracseq_gateway.cache import copying
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
        """Requests for a part or a stream, with a body or with conditions for the service, pass by."""
        cached = Cached()
        cached.ask()
        for data in (
            get(b"/a", b"Range: bytes=0-1"),
            get(b"/a", b'If-Match: "1"'),
            get(b"/a", b"Content-Length: 2") + b"hi",
            get(b"/a", b"Accept: text/event-stream"),
        ):
            self.assertEqual(status(cached.ask(data)), b"tracseq-gateway; fwd=bypass")
        self.assertEqual(cached.results, {"miss": 1, "passed": 4})

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

    def test_many_at_once(self) -> None:
        """Copies of answers that are still on their way take bounded room, and give it back: slow clients have many."""
        self.patch(copying, "MOST_COPIED", 10)
        cached = Cached(None)
        for leaves in (True, False):
            clients = [cached.ask_later(get(path)) for path in (b"/a", b"/b")]
            connections = cached.gateway.service.connections[-2:]
            for connection in connections:
                connection.answer(answer(b"Cache-Control: max-age=60", body=b"12345678")[:-2])
            if leaves:
                clients[0].leave()
            for connection in connections:
                connection.answer(b"78")
            self.assertEqual(clients[1].answers()[0].body, b"12345678")
            cached.gateway.service.run()
        cached.says(FRESH)
        self.assertEqual(status(cached.ask(get(b"/a"))), b"tracseq-gateway; hit; ttl=60")
        self.assertIn(b"fwd=uri-miss", status(cached.ask(get(b"/b"))))
        self.assertIn(b"hit", status(cached.ask(get(b"/b"))))

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
