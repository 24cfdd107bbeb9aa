"""Uploads over bad networks: what is slow but lives is let through, whatever time it takes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, MemoryClient, MemoryGateway
from tracseq_gateway.config.keys import Size

PIECE = b"ACGT" * 16384
HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


class SlowUploadTests(SynchronousTestCase):
    """With the settings that everybody has."""

    def begin(self, length: int) -> MemoryClient:
        self.gateway = MemoryGateway(answer=None, max_body=Size(0), body_buffer=Size(65536))
        client = self.gateway.client()
        client.send(HEAD % length)
        return client

    def test_hours(self) -> None:
        """500 MB at 64 KiB each 25 seconds take 53 hours, and come through whole."""
        pieces = 500_000_000 // len(PIECE)
        client = self.begin(pieces * len(PIECE))
        client.send(PIECE)
        (service,) = self.gateway.service.connections
        service.transport.clear()
        written: list[int] = []
        service.transport.write = lambda data: written.append(len(data))  # type: ignore[method-assign]
        for _ in range(pieces - 1):
            self.gateway.clock.advance(25)
            client.send(PIECE)
        self.assertEqual(sum(written), (pieces - 1) * len(PIECE))
        service.answer(OK)
        self.assertEqual([answer.status for answer in client.answers(b"POST")], [200])

    def test_least(self) -> None:
        """A little more than 256 bytes a second is enough, also while the service has nothing to do but wait."""
        client = self.begin(1_000_000)
        client.send(PIECE)
        for _ in range(1000):
            self.gateway.clock.advance(2)
            client.send(b"x" * 520)
        self.assertEqual((client.received, client.closed), (b"", False))

    def test_dead(self) -> None:
        """Thirty seconds of silence end an upload, and the service's connection with it."""
        client = self.begin(1_000_000)
        client.send(PIECE)
        self.gateway.pass_time(31)
        self.assertEqual([answer.status for answer in client.answers(b"POST")], [408])
        self.assertTrue(self.gateway.service.connections[0].transport.aborted)
