"""Who opens a WebSocket, when its token is not where a browser cannot put it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.identity_lab import X_API_KEY, Lab
from tests.kit import Answer, Received
from tests.kit_client import request
from tracseq_gateway.config.policies import WebSocketToken

HANDSHAKE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


class WebSocketTokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lab = Lab(asks=False)
        self.token = self.lab.token().removeprefix(b"Authorization: Bearer ")

    def ask(self, target: bytes, *lines: bytes) -> Answer:
        self.lab.service.answer = SWITCH
        client = self.lab.exchange(request(target, *HANDSHAKE, *lines))
        (answer,) = client.answers()
        return answer

    def seen(self, target: bytes, *lines: bytes) -> Received:
        answer = self.ask(target, *lines)
        self.assertEqual(answer.status, 101, answer)
        return self.lab.service.requests[-1]

    def test_header(self) -> None:
        """Who can set Authorization, or an API key, does so as ever."""
        self.assertEqual(self.seen(b"/samples/live", self.lab.token()).values(b"x-user-id"), [b"u-1"])
        self.assertEqual(self.seen(b"/samples/live", X_API_KEY).values(b"x-user-id"), [b"sequencer-7"])

    def test_query(self) -> None:
        """The token of the query identifies, and goes on in Authorization and nowhere else."""
        seen = self.seen(b"/samples/live?a=1&access_token=" + self.token + b"&b=2")
        self.assertEqual(seen.target, b"/live?a=1&b=2")
        self.assertEqual(seen.values(b"authorization"), [b"Bearer " + self.token])
        self.assertEqual(seen.values(b"x-user-id"), [b"u-1"])
        self.assertEqual(self.seen(b"/samples/live?access_token=" + self.token).target, b"/live")

    def test_protocol(self) -> None:
        """The token of the list of subprotocols identifies; the service sees the others."""
        seen = self.seen(b"/samples/live", b"Sec-WebSocket-Protocol: chat, bearer, " + self.token + b", v2")
        self.assertEqual(seen.values(b"sec-websocket-protocol"), [b"chat, v2"])
        self.assertEqual(seen.values(b"authorization"), [b"Bearer " + self.token])

    def test_only_protocol(self) -> None:
        """A browser that offered nothing else hears that its bearer was taken; the service hears of none."""
        answer = self.ask(b"/samples/live", b"Sec-WebSocket-Protocol: bearer, " + self.token)
        self.assertEqual(answer.values(b"sec-websocket-protocol"), [b"bearer"])
        self.assertEqual(self.lab.service.requests[-1].values(b"sec-websocket-protocol"), [])

    def test_refused(self) -> None:
        """No token, a bad one, two of them: 401, and the service is not asked."""
        for target, lines in (
            (b"/samples/live", ()),
            (b"/samples/live?access_token=nonsense", ()),
            (b"/samples/live?access_token=", ()),
            (b"/samples/live?access_token=%b&access_token=%b" % (self.token, self.token), ()),
            (b"/samples/live", (b"Sec-WebSocket-Protocol: bearer",)),
            (b"/samples/live", (b"Sec-WebSocket-Protocol: bearer, nonsense",)),
            (b"/samples/live?access_token=" + self.token, (b"Authorization: Bearer nonsense",)),
        ):
            self.assertEqual(self.ask(target, *lines).status, 401, (target, lines))
        self.assertEqual(self.lab.service.requests, [])

    def test_not_a_websocket(self) -> None:
        """For every other request the token is in Authorization, or there is none."""
        self.assertEqual(self.lab.ask(b"/samples/live?access_token=" + self.token).status, 401)

    def test_not_remembered(self) -> None:
        """Who was found by one query is not taken for the sender of the same fields with another."""
        self.assertEqual(self.ask(b"/samples/live?access_token=" + self.token).status, 101)
        self.assertEqual(self.ask(b"/samples/live").status, 401)

    def test_off(self) -> None:
        """Each of the two places can be closed."""
        self.lab = Lab(asks=False, websocket=WebSocketToken(query="", protocol=""))
        self.assertEqual(self.ask(b"/samples/live?access_token=" + self.token).status, 401)
        self.assertEqual(self.ask(b"/samples/live", b"Sec-WebSocket-Protocol: bearer, " + self.token).status, 401)
