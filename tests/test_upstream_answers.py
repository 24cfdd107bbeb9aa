"""Answers on their way to the client: interim ones, those without a body, and every framing into every framing."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import OK, Answer, MemoryClient, MemoryGateway, ServiceConnection

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x-b\r\nX-B: c\r\nKeep-Alive: 1\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def ask(method: bytes = b"GET", version: bytes = b"1.1", *fields: bytes) -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"%b /x HTTP/%b\r\nHost: a\r\n%b\r\n" % (method, version, lines)


class AnswerTestCase(SynchronousTestCase):
    def make(self, data: bytes | None = None, **settings: Any) -> tuple[MemoryClient, ServiceConnection]:
        self.gateway = MemoryGateway(answer=None, **settings)
        client = self.gateway.client()
        client.send(data or ask())
        return client, self.gateway.service.connections[0]


class InterimTests(AnswerTestCase):
    def test_passed_on(self) -> None:
        """An interim answer goes to the client at once, with our Via and without the fields of one hop."""
        client, connection = self.make()
        connection.answer(HINTS)
        (hints,) = client.answers()
        self.assertEqual(hints.status, 103)
        self.assertEqual(sorted(hints.fields), [(b"link", b"</a>"), (b"via", b"1.1 tracseq-gateway")])
        connection.answer(OK)
        self.assertEqual([answer.status for answer in client.answers()], [103, 200])

    def test_several(self) -> None:
        """Up to sixteen interim answers may come, in one read or in many."""
        client, connection = self.make()
        connection.answer(HINTS * 8)
        for _ in range(8):
            connection.answer(HINTS)
        connection.answer(OK)
        self.assertEqual([answer.status for answer in client.answers()], [103] * 16 + [200])

    def test_too_many(self) -> None:
        """One more is a flood: 502, and the connection is cut."""
        client, connection = self.make()
        connection.answer(HINTS * 17 + OK)
        self.assertEqual([answer.status for answer in client.answers()], [103] * 16 + [502])
        self.assertTrue(connection.transport.aborted)

    def test_the_count_begins_anew(self) -> None:
        """Each request on a kept connection may have as many."""
        client, connection = self.make()
        for _ in range(3):
            connection.answer(HINTS * 10 + OK)
            client.send(ask())
        self.assertEqual(sum(answer.status == 200 for answer in client.answers()), 3)

    def test_not_to_an_old_client(self) -> None:
        """A client of HTTP/1.0 knows no interim answers and gets none."""
        client, connection = self.make(ask(b"GET", b"1.0"))
        connection.answer(HINTS + OK)
        self.assertEqual([answer.status for answer in client.answers()], [200])

    def test_100_is_ours(self) -> None:
        """100 (Continue) of the service is not passed on: the client that waits for it has had ours."""
        client, connection = self.make(ask(b"POST", b"1.1", b"Content-Length: 2", b"Expect: 100-continue"))
        self.assertEqual([answer.status for answer in client.answers()], [100])
        connection.answer(CONTINUE)
        client.send(b"ab")
        connection.answer(CONTINUE + OK)
        self.assertEqual([answer.status for answer in client.answers(b"POST")], [100, 200])
        self.assertEqual(connection.requests[0].values(b"expect"), [])

    def test_100_comes_when_there_is_a_connection(self) -> None:
        """A client is not told to send its body before there is somebody to take it."""
        gateway = MemoryGateway(answer=OK)
        gateway.service.hold = True
        client = gateway.client()
        client.send(ask(b"POST", b"1.1", b"Content-Length: 2", b"Expect: 100-continue"))
        self.assertEqual(client.received, b"")
        gateway.service.admit()
        self.assertEqual(client.received, CONTINUE)

    def test_no_switch_of_protocols(self) -> None:
        """101 that nobody asked for is a broken answer, with or without an Upgrade field."""
        for fields in (b"", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"):
            for request in (ask(), ask(b"GET", b"1.1", b"Connection: upgrade", b"Upgrade: tls/1.3")):
                client, connection = self.make(request)
                connection.answer(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\nframes")
                (answer,) = client.answers()
                self.assertEqual((answer.status, answer.complete), (502, True))
                self.assertEqual(answer.values(b"upgrade"), [])
                self.assertTrue(connection.transport.aborted)


class FieldTests(AnswerTestCase):
    def answer_with(self, *fields: bytes) -> Answer:
        client, connection = self.make()
        lines = b"".join(field + b"\r\n" for field in fields)
        connection.answer(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 2\r\n\r\nok")
        (answer,) = client.answers()
        self.assertEqual((answer.status, answer.body, answer.complete), (200, b"ok", True))
        return answer

    def test_in_their_order(self) -> None:
        """Fields go on in their order, repeated ones repeated; ours follow."""
        answer = self.answer_with(b"Set-Cookie: a=1", b"X-A: b", b"Set-Cookie: c=2", b"Server: s")
        self.assertEqual(
            answer.fields[:4], [(b"set-cookie", b"a=1"), (b"x-a", b"b"), (b"set-cookie", b"c=2"), (b"server", b"s")]
        )

    def test_one_hop(self) -> None:
        """Fields of one hop, and those that Connection names, end here."""
        answer = self.answer_with(
            b"Connection: X-Secret, keep-alive",
            b"X-Secret: s",
            b"Keep-Alive: timeout=5",
            b"Proxy-Authenticate: Basic",
            b"Upgrade: h2c",
            b"Trailer: X-T",
            b"TE: trailers",
        )
        names = {name for name, _ in answer.fields}
        self.assertEqual(names, {b"via", b"x-request-id", b"content-length", b"date"})

    def test_framing_cannot_be_named_away(self) -> None:
        """Connection that names the framing takes nothing from the message."""
        answer = self.answer_with(b"Connection: content-length, transfer-encoding, x-request-id, via")
        self.assertEqual(answer.values(b"content-length"), [b"2"])
        self.assertEqual(len(answer.values(b"x-request-id")), 1)
        self.assertEqual(answer.values(b"via"), [b"1.1 tracseq-gateway"])

    def test_a_date_there_is(self) -> None:
        """The service's Date goes on; where it sends none, there is ours."""
        date = b"Sun, 06 Nov 1994 08:49:37 GMT"
        self.assertEqual(self.answer_with(b"Date: " + date).values(b"date"), [date])
        self.assertEqual(len(self.answer_with().values(b"date")), 1)

    def test_a_date_that_is_named_away(self) -> None:
        """Where Connection names the service's Date, there is ours."""
        answer = self.answer_with(b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"Connection: date")
        self.assertEqual(len(answer.values(b"date")), 1)

    def test_request_id_is_ours(self) -> None:
        """What a service calls the request does not replace its id."""
        (request_id,) = self.answer_with(b"X-Request-Id: theirs").values(b"x-request-id")
        self.assertNotEqual(request_id, b"theirs")

    def test_every_byte_everywhere(self) -> None:
        """Whatever byte stands in a name, a value or a reason, the client gets a well-formed head or 502."""
        for byte in range(256):
            odd = bytes((byte,))
            for lines in (b"200 OK\r\nX-A: a" + odd + b"b", b"200 OK\r\nX" + odd + b"A: b", b"200 O" + odd + b"K"):
                client, connection = self.make()
                connection.answer(b"HTTP/1.1 " + lines + b"\r\nContent-Length: 2\r\n\r\nok")
                (answer,) = client.answers()
                self.assertIn((answer.status, answer.complete), ((200, True), (502, True)))
                if odd in b"\0\r\n":
                    self.assertEqual(answer.status, 502, lines)

    def test_a_status_line_that_can_never_be_one(self) -> None:
        """A malformed status line, or one that ends with a bare LF, is refused when it comes, not waited for."""
        for line in (b"HTTP/1.1 abc OK\r\n", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"HTTP/1.x 200 OK\r\n"):
            client, connection = self.make()
            connection.answer(line)
            self.assertEqual([answer.status for answer in client.answers()], [502])
            self.assertTrue(connection.transport.aborted)


@frozen
class Framing:
    """How a service frames a body of five bytes."""

    head: bytes
    pieces: tuple[bytes, ...]
    closes: bool = False


CHUNKS = (b"3\r\nhel\r\n", b"2\r\nlo\r\n", b"0\r\n\r\n")
FRAMINGS = {
    "length": Framing(b"HTTP/1.1 %b\r\nContent-Length: 5\r\n\r\n", (b"hel", b"lo")),
    "chunks": Framing(b"HTTP/1.1 %b\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNKS),
    "close": Framing(b"HTTP/1.1 %b\r\n\r\n", (b"hel", b"lo"), closes=True),
    "closing length": Framing(b"HTTP/1.1 %b\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", (b"hel", b"lo")),
    "old close": Framing(b"HTTP/1.0 %b\r\n\r\n", (b"hel", b"lo"), closes=True),
    "old length": Framing(b"HTTP/1.0 %b\r\nContent-Length: 5\r\n\r\n", (b"hel", b"lo"), closes=True),
    "old kept": Framing(b"HTTP/1.0 %b\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", (b"hel", b"lo")),
}
CLIENTS = {
    "1.1": (b"1.1", ()),
    "1.1 close": (b"1.1", (b"Connection: close",)),
    "1.0": (b"1.0", ()),
    "1.0 kept": (b"1.0", (b"Connection: keep-alive",)),
}


class FramingTests(AnswerTestCase):
    def exchange(self, name: str, framing: Framing, method: bytes, status: bytes, whole: bool) -> Answer:
        """One exchange; checks what holds for all, and returns the answer."""
        version, fields = CLIENTS[name]
        client, connection = self.make(ask(method, version, *fields))
        bodiless = method == b"HEAD" or status[:3] in (b"204", b"304")
        head = framing.head % status
        pieces = [head] if bodiless else [head, *framing.pieces]
        for piece in [b"".join(pieces)] if whole else pieces:
            connection.answer(piece)
        if framing.closes:
            connection.close()
        (answer,) = client.answers(method)
        self.assertEqual((answer.status, answer.body), (int(status[:3]), b"" if bodiless else b"hello"))
        self.assertTrue(answer.complete)
        kept = name == "1.1" or (name == "1.0 kept" and answer.framing != "close")
        self.assertEqual(client.closed, not kept)
        self.assertEqual(answer.values(b"connection"), self.connection_field(name, kept))
        if kept:
            self.further(client, method)
        return answer

    def connection_field(self, name: str, kept: bool) -> list[bytes]:
        if not kept:
            return [b"close"]
        return [] if name == "1.1" else [b"keep-alive"]

    def further(self, client: MemoryClient, method: bytes) -> None:
        """Where the connection is kept, it is where the next answer begins."""
        version = b"1.0" if b"keep-alive" in client.received else b"1.1"
        client.send(ask(b"GET", version))
        self.gateway.service.connections[-1].answer(OK)
        self.assertEqual(client.answers(method, b"GET")[-1].body, b"ok")

    def test_every_framing_into_every_framing(self) -> None:
        """A body arrives whole whatever framed it, with a length where it is known, else as the client understands."""
        for name in CLIENTS:
            for kind, framing in FRAMINGS.items():
                for whole in (True, False):
                    answer = self.exchange(name, framing, b"GET", b"200 OK", whole)
                    known = "length" in kind or "kept" in kind or (whole and kind == "chunks")
                    expected = "length" if known else "chunked" if name.startswith("1.1") else "close"
                    self.assertEqual(answer.framing, expected, f"{kind} to {name}, whole: {whole}")

    def test_head(self) -> None:
        """An answer to HEAD has no body, and says the length of the one that GET would have, if it is known."""
        for name in CLIENTS:
            for framing in FRAMINGS.values():
                answer = self.exchange(name, framing, b"HEAD", b"200 OK", True)
                expected = [b"5"] if b"Content-Length" in framing.head else []
                self.assertEqual(answer.values(b"content-length"), expected)
                self.assertEqual(answer.values(b"transfer-encoding"), [])

    def test_no_content(self) -> None:
        """204 has neither a body nor a length, whatever the service says, and to whatever method."""
        for name in CLIENTS:
            for framing in FRAMINGS.values():
                for method in (b"GET", b"HEAD", b"DELETE"):
                    answer = self.exchange(name, framing, method, b"204 No Content", True)
                    self.assertEqual(answer.values(b"content-length") + answer.values(b"transfer-encoding"), [])

    def test_not_modified(self) -> None:
        """304 has no body; its length is that of the body that is not sent."""
        for name in CLIENTS:
            for framing in FRAMINGS.values():
                answer = self.exchange(name, framing, b"GET", b"304 Not Modified", True)
                expected = [b"5"] if b"Content-Length" in framing.head else []
                self.assertEqual(answer.values(b"content-length"), expected)
                self.assertEqual(answer.values(b"transfer-encoding"), [])

    def test_an_empty_body(self) -> None:
        """A body of no bytes is one."""
        for head, pieces, closes in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (), False),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", (b"0\r\n\r\n",), False),
            (b"HTTP/1.1 200 OK\r\n\r\n", (), True),
        ):
            for version in (b"1.1", b"1.0"):
                client, connection = self.make(ask(b"GET", version))
                for piece in (head, *pieces):
                    connection.answer(piece)
                if closes:
                    connection.close()
                (answer,) = client.answers()
                self.assertEqual((answer.body, answer.complete), (b"", True))

    def test_a_truncated_answer_has_no_clean_end(self) -> None:
        """Whatever frames an answer that breaks off, no client of any version takes it for whole."""
        for name, (version, fields) in CLIENTS.items():
            for kind, framing in FRAMINGS.items():
                client, connection = self.make(ask(b"GET", version, *fields))
                connection.answer(framing.head % b"200 OK" + framing.pieces[0])
                connection.close(reset=True)
                (answer,) = client.answers()
                self.assertFalse(answer.complete, f"{kind} to {name}")
                self.assertTrue(client.closed)
