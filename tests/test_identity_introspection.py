"""Asking the Auth Service: what an answer means, and what becomes of those that never come."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from treq.testing import StubTreq
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import ResponseDone
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from tests.process_kit import freePort
from tests.sandbox_client import NOW, SECRET, start
from tracseq_gateway.config import Authentication, Seconds
from tracseq_gateway.config.service_tls import ServiceTls
from tracseq_gateway.identity.introspection import (
    LARGEST_ANSWER,
    REST_SECONDS,
    AuthServiceUnavailable,
    Introspection,
    Verdict,
    introspection_client,
    read_verdict,
)
from tracseq_gateway.net.tls_peer import Peers
from tracseq_gateway.sandbox import DEMO_PASSWORD
from tracseq_gateway.sandbox.kit.service import Context

BASE = "http://auth.test:8080"
SETTINGS = Authentication(service_key="service_gateway")

GOOD = {
    "valid": True,
    "user_id": "u-1",
    "email": "a@b.c",
    "role": "lab_technician",
    "session_id": "s-1",
    "expires_at": "2026-03-01T11:00:00.123456789Z",
}


def answer(**changed: object) -> bytes:
    return json.dumps({"success": True, "data": {**GOOD, **changed}}).encode()


class ReadingTests(SynchronousTestCase):
    """``read_verdict``."""

    def test_valid(self) -> None:
        """A valid session is read whole; the moment may have a fraction, or an offset."""
        expected = Verdict(True, "u-1", "a@b.c", "lab_technician", "s-1", NOW + 3600.123456)
        self.assertEqual(expected, read_verdict(answer()))
        self.assertEqual(NOW, read_verdict(answer(expires_at="2026-03-01T12:00:00+02:00")).expires)

    def test_less(self) -> None:
        """A user without an e-mail address, a token without a session, and no known end are possible."""
        verdict = read_verdict(answer(email=None, session_id=None, expires_at=None))
        self.assertEqual(Verdict(True, "u-1", "", "lab_technician", "", None), verdict)

    def test_invalid(self) -> None:
        """A session that is over is told by ``valid: false``; what else is there says nothing."""
        nulls = dict.fromkeys(GOOD) | {"valid": False}
        self.assertEqual(Verdict(False), read_verdict(answer(**nulls)))
        self.assertEqual(Verdict(False), read_verdict(answer(valid=False)))

    def test_refused(self) -> None:
        """What is not what the contract says is no verdict, neither way."""
        for content in (
            b"",
            b"null",
            b"[]",
            b"\xff",
            b"[" * 100_000,
            b'{"success": true}',
            b'{"success": true, "data": []}',
            json.dumps({"success": False, "data": GOOD}).encode(),
            json.dumps({"success": 1, "data": GOOD}).encode(),
            b'{"success": true, "data": {"valid": false, "valid": true}}',
            answer(valid=None),
            answer(valid=1),
            answer(valid="false"),
            answer(user_id=None),
            answer(user_id=""),
            answer(user_id=7),
            answer(user_id="u\r\nx-user-role: lab_administrator"),
            answer(user_id="u" * 257),
            answer(role="root"),
            answer(role=None),
            answer(role=["guest"]),
            answer(email=["a@b.c"]),
            answer(email="a@b.c\n"),
            answer(session_id=" s-1"),
            answer(expires_at="soon"),
            answer(expires_at="2026-03-01T11:00:00"),
            answer(expires_at="2026-03-01T25:00:00Z"),
            answer(expires_at=1772359200),
        ):
            with self.assertRaises(ValueError, msg=repr(content[:200])):
                read_verdict(content)


class ContractTests(SynchronousTestCase):
    """With the stand-in of the Auth Service."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        service = start("auth", Context(directory, self.clock, SECRET))
        self.addCleanup(service.close)
        self.client: Any = StubTreq(service.resource())

    def post(self, path: str, body: object, **fields: str) -> Any:
        asked = self.client.post(f"{BASE}/api/v1/auth{path}", json=body, headers=fields)
        self.client.flush()
        return self.successResultOf(self.client.json_content(self.successResultOf(asked)))["data"]

    def ask(self, token: bytes, service_key: str = "service_gateway") -> Deferred[Verdict]:
        settings = Authentication(service_key=service_key)
        introspection = Introspection(settings, "/api/v1/auth", lambda: BASE, self.client.post, self.clock)
        asked = introspection.ask(token)
        self.client.flush()
        return asked

    def test_session(self) -> None:
        """A session stands until the user logs out."""
        grant = self.post("/login", {"email": "lab_technician@sandbox.tracseq.test", "password": DEMO_PASSWORD})
        token = grant["access_token"]
        verdict = self.successResultOf(self.ask(token.encode()))
        self.assertEqual(
            (True, grant["user_id"], grant["session_id"]), (verdict.valid, verdict.subject, verdict.session)
        )
        self.assertEqual(("lab_technician", grant["email"]), (verdict.role, verdict.email))
        assert verdict.expires is not None
        self.assertGreater(verdict.expires, NOW)
        self.post("/logout", {}, Authorization=f"Bearer {token}")
        self.assertEqual(Verdict(False), self.successResultOf(self.ask(token.encode())))

    def test_nonsense(self) -> None:
        """What is no token of the service is not valid, and bytes that no token has are not even sent."""
        self.assertEqual(Verdict(False), self.successResultOf(self.ask(b"a.b.c")))
        self.assertEqual(Verdict(False), self.successResultOf(self.ask(b"\xff\xfe")))

    def test_serviceKey(self) -> None:
        """A service that refuses our key says nothing of the token; the reason names the setting."""
        for key in ("", "somebody"):
            failure = self.failureResultOf(self.ask(b"a.b.c", key), AuthServiceUnavailable)
            self.assertEqual("status 401, is auth.service_key the one that it knows?", failure.getErrorMessage())


class FakeService:
    """Stands for ``HTTPClient.post``: keeps what was asked and answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.waiting: list[Deferred[Any]] = []
        self.cancelled = 0

    def post(self, url: str, **options: Any) -> Deferred[Any]:
        self.asked.append((url, options))
        waiting: Deferred[Any] = Deferred(self._cancel)
        self.waiting.append(waiting)
        return waiting

    def _cancel(self, _: object) -> None:
        self.cancelled += 1

    def answer(self, content: bytes, status: int = 200) -> None:
        self.waiting.pop(0).callback(FakeResponse(content, status))

    def refuse(self) -> None:
        self.waiting.pop(0).errback(ConnectionRefusedError())


class FakeResponse:
    def __init__(self, content: bytes, status: int) -> None:
        self.code = status
        self._content = content

    def deliverBody(self, protocol: Any) -> None:
        protocol.dataReceived(self._content)
        protocol.connectionLost(Failure(ResponseDone()))


class AskingTests(SynchronousTestCase):
    """``Introspection``, with a service that answers at the test's command."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.service = FakeService()
        self.bases = [BASE]
        self.introspection = self.make(self.turn)

    def turn(self) -> str | None:
        """The next instance in turn."""
        if not self.bases:
            return None
        self.bases.append(self.bases.pop(0))
        return self.bases[-1]

    def make(self, instance: Callable[[], str | None]) -> Introspection:
        return Introspection(SETTINGS, "/api/v1", instance, self.service.post, self.clock)

    def ask(self) -> Deferred[Verdict]:
        return self.introspection.ask(b"a.b.c")

    def reason(self, asked: Deferred[Verdict]) -> str:
        failure = self.failureResultOf(asked, AuthServiceUnavailable)
        assert isinstance(failure.value, AuthServiceUnavailable)
        return failure.value.reason

    def test_question(self) -> None:
        """The question goes where the contract says, with the service key, and follows no redirect."""
        asked = self.ask()
        ((url, options),) = self.service.asked
        self.assertEqual(f"{BASE}/api/v1/validate/token", url)
        self.assertEqual({"token": "a.b.c"}, options["json"])
        self.assertEqual(
            {
                "Authorization": "Service service_gateway",
                "Accept": "application/json",
                "User-Agent": "tracseq-gateway",
            },
            options["headers"],
        )
        self.assertIs(False, options["allow_redirects"])
        self.service.answer(answer())
        self.assertTrue(self.successResultOf(asked).valid)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_statuses(self) -> None:
        """No status but 200 is a verdict, whatever the body says."""
        for status in (201, 204, 302, 400, 401, 403, 404, 429, 500, 503):
            asked = self.ask()
            self.service.answer(answer(), status)
            self.assertTrue(self.reason(asked).startswith(f"status {status}"))
            self.clock.advance(REST_SECONDS)

    def test_answers(self) -> None:
        """An answer that is nonsense or too long is no verdict."""
        for content, reason in (
            (b"<html>", "not JSON"),
            (answer(role="root"), "a role that the platform does not have"),
            (b" " * LARGEST_ANSWER + answer(), f"an answer of more than {LARGEST_ANSWER} bytes"),
        ):
            asked = self.ask()
            self.service.answer(content)
            self.assertIn(reason, self.reason(asked))
            self.clock.advance(REST_SECONDS)

    def test_timeout(self) -> None:
        """A service that is silent is given up at the time-out, and its connection with it."""
        asked = self.ask()
        self.clock.advance(1.9)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.assertEqual("no answer within 2 s", self.reason(asked))
        self.assertEqual(1, self.service.cancelled)

    def test_noInstance(self) -> None:
        """Without a healthy instance nobody is asked."""
        self.bases.clear()
        self.assertEqual("no instance is healthy", self.reason(self.ask()))
        self.assertEqual([], self.service.asked)

    def test_rest(self) -> None:
        """After a failure the service is left alone for a second, then asked by one question until it answers."""
        first = self.ask()
        self.service.refuse()
        self.assertEqual("connection refused", self.reason(first))
        self.clock.advance(REST_SECONDS - 0.01)
        self.assertEqual(f"{BASE} gave no verdict a moment ago: connection refused", self.reason(self.ask()))
        self.clock.advance(0.01)
        probe = self.ask()
        self.assertIn("a moment ago", self.reason(self.ask()))
        self.assertEqual(2, len(self.service.asked))
        self.service.answer(answer())
        self.assertTrue(self.successResultOf(probe).valid)
        both = [self.ask(), self.ask()]
        self.assertEqual(4, len(self.service.asked))
        for asked in both:
            self.service.answer(answer())
            self.assertTrue(self.successResultOf(asked).valid)

    def test_restAgain(self) -> None:
        """A probe that fails begins another second."""
        first = self.ask()
        self.service.refuse()
        self.reason(first)
        self.clock.advance(REST_SECONDS)
        probe = self.ask()
        self.service.refuse()
        self.reason(probe)
        self.clock.advance(REST_SECONDS - 0.01)
        self.assertIn("a moment ago", self.reason(self.ask()))
        self.assertEqual(2, len(self.service.asked))

    def test_otherInstance(self) -> None:
        """An instance that failed does not keep us from asking the other one."""
        self.bases = ["http://one", "http://two"]
        first = self.ask()
        self.service.refuse()
        self.reason(first)
        answered = [self.ask(), self.ask(), self.ask()]
        for asked in answered:
            self.service.answer(answer())
            self.assertTrue(self.successResultOf(asked).valid)
        self.assertEqual(["http://one"] + ["http://two"] * 3, [url[:10] for url, _ in self.service.asked])

    def test_cancelled(self) -> None:
        """A question that is given up by who asked is no failure of the service, and a probe that is, not the last."""
        asked = self.ask()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.service.waiting.clear()
        first = self.ask()
        self.service.refuse()
        self.reason(first)
        self.clock.advance(REST_SECONDS)
        probe = self.ask()
        probe.cancel()
        self.failureResultOf(probe, CancelledError)
        self.service.waiting.clear()
        again = self.ask()
        self.service.answer(answer())
        self.assertTrue(self.successResultOf(again).valid)

    def test_raised(self) -> None:
        """Whatever the client fails with is a reason, not a crash of the request."""
        errors = iter([RuntimeError("out of order"), OSError(24, "Too many open files")])
        self.service.post = lambda url, **options: fail(next(errors))  # type: ignore[method-assign]
        self.introspection = self.make(self.turn)
        self.assertEqual("RuntimeError: out of order", self.reason(self.ask()))
        self.clock.advance(REST_SECONDS)
        self.assertIn("Too many open files", self.reason(self.ask()))


class Scripted(Resource):
    """A service that answers as the test says, and notes by which connections it was asked."""

    isLeaf = True

    def __init__(self, respond: Callable[[Request], bytes | int]) -> None:
        super().__init__()
        self.respond = respond
        self.channels: set[int] = set()
        self.cookies: list[bytes | None] = []

    def render_POST(self, request: Request) -> bytes | int:
        self.channels.add(id(request.channel))
        self.cookies.append(request.getHeader(b"cookie"))
        return self.respond(request)


class ClientTests(TestCase):
    """``introspection_client``, over real connections."""

    timeout = 10

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor

    def serve(self, respond: Callable[[Request], bytes | int], seconds: float = 5.0) -> tuple[Scripted, Introspection]:
        resource = Scripted(respond)
        port = self.reactor.listenTCP(0, Site(resource), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return resource, self.introspection(port.getHost().port, seconds)

    def introspection(self, port: int, seconds: float) -> Introspection:
        settings = Authentication(timeout=Seconds(seconds))
        client = introspection_client(self.reactor, settings, partial(Peers().peer, ServiceTls()))
        self.addCleanup(client.close)
        return Introspection(settings, "", lambda: f"http://127.0.0.1:{port}", client.post, self.reactor)

    async def test_connectionAndCookies(self) -> None:
        """Questions one after the other use one connection, and no cookie that the service sets comes back."""

        def respond(request: Request) -> bytes:
            request.addCookie(b"sid", b"1")
            return answer()

        resource, introspection = self.serve(respond)
        for _ in range(3):
            self.assertTrue((await introspection.ask(b"a.b.c")).valid)
        self.assertEqual((1, [None, None, None]), (len(resource.channels), resource.cookies))

    async def test_refused(self) -> None:
        """A port on which nobody listens is an unavailable service."""
        with self.assertRaises(AuthServiceUnavailable) as raised:
            await self.introspection(freePort(), 5.0).ask(b"a.b.c")
        self.assertEqual("connection refused", raised.exception.reason)

    async def test_stalledBody(self) -> None:
        """An answer that stops in its body is given up at the time-out, and the connection is closed."""
        gone: Deferred[None] = Deferred()

        def respond(request: Request) -> int:
            request.notifyFinish().addErrback(lambda _: gone.callback(None))
            request.write(b'{"success": ')
            return NOT_DONE_YET

        _, introspection = self.serve(respond, 0.1)
        with self.assertRaises(AuthServiceUnavailable) as raised:
            await introspection.ask(b"a.b.c")
        self.assertEqual("no answer within 0.1 s", raised.exception.reason)
        await gone

    async def test_closedEarly(self) -> None:
        """A connection that is closed instead of an answer is an unavailable service."""

        def respond(request: Request) -> int:
            cast(ITCPTransport, request.transport).abortConnection()
            return NOT_DONE_YET

        _, introspection = self.serve(respond)
        with self.assertRaises(AuthServiceUnavailable) as raised:
            await introspection.ask(b"a.b.c")
        self.assertEqual("connection closed before the answer was complete", raised.exception.reason)
