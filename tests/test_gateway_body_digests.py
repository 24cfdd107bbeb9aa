"""Request bodies with digests, through a gateway in memory."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.identity_lab import Lab
from tests.kit import OK, SPLITS, MemoryClient, MemoryGateway
from tracseq_gateway.config.upstream import Instance

BODY = b"ACGT" * 5


def line(body: bytes, field: bytes = b"Content-Digest") -> bytes:
    """A field with the digest of a body."""
    return b"%b: sha-256=:%b:\r\n" % (field, base64.b64encode(sha256(body).digest()))


def upload(body: bytes, lines: bytes, *, chunks: bool = False, method: bytes = b"POST") -> bytes:
    """A request with a body, framed by its length or in two chunks."""
    start = b"%b /x HTTP/1.1\r\nHost: a\r\n%b" % (method, lines)
    if not chunks:
        return start + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    half = len(body) // 2
    pieces = [piece for piece in (body[:half], body[half:]) if piece]
    return start + b"Transfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % b"".join(
        b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces
    )


class DigestTests(SynchronousTestCase):
    def make(self, **settings: Any) -> MemoryClient:
        self.gateway = MemoryGateway(**settings)
        self.service = self.gateway.service
        return self.gateway.client()

    def statuses(self, client: MemoryClient) -> list[int]:
        return [answer.status for answer in client.answers()]

    def assertRefused(self, client: MemoryClient) -> None:
        """The client is told, and no service has seen a whole request."""
        (answer,) = client.answers()
        document = json.loads(answer.body)
        self.assertEqual((answer.status, document["type"]), (400, "urn:tracseq:problem:digest-mismatch"))
        self.assertEqual(self.service.requests, [])

    def test_right(self) -> None:
        """A body with its own digest is passed on byte by byte as it came, and the field with it."""
        for chunks in (False, True):
            for body in (b"", b"x", BODY):
                for buffer in (0, 65536):
                    for split in SPLITS.values():
                        client = self.make(body_buffer=buffer)
                        for piece in split(upload(body, line(body), chunks=chunks)):
                            client.send(piece)
                            self.service.run()
                        self.assertEqual(self.statuses(client), [200])
                        (got,) = self.service.requests
                        self.assertEqual(got.body, body)
                        self.assertEqual(len(got.values(b"content-digest")), 1)

    def test_wrong(self) -> None:
        """A body with the digest of another one does not come whole, however it is framed, split, waited for."""
        for chunks in (False, True):
            for body in (b"", b"x", BODY):
                for buffer in (0, 65536):
                    for split in SPLITS.values():
                        client = self.make(body_buffer=buffer)
                        for piece in split(upload(body, line(b"another"), chunks=chunks)):
                            client.send(piece)
                            self.service.run()
                        self.assertRefused(client)
                        self.assertTrue(all(connection.transport.aborted for connection in self.service.connections))

    def test_not_asked(self) -> None:
        """No instance is asked at all for a body that is waited for whole."""
        client = self.make(body_buffer=65536)
        client.send(upload(BODY, line(b"another")))
        self.assertRefused(client)
        self.assertEqual(self.service.attempts, [])

    def test_goes_on(self) -> None:
        """The connection of a client that sent a wrong body whole serves on."""
        client = self.make()
        client.send(upload(BODY, line(b"another")) + upload(BODY, line(BODY)))
        self.service.run()
        self.assertEqual(self.statuses(client), [400, 200])

    def test_malformed(self) -> None:
        """A field that cannot be read is refused before any of the body is."""
        client = self.make()
        client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Digest: sha-256=abc\r\nContent-Length: 20\r\n\r\n")
        (answer,) = client.answers()
        self.assertEqual((answer.status, self.service.attempts), (400, []))
        self.assertIn("Content-Digest: ", json.loads(answer.body)["detail"])

    def test_encoded(self) -> None:
        """Content codings belong to what the digests are of; transfer codings do not."""
        client = self.make()
        lines = b"Content-Encoding: gzip\r\n" + line(BODY) + line(BODY, b"Repr-Digest")
        client.send(upload(BODY, lines, chunks=True))
        self.service.run()
        self.assertEqual(self.statuses(client), [200])

    def test_patch(self) -> None:
        """What a patch makes of its target has another digest than the patch."""
        client = self.make()
        client.send(upload(BODY, line(b"target", b"Repr-Digest"), method=b"PATCH"))
        self.service.run()
        self.assertEqual(self.statuses(client), [200])
        client.send(upload(BODY, line(b"target"), method=b"PATCH"))
        self.assertEqual(self.statuses(client), [200, 400])

    def test_expected(self) -> None:
        """A client that waits for its 100 (Continue) gets it, and then its refusal."""
        whole = upload(BODY, line(b"another") + b"Expect: 100-continue\r\n")
        head, body = whole[: -len(BODY)], whole[-len(BODY) :]
        client = self.make(body_buffer=65536)
        client.send(head)
        client.send(body)
        self.assertEqual(self.statuses(client), [100, 400])
        self.assertEqual(self.service.requests, [])

    def test_trailer(self) -> None:
        """A digest in a trailer is dropped with it, and holds nobody to anything."""
        client = self.make()
        client.send(
            b"POST /x HTTP/1.1\r\nHost: a\r\nTrailer: Content-Digest\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nhi\r\n0\r\n" + line(b"another") + b"\r\n"
        )
        self.service.run()
        self.assertEqual(self.statuses(client), [200])
        self.assertEqual(self.service.requests[0].values(b"content-digest"), [])

    def test_again(self) -> None:
        """A body that was found right is sent whole once more when an instance has failed."""
        client = self.make(
            answer=None, instances=(Instance("http://127.0.0.1:9001"), Instance("http://127.0.0.1:9002")), body_buffer=0
        )
        whole = upload(BODY, line(BODY), method=b"PUT")
        client.send(whole[:-4])
        client.send(whole[-4:])
        self.service.connections[0].answer(b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n")
        self.gateway.pass_time(1)
        self.service.connections[1].answer(OK)
        self.assertEqual(self.statuses(client), [200])
        self.assertEqual([got.body for got in self.service.requests], [BODY, BODY])

    def test_early_answer(self) -> None:
        """A service that answers before the end has answered; the body is then held to nothing."""
        client = self.make(answer=None, body_buffer=0)
        whole = upload(BODY, line(b"another"))
        client.send(whole[:-8])
        client.send(whole[-8:-4])
        self.service.connections[0].answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        client.send(whole[-4:])
        self.assertEqual(self.statuses(client), [403])
        self.assertEqual(self.service.requests, [])

    def test_off(self) -> None:
        """Where it is not wanted, nothing is looked at."""
        client = self.make(check_digests=False)
        client.send(upload(BODY, b"Content-Digest: nonsense\r\n"))
        self.service.run()
        self.assertEqual(self.statuses(client), [200])

    def test_while_others_are_asked(self) -> None:
        """A body that is found wrong while the Auth Service thinks is refused, and its answer waited for by nobody."""
        lab = Lab()
        lab.hold = True
        client = lab.client()
        whole = upload(BODY, line(b"another") + lab.token() + b"\r\n").replace(b"/x", b"/samples/x")
        client.send(whole[:-4])
        self.assertEqual(lab.questions, 1)
        client.send(whole[-4:])
        self.assertEqual([answer.status for answer in client.answers()], [400])
        lab.answer_question()
        self.assertEqual(lab.service.requests, [])
        client.send(upload(BODY, line(BODY) + lab.token() + b"\r\n").replace(b"/x", b"/samples/x"))
        lab.service.run()
        self.assertEqual([answer.status for answer in client.answers()], [400, 200])

    def test_blameless(self) -> None:
        """A wrong body is held against no instance."""
        client = self.make(body_buffer=0)
        for _ in range(20):
            for piece in SPLITS["bytes"](upload(BODY, line(b"another"))):
                client.send(piece)
        passive = self.gateway.worker.services["all"].passive
        self.assertEqual((passive.counts["ejected"], self.statuses(client)), (0, [400] * 20))
