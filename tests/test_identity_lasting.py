"""What was opened by a session ends with it: WebSockets and streams of events, through a whole gateway in memory."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.identity_lab import SERVICES, X_API_KEY, Lab
from tests.kit import MemoryClient, ServiceConnection
from tests.kit_client import request
from tests.test_identity_websocket import HANDSHAKE, SWITCH
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.upstream import Tunnels
from tracseq_gateway.identity.introspection import Verdict
from tracseq_gateway.identity.revocation_ledger import Revocation
from tracseq_gateway.interfaces import Request

ENDED = b"\x88\x17\x03\xf0the session has ended"
EXPIRED = b"\x88\x17\x03\xf0the token has expired"
HELLO = b"\x81\x05hello"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n"


class LastingTestCase(SynchronousTestCase):
    def make(self, *, until_token_expires: bool = False) -> None:
        tunnels = Tunnels(idle=Seconds(0.0), until_token_expires=until_token_expires)
        samples = evolve(SERVICES["samples"], tunnels=tunnels)
        self.lab = Lab(asks=False, services={**SERVICES, "samples": samples})
        self.lab.service.answer = None

    def setUp(self) -> None:
        self.make()

    def begin(self, *lines: bytes, answer: bytes = SWITCH) -> tuple[MemoryClient, ServiceConnection]:
        """Open something; forget what was sent to do so."""
        client = self.lab.client()
        client.send(request(b"/samples/live", *lines))
        service = self.lab.service.connections[-1]
        service.answer(answer)
        client.transport.clear()
        service.transport.clear()
        return client, service

    def websocket(self, who: bytes) -> tuple[MemoryClient, ServiceConnection]:
        return self.begin(*HANDSHAKE, who)

    def wait(self, seconds: float) -> None:
        self.lab.pass_time(seconds)

    def revoke(self, session: str) -> None:
        self.lab.callers.revocations.revoke_session(session)


class SessionTests(LastingTestCase):
    def test_logout(self) -> None:
        """Who logs out loses the WebSockets that were opened by that session, and nobody else loses his."""
        who, other = self.lab.token(session="s-1"), self.lab.token(session="s-2")
        lost = [self.websocket(who) for _ in range(2)]
        kept = [self.websocket(other), self.websocket(X_API_KEY)]
        self.lab.service.answer = b"HTTP/1.1 204 No Content\r\n\r\n"
        self.assertEqual(self.lab.ask(b"/auth/logout", who, method=b"POST").status, 204)
        for client, service in lost:
            self.assertEqual(client.received, ENDED)
            self.assertTrue(client.closed and service.transport.closed)
        for client, service in kept:
            self.assertEqual(client.received, b"")
            service.answer(HELLO)
            self.assertEqual(client.received, HELLO)

    def test_elsewhere(self) -> None:
        """It is the same when another worker was told."""
        client, _ = self.websocket(self.lab.token())
        until = self.lab.now() + 60
        self.lab.callers.revocations._heard([Revocation.of_session("s-9", until), Revocation.of_session("s-1", until)])
        self.assertEqual(client.received, ENDED)

    def test_user(self) -> None:
        """All sessions of a user end, but for those that began afterwards."""
        now = int(self.lab.now())
        clients = [self.websocket(self.lab.token(session=f"s{at}", iat=now + at))[0] for at in (-60, -30, -10)]
        other, _ = self.websocket(self.lab.token("u-2"))
        self.lab.callers.revocations._heard([Revocation.of_user("u-1", now - 30, now + 60)])
        self.assertEqual([client.received for client in [*clients, other]], [ENDED, ENDED, b"", b""])
        self.lab.callers.revocations.revoke_user("u-1")
        self.assertEqual([client.received for client in [*clients, other]], [ENDED, ENDED, ENDED, b""])

    def test_of_the_auth_service(self) -> None:
        """A session ends by either of its names: the token's, and the one that the Auth Service has for it."""
        for name in ("s-1", "service-1"):
            self.make()
            self.lab.callers.authenticator._ask = self.lab._ask
            self.lab.hold = True
            client = self.lab.client()
            client.send(request(b"/samples/live", *HANDSHAKE, self.lab.token()))
            answer, _ = self.lab._questions.pop()
            answer.callback(Verdict(True, "u-1", "", "guest", "service-1"))
            self.lab.service.connections[-1].answer(SWITCH)
            self.revoke(name)
            self.assertTrue(client.received.endswith(b"\r\n\r\n" + ENDED), name)

    def test_before_it_opens(self) -> None:
        """A session that ends while the service thinks about the handshake ends what that opens at once."""
        client = self.lab.client()
        client.send(request(b"/samples/live", *HANDSHAKE, self.lab.token()))
        self.revoke("s-1")
        service = self.lab.service.connections[-1]
        service.answer(SWITCH + HELLO)
        self.assertTrue(client.received.endswith(b"\r\n\r\n" + ENDED), client.received)
        self.assertTrue(client.closed and service.transport.closed)
        self.assertEqual(self.lab.worker.services["samples"].tunnels, 0)

    def test_within_a_frame(self) -> None:
        """The client's Close waits for the end of a frame; nothing of the client's goes on meanwhile."""
        client, service = self.websocket(self.lab.token())
        service.answer(HELLO[:3])
        self.revoke("s-1")
        client.send(b"\x81\x81mask\x00")
        self.assertEqual((client.received, service.transport.value()), (HELLO[:3], b""))
        service.answer(HELLO[3:] + HELLO)
        self.assertEqual(client.received, HELLO + ENDED)
        self.assertTrue(client.closed and service.transport.closed)

    def test_within_a_frame_for_ever(self) -> None:
        """A frame that does not end is not waited for."""
        client, service = self.websocket(self.lab.token())
        service.answer(HELLO[:3])
        self.revoke("s-1")
        self.wait(5.2)
        self.assertEqual(client.received, HELLO[:3])
        self.assertTrue(client.closed and service.transport.closed)

    def test_while_leaving(self) -> None:
        """Who has been told to go elsewhere is not told again, and is cut off from the service."""
        client, service = self.websocket(self.lab.token())
        self.lab.worker.site.drain(30.0)
        self.assertEqual(client.received, b"\x88\x02\x03\xe9")
        self.revoke("s-1")
        self.assertEqual(client.received, b"\x88\x02\x03\xe9")
        self.assertTrue(client.closed and service.transport.closed)

    def test_forgotten(self) -> None:
        """Nothing is kept of what is over."""
        client, _ = self.websocket(self.lab.token())
        self.assertEqual(len(self.lab.callers.lasting), 1)
        client.leave()
        self.assertEqual(len(self.lab.callers.lasting), 0)
        self.revoke("s-1")

    def test_record(self) -> None:
        """What is written down says why it ended."""
        ended: list[Request] = []
        recorder = self.lab.worker.site._recorder
        recorder._witnesses = (*recorder._witnesses, lambda request, *when: ended.append(request))  # type: ignore[union-attr]
        self.websocket(self.lab.token())
        self.revoke("s-1")
        (request,) = ended
        assert request.error is not None
        self.assertEqual((request.status, request.error.detail), (101, "the session has ended"))

    def test_events(self) -> None:
        """A stream of events is cut off, so that its client asks anew, and is refused."""
        token = self.lab.token()
        client, service = self.begin(token, answer=EVENTS)
        self.assertEqual(len(self.lab.callers.lasting), 1)
        self.revoke("s-1")
        self.assertTrue(client.closed and service.transport.aborted)
        self.assertNotIn(b"0\r\n\r\n", client.received)
        self.assertEqual(self.lab.ask(b"/samples/live", token).status, 401)

    def test_usual_answers(self) -> None:
        """An answer that is no such stream is given to its end."""
        client, service = self.begin(self.lab.token(), answer=EVENTS.replace(b"event-stream", b"plain"))
        self.revoke("s-1")
        service.answer(b"1\r\n!\r\n0\r\n\r\n")
        self.assertTrue(client.received.endswith(b"0\r\n\r\n"))


class QuestionTests(LastingTestCase):
    """Sessions that end without a word to the gateway."""

    def open(self, **claims: object) -> MemoryClient:
        self.lab.callers.authenticator._ask = self.lab._ask
        client, _ = self.websocket(self.lab.token(**claims))  # type: ignore[arg-type]
        self.lab.hold = True
        return client

    def test_asked(self) -> None:
        """The Auth Service is asked whether the session stands about as often as about requests."""
        client = self.open()
        for _ in range(5):
            self.wait(361)
            self.assertEqual(self.lab.questions, 1)
            self.lab.answer_question()
        self.assertEqual(client.received, b"")
        self.wait(361)
        self.lab.answer_question(stands=False)
        self.assertEqual(client.received, ENDED)

    def test_asked_once_for_many(self) -> None:
        """What one request has heard holds for all that the same token has opened."""
        client = self.open()
        other, _ = self.websocket(self.lab.token())
        self.wait(361)
        self.assertEqual(self.lab.questions, 1)
        self.lab.answer_question(stands=False)
        self.assertEqual([client.received, other.received], [ENDED, ENDED])

    def test_nobody_answers(self) -> None:
        """An Auth Service that is away ends nothing, and is asked again."""
        client = self.open()
        self.lab.down = True
        self.wait(361)
        self.lab.down = False
        self.assertEqual(client.received, b"")
        self.wait(361)
        self.lab.answer_question(stands=False)
        self.assertEqual(client.received, ENDED)

    def test_left_meanwhile(self) -> None:
        """Who leaves while the Auth Service thinks is not waited for."""
        client = self.open()
        self.wait(361)
        client.leave()
        self.lab.answer_question(stands=False)
        self.assertEqual(client.received, b"")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_expired(self) -> None:
        """About a token that has expired nobody is asked, and what it opened goes on."""
        client = self.open(exp=int(self.lab.now()) + 200)
        self.wait(700)
        self.assertEqual((self.lab.questions, client.received), (0, b""))


class ExpiryTests(LastingTestCase):
    def test_outlives(self) -> None:
        """A WebSocket outlives the token by which it was opened, unless that is not wanted."""
        client, _ = self.websocket(self.lab.token(exp=int(self.lab.now()) + 60))
        self.wait(90)
        self.assertEqual(client.received, b"")

    def test_ends(self) -> None:
        """Where it is wanted it ends with the token, to the second."""
        self.make(until_token_expires=True)
        client, service = self.websocket(self.lab.token(exp=int(self.lab.now()) + 60))
        self.wait(58)
        self.assertEqual(client.received, b"")
        self.wait(2.2)
        self.assertEqual(client.received, EXPIRED)
        self.assertTrue(client.closed and service.transport.closed)

    def test_gone_before(self) -> None:
        """Of one that is over before, no timer is left."""
        self.make(until_token_expires=True)
        before = len(self.lab.clock.getDelayedCalls())
        client, _ = self.websocket(self.lab.token())
        self.assertEqual(len(self.lab.clock.getDelayedCalls()), before + 2)
        client.leave()
        self.assertEqual(len(self.lab.clock.getDelayedCalls()), before)

    def test_key_without_end(self) -> None:
        """An API key without an end has none."""
        self.make(until_token_expires=True)
        client, _ = self.websocket(X_API_KEY)
        self.wait(100)
        self.assertEqual(client.received, b"")
