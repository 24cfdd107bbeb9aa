"""Requests that wait for the answer to another one."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.cache_kit import FRESH, Cached, answer, get, status
from tracseq_gateway.config.cache import Cache


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
