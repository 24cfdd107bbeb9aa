"""The first bytes of a request's body: they come before an instance is asked, so that slow uploads hold none up."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryClient, MemoryGateway
from tracseq_gateway.config.keys import Size
from tracseq_gateway.config.model import Gateway, Service
from tracseq_gateway.config.policies import RateLimit, RateLimiting
from tracseq_gateway.config.upstream import Instance

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
UPLOAD = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n"


class BodyBufferTests(SynchronousTestCase):
    def open(self, length: int, fields: bytes = b"", **settings: Any) -> MemoryClient:
        """Send the head of an upload, with ten bytes of its body."""
        self.gateway = MemoryGateway(answer=None, **{"body_buffer": Size(100), **settings})
        self.service = self.gateway.service
        client = self.gateway.client()
        client.send(UPLOAD % (length, fields) + b"0" * 10)
        return client

    def assertAsked(self, *bodies: bytes) -> None:
        self.assertEqual([request.body for request in self.service.requests], list(bodies))

    def answered(self, client: MemoryClient, status: int = 200) -> None:
        for connection in self.service.connections:
            connection.answer(OK)
        self.assertEqual([answer.status for answer in client.answers(b"POST")], [status])

    def test_small(self) -> None:
        """A body that is shorter is waited for whole, and takes no connection before."""
        client = self.open(50)
        client.send(b"1" * 39)
        self.assertEqual(self.service.attempts, [])
        client.send(b"1")
        self.assertAsked(b"0" * 10 + b"1" * 40)
        self.answered(client)

    def test_at_once(self) -> None:
        """One that comes with its head is passed on at once; so is everything when nothing is waited for."""
        self.open(10)
        self.assertAsked(b"0" * 10)
        self.open(50, body_buffer=0)
        self.assertEqual(len(self.service.attempts), 1)

    def test_large(self) -> None:
        """Of a longer one the first bytes are waited for; the rest flows past."""
        client = self.open(500)
        client.send(b"1" * 89)
        self.assertEqual(self.service.attempts, [])
        client.send(b"2" * 11)
        self.assertEqual(len(self.service.attempts), 1)
        client.send(b"3" * 390)
        self.assertAsked(b"0" * 10 + b"1" * 89 + b"2" * 11 + b"3" * 390)
        self.answered(client)

    def test_chunked(self) -> None:
        """Nor does one of unknown length ask before so many bytes, or its end, have come."""
        gateway = MemoryGateway(body_buffer=Size(100))
        client = gateway.client()
        client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        self.assertEqual(gateway.service.attempts, [])
        client.send(b"0\r\n\r\n")
        gateway.service.run()
        self.assertEqual([request.body for request in gateway.service.requests], [b"abc"])
        self.assertEqual([answer.status for answer in client.answers(b"POST")], [200])

    def test_expected(self) -> None:
        """A client that waits for its 100 (Continue) gets it, or nothing would ever come."""
        gateway = MemoryGateway(body_buffer=Size(100))
        client = gateway.client()
        client.send(UPLOAD % (5, b"Expect: 100-continue\r\n"))
        self.assertEqual(client.received, b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"hello")
        self.assertEqual([request.body for request in gateway.service.requests], [b"hello"])

    def test_too_slow(self) -> None:
        """An upload that stalls is 408, and no instance has heard of it."""
        client = self.open(50)
        self.gateway.pass_time(31)
        self.assertEqual([answer.status for answer in client.answers(b"POST")], [408])
        self.assertEqual(self.service.attempts, [])

    def test_client_leaves(self) -> None:
        """So it is when its client goes away."""
        client = self.open(50)
        client.leave()
        self.assertEqual((self.service.attempts, self.gateway.worker.site.active), ([], 0))

    def test_places(self) -> None:
        """Uploads that have not come yet take no place of a request, however many there are, and however they end."""
        gateway = MemoryGateway(gateway=Gateway(max_concurrent_requests=2), body_buffer=Size(100))
        uploads = [gateway.client() for _ in range(20)]
        for client in uploads:
            client.send(UPLOAD % (50, b"") + b"0")
        self.assertEqual([answer.status for answer in gateway.exchange(GET).answers()], [200])
        for client in uploads[:5]:
            client.leave()
        gateway.service.answer = None
        for client in uploads[5:7]:
            client.send(b"0" * 49)
        self.assertEqual([answer.status for answer in gateway.exchange(GET).answers()], [503])
        for connection in gateway.service.connections:
            connection.answer(OK)
        gateway.pass_time(31, 1.0)
        gateway.service.answer = OK
        self.assertEqual([answer.status for answer in gateway.exchange(GET).answers()], [200])
        self.assertEqual((gateway.worker.site.busy, gateway.worker.site.awaited), (0, 0))

    def test_slow_logins(self) -> None:
        """Nor do logins whose bodies are looked at first."""
        gateway = MemoryGateway(
            gateway=Gateway(max_concurrent_requests=2),
            services={"auth": Service("auth", prefix="/auth", instances=(Instance("http://127.0.0.1:9001"),))},
            tables={"rate_limit": RateLimiting(enabled=True, default=RateLimit(1000, 1000))},
        )
        login = b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        for _ in range(20):
            gateway.client().send(login)
        self.assertEqual((gateway.worker.site.active, gateway.worker.site.busy), (20, 0))
        (answer,) = gateway.exchange(b"GET /auth/me HTTP/1.1\r\nHost: a\r\n\r\n").answers()
        self.assertEqual(answer.status, 200)

    def test_open_circuit(self) -> None:
        """Who may not pass need not bring his body first; who is let in to try is asked for it before he is."""
        gateway = MemoryGateway(body_buffer=Size(100))
        breaker = gateway.worker.services["all"].breaker
        breaker.hear("tripped")
        client = gateway.client()
        client.send(UPLOAD % (50, b""))
        self.assertEqual([answer.status for answer in client.answers(b"POST")], [503])
        gateway.pass_time(61, 1.0)
        client = gateway.client()
        client.send(UPLOAD % (50, b""))
        self.assertEqual(breaker.state, "open")
        client.send(b"0" * 50)
        gateway.service.run()
        self.assertEqual(([answer.status for answer in client.answers(b"POST")], breaker.state), ([200], "closed"))
