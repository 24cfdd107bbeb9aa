"""A whole gateway in memory with identity: real tokens and keys, an Auth Service that the test plays."""

from __future__ import annotations

import re
from typing import Any

import jwt
from twisted.internet.defer import Deferred, fail, succeed

from tests.kit import Answer, MemoryClient, MemoryGateway, Received
from tests.kit_client import request
from tests.token_kit import SECRET, VARIABLE
from tracseq_gateway.config.model import Service
from tracseq_gateway.config.policies import ApiKey, Authentication, PathRule, Redis
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.identity.api_keys import new_key
from tracseq_gateway.identity.introspection import AuthServiceUnavailable, Verdict

KEY, OLD_KEY = new_key(), new_key()
KEYS = {
    "s7": ApiKey(
        hash=KEY.hash, owner="sequencer-7", role="lab_technician", services=("samples",), methods=("GET", "POST")
    ),
    "old": ApiKey(hash=OLD_KEY.hash, owner="sequencer-1", role="lab_administrator", expires="2026-01-01T00:00:00Z"),
}
X_API_KEY = b"X-API-Key: " + KEY.key.encode()
INSTANCES = (Instance("http://127.0.0.1:9001"),)
SERVICES = {
    "auth": Service("auth", prefix="/auth", rewrite="", instances=INSTANCES, public=("/login",)),
    "samples": Service(
        "samples",
        prefix="/samples",
        rewrite="",
        instances=INSTANCES,
        public=("/news",),
        roles={"DELETE": "lab_administrator"},
        paths={
            "/open": PathRule(auth="none"),
            "/maybe": PathRule(auth="optional"),
            "/open/not": PathRule(auth="required"),
        },
    ),
    "board": Service("board", prefix="/board", rewrite="", instances=INSTANCES, auth="none"),
}


class Lab(MemoryGateway):
    """A gateway with identity; the Auth Service finds every token good, unless the test answers itself."""

    def __init__(
        self,
        *,
        asks: bool = True,
        environ: dict[str, str] | None = None,
        services: dict[str, Service] = SERVICES,
        **settings: Any,
    ) -> None:
        auth = Authentication(enabled=True, service="auth", api_keys=KEYS, **settings)
        super().__init__(
            services=services,
            tables={"auth": auth, "redis": Redis(url="unix:///run/tests/redis.sock")},
            environ={VARIABLE: SECRET, **(environ or {})},
        )
        self.down = False
        self.hold = False
        """Whether questions wait for the test."""
        self._questions: list[tuple[Deferred[Verdict], Verdict]] = []
        assert self.worker.callers is not None
        self.callers = self.worker.callers
        self.callers.authenticator._ask = self._ask if asks else None

    def _ask(self, token: bytes) -> Deferred[Verdict]:
        claims = jwt.decode(token, options={"verify_signature": False})
        verdict = Verdict(True, claims["sub"], "", claims["role"], claims["jti"])
        if self.down:
            return fail(AuthServiceUnavailable("connection refused"))
        if not self.hold:
            return succeed(verdict)
        answer: Deferred[Verdict] = Deferred()
        self._questions.append((answer, verdict))
        return answer

    @property
    def questions(self) -> int:
        """How many questions wait."""
        return len(self._questions)

    def answer_question(self, *, stands: bool = True) -> None:
        """Answer the oldest question, and let the service answer what goes on by that."""
        answer, verdict = self._questions.pop(0)
        answer.callback(verdict if stands else Verdict(False))
        self.service.run()

    def token(self, user: str = "u-1", role: str = "lab_technician", session: str = "s-1", **claims: object) -> bytes:
        """The line with a token of this user."""
        now = int(self.now())
        content = {"sub": user, "role": role, "jti": session, "iat": now, "exp": now + 3600, **claims}
        return b"Authorization: Bearer " + jwt.encode(content, SECRET, "HS256").encode()

    def ask(self, target: bytes, *lines: bytes, method: bytes = b"GET", body: bytes = b"") -> Answer:
        """The answer to one request on a connection of its own."""
        client = self.exchange(request(target, *lines, method=method, body=body))
        (answer,) = client.answers(method)
        return answer

    def seen(self, target: bytes, *lines: bytes, method: bytes = b"GET") -> Received:
        """What the service saw of one request that went on to it."""
        before = len(self.service.requests)
        answer = self.ask(target, *lines, method=method)
        assert len(self.service.requests) == before + 1, answer
        return self.service.requests[-1]


def statuses(client: MemoryClient, *methods: bytes) -> list[int]:
    return [answer.status for answer in client.answers(*methods)]


def identity_fields(received: Received) -> dict[str, str]:
    """All that a service might take for identity, whatever sign parts the words; fails if something comes twice."""
    found: dict[str, str] = {}
    for name, value in received.fields:
        plain = re.sub(r"[-_]", "-", name.decode().lower())
        if re.match(r"x-(user|session|identity)|(x-)?remote-user|x-api-key|x-instrument", plain):
            assert plain not in found, f"{plain} twice"
            found[plain] = value.decode()
    return found
