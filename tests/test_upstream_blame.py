"""What a client does is never held against an instance: nobody has one ejected, or a circuit opened, by being slow."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryClient, MemoryGateway
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.upstream import Admission, Instance, Timeouts

UPLOAD = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


class BlameTests(SynchronousTestCase):
    """A gateway before two instances, whose requests may take five seconds in all."""

    def make(self, answer: bytes | None = None, **settings: Any) -> None:
        self.gateway = MemoryGateway(
            answer=answer,
            timeouts=Timeouts(total=Seconds(5.0)),
            instances=(Instance("http://127.0.0.1:9001"), Instance("http://127.0.0.1:9002")),
            **settings,
        )
        self.upstream = self.gateway.worker.services["all"]

    def send(self, data: bytes) -> MemoryClient:
        client = self.gateway.client()
        client.send(data)
        self.gateway.service.run()
        return client

    def assertBlameless(self) -> None:
        self.assertEqual([instance.record.failures for instance in self.upstream.instances], [0, 0])
        self.assertEqual(self.upstream.passive.ejected, [])
        self.assertTrue(self.upstream.breaker.closed)

    def test_slow_uploads(self) -> None:
        """Uploads that do not come in time get 504, however many, and nobody is ejected for them."""
        self.make()
        clients = [self.send(UPLOAD + b"0") for _ in range(20)]
        self.gateway.pass_time(5.2)
        self.assertEqual({client.answers(b"POST")[0].status for client in clients}, {504})
        self.assertBlameless()

    def test_uploads_that_the_service_gives_up(self) -> None:
        """A service that closes on a body which does not come is not ill, however often that happens."""
        self.make()
        clients = [self.send(UPLOAD + b"0") for _ in range(20)]
        for connection in self.gateway.service.connections:
            connection.close()
        self.assertEqual({client.answers(b"POST")[0].status for client in clients}, {502})
        self.assertBlameless()

    def test_slow_uploads_and_admission(self) -> None:
        """Nor do they count as failures for who decides how many requests are let through."""
        self.make(admission=Admission(enabled=True))
        for _ in range(20):
            self.send(UPLOAD + b"0")
        self.gateway.pass_time(5.2)
        assert self.upstream.admission is not None
        self.assertEqual(self.upstream.admission.refused_share(), 0.0)

    def test_slow_upload_as_a_trial(self) -> None:
        """One that happens to try an open circuit decides nothing: the next request tries."""
        self.make()
        self.upstream.breaker.hear("tripped")
        self.gateway.pass_time(61.0, 1.0)
        self.send(UPLOAD + b"0")
        self.assertEqual(self.upstream.breaker.state, "trying")
        self.gateway.pass_time(5.2)
        self.assertEqual(self.upstream.breaker.state, "half_open")

    def test_broken_uploads(self) -> None:
        """Clients that leave, or break the framing, within their bodies are nobody's failures."""
        self.make()
        for _ in range(20):
            self.send(UPLOAD + b"0").leave()
            self.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\nno")
        self.assertBlameless()

    def test_slow_readers(self) -> None:
        """Clients that do not read their answers are cut off, and that is nobody's failure either."""
        self.make(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"0" * 100000)
        clients = [self.gateway.client() for _ in range(20)]
        for client in clients:
            client.transport.stalled = True
            client.send(GET)
        self.gateway.service.run()
        self.gateway.pass_time(70.0, 1.0)
        self.assertTrue(all(client.closed for client in clients))
        self.assertBlameless()

    def test_slow_services(self) -> None:
        """A service that has the whole request and no answer in time has failed."""
        self.make()
        clients = [self.send(GET) for _ in range(20)]
        self.gateway.pass_time(5.2)
        self.assertEqual({client.answers()[0].status for client in clients}, {504})
        self.assertEqual(len(self.upstream.passive.ejected), 1)
        self.assertFalse(self.upstream.breaker.closed)
