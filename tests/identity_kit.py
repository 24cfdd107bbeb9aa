"""A world of fakes around an authenticator (tokens, keys, revocations, an Auth Service), and what links look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import request, request_parser
from tracseq_gateway.config.policies import Authentication
from tracseq_gateway.errors import AUTH_UNAVAILABLE
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.identity.authenticator import Authenticator
from tracseq_gateway.identity.introspection import AuthServiceUnavailable
from tracseq_gateway.identity.introspection import Verdict as ServiceVerdict
from tracseq_gateway.identity.tokens import Claims, TokenRefused, UnknownKey
from tracseq_gateway.interfaces import Identity, TlsFacts

NOW = 1_780_000_000.0
CLAIMS = Claims("u-1", "lab_technician", "t@lab.test", "s-1", NOW + 3600, 0.0, NOW - 10)
STANDS = ServiceVerdict(True, "u-1", "t@lab.test", "lab_technician", "s-1", None)
IDENTITY = Identity("user", "u-1", "lab_technician", "t@lab.test", "s-1")
DOWN = AuthServiceUnavailable("connection refused")


class World:
    """All that an authenticator leans on: it verifies, holds the keys and the revocations, asks and refreshes."""

    def __init__(self, *, asks: bool = True, refreshes: bool = True, **settings: Any) -> None:
        self.time = NOW
        self.claims = CLAIMS
        """What every token says."""
        self.bad: set[bytes] = set()
        self.unknown: set[bytes] = set()
        """Tokens whose key is not known."""
        self.verified: list[bytes] = []
        self.questions: list[tuple[bytes, Deferred[ServiceVerdict]]] = []
        self.refreshes: list[tuple[str, str | None, Deferred[None]]] = []
        self.keys: dict[bytes, Identity] = {}
        self.presented: list[bytes] = []
        self.ended_sessions: set[str] = set()
        self.ended_users: dict[str, float] = {}
        self.authenticator = Authenticator(
            Authentication(enabled=True, **settings),
            self,
            self,
            self,
            lambda: self.time,
            self._ask if asks else None,
            self._refresh if refreshes else None,
        )

    # What the authenticator calls.

    def verify(self, token: bytes, now: float) -> Claims:
        self.verified.append(token)
        if token in self.unknown:
            raise UnknownKey("RS256", "k9")
        if token in self.bad or not self.claims.not_before <= now < self.claims.expires:
            raise TokenRefused("no good")
        return self.claims

    def find(self, presented: bytes, now: float) -> Identity | None:
        self.presented.append(presented)
        return self.keys.get(presented)

    hears = True

    def is_revoked(self, session: str, subject: str, issued: float | None) -> bool:
        until = self.ended_users.get(subject)
        return session in self.ended_sessions or (until is not None and (issued is None or issued <= until))

    def _ask(self, token: bytes) -> Deferred[ServiceVerdict]:
        answer: Deferred[ServiceVerdict] = Deferred()
        self.questions.append((token, answer))
        return answer

    def _refresh(self, algorithm: str, kid: str | None) -> Deferred[None]:
        found: Deferred[None] = Deferred()
        self.refreshes.append((algorithm, kid, found))
        return found

    # What the tests call.

    def answer(self, what: ServiceVerdict | Exception = STANDS) -> None:
        """Answer the oldest question."""
        _, waiting = self.questions.pop(0)
        if isinstance(what, Exception):
            waiting.errback(Failure(what))
        else:
            waiting.callback(what)

    def identify(self, *lines: bytes) -> Any:
        """Let a request come with these lines."""
        return self.authenticator.identify(request_parser(head=1 << 20).parse(request(b"/", *lines)))

    def bring(self, token: bytes = b"token") -> Any:
        """Let a request come with a token."""
        return self.identify(b"Authorization: Bearer " + token)


class IdentityTestCase(SynchronousTestCase):
    def assertIdentity(self, found: Any, expected: Identity = IDENTITY) -> None:
        """See that this is somebody, alike in every part."""
        found = self.successResultOf(found) if isinstance(found, Deferred) else found
        self.assertIsInstance(found, Identity)
        self.assertEqual(_parts(found), _parts(expected))

    def assertRefused(self, world: World, found: Any) -> None:
        """See that this is the one refusal that there is."""
        found = self.successResultOf(found) if isinstance(found, Deferred) else found
        self.assertEqual(found, world.authenticator.unauthenticated)

    def assertUnavailable(self, found: Any) -> None:
        """See that this is a 503 that says when to come back."""
        error = self.successResultOf(found) if isinstance(found, Deferred) else found
        self.assertEqual((error.kind, error.kind.status, error.retry_after), (AUTH_UNAVAILABLE, 503, 1))

    def known(self, **settings: Any) -> World:
        """A world in which the Auth Service has answered for one token."""
        world = World(**settings)
        found = world.bring()
        world.answer()
        self.assertIdentity(found)
        world.verified.clear()
        return world


def _parts(identity: Identity) -> tuple[str, ...]:
    return identity.kind, identity.subject, identity.role, identity.email, identity.session


@define
class FakeRequest:
    """What the links look at."""

    head: RequestHead
    identity: Identity | None = None
    forwarded: bytes = b"via: 1.1 gw\r\n"
    status: int = 0
    tls: TlsFacts | None = None
    ended: list[Callable[[Any], None]] = field(factory=list)

    def at_end(self, ended: Callable[[Any], None]) -> None:
        self.ended.append(ended)

    def end(self, status: int) -> None:
        self.status = status
        for ended in self.ended:
            ended(self)


def fake(target: str, method: str = "GET", identity: Identity | None = None) -> Any:
    """A request for a path; the parser normalises it."""
    head = request_parser(keep_separators=True).parse(request(target.encode(), method=method.encode()))
    return FakeRequest(head, identity)
