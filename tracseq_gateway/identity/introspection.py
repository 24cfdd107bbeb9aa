"""The Auth Service is asked whether a session still stands.

House rules:

1. What is not a clear answer is no answer: only a well-formed 200 is a verdict, and everything else, a 401 to
   ourselves among it, is :class:`AuthServiceUnavailable`. It is taken neither for a yes nor for a no.
2. Every question ends within ``timeout``, its connection with it, and reads at most :data:`LARGEST_ANSWER` bytes.
3. An instance that failed is left alone for :data:`REST_SECONDS`, then asked by one question until it answers, so that
   requests do not queue up behind a service that is down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn, cast

from attrs import define, frozen
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionClosed, ConnectionRefusedError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.client import Agent, HTTPConnectionPool

from tracseq_gateway.config.policies import Authentication, Role
from tracseq_gateway.identity import moments
from tracseq_gateway.identity.signing import is_field_text
from tracseq_gateway.identity.strict_json import members_of
from tracseq_gateway.interfaces import ROLES
from tracseq_gateway.net.body import read_body
from tracseq_gateway.net.quiet import PeerOf, QuietEndpoints

LARGEST_ANSWER: Final = 64 * 1024
"""Bytes of an answer; a verdict has some 300."""

MOST_BRACKETS: Final = 64
"""Opening brackets of an answer; a verdict has two."""

REST_SECONDS: Final = 1.0
"""How long an instance is not asked after it failed."""

IDLE_SECONDS: Final = 1.5
"""How long a connection is kept for the next question. A POST that meets a connection which the service closes at that
moment is not sent again, so this is less than the 2 s of the most impatient servers in use (gunicorn's)."""

_log = Logger()


@frozen
class Verdict:
    """What the Auth Service says of a token. The rest is empty when it is not valid."""

    valid: bool
    subject: str = ""
    """The user's id."""
    email: str = ""
    """Empty when the user has none."""
    role: Role = "guest"
    session: str = ""
    """The session's id; empty when the token belongs to none."""
    expires: float | None = None
    """When the session ends, in seconds since the epoch; None when the service does not say."""


class AuthServiceUnavailable(Exception):
    """The Auth Service gave no verdict: it is down, slow, refuses to talk to us, or does not keep its contract."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """In a few words, for the log."""


Post = Callable[..., Deferred[Any]]
"""``HTTPClient.post`` of treq: sends a POST, and fires with the head of the answer."""


@frozen
class Client:
    """What questions are asked with."""

    post: Post
    close: Callable[[], Deferred[None]]
    """Closes the connections that are kept; fires when they are gone."""


def introspection_client(reactor: Any, settings: Authentication, peer_of: PeerOf) -> Client:
    """A client for :class:`Introspection`: it keeps connections for the next question, and no cookies.

    ``peer_of`` says who should be at the host of an instance that is spoken to over TLS.
    """
    pool = HTTPConnectionPool(reactor, persistent=True)
    pool.maxPersistentPerHost = 8
    pool.cachedConnectionTimeout = cast(int, IDLE_SECONDS)  # which takes any number of seconds
    agent = Agent.usingEndpointFactory(reactor, QuietEndpoints(reactor, peer_of, settings.timeout), pool)
    return Client(HTTPClient(agent, _NoCookies()).post, pool.closeCachedConnections)


class Introspection:
    """Asks the Auth Service about tokens. Who asks twice gets two questions sent: it caches and joins nothing."""

    def __init__(
        self,
        settings: Authentication,
        rewrite: str,
        instance: Callable[[], str | None],
        post: Post,
        reactor: IReactorTime,
    ) -> None:
        """Prepare to ask.

        :param rewrite: what stands for the service's prefix upstream, such as ``/api/v1``.
        :param instance: gives the base URL of a healthy instance, a different one in turn; None when there is none.
        """
        self._settings = settings
        self._path = rewrite + settings.validate_path
        self._instance = instance
        self._post = post
        self._reactor = reactor
        self._rests: dict[str, _Rest] = {}  # by base URL; never more than there are instances
        self._headers = {"Accept": "application/json", "User-Agent": "tracseq-gateway"}
        if settings.service_key:
            self._headers["Authorization"] = f"Service {settings.service_key}"

    def ask(self, token: bytes) -> Deferred[Verdict]:
        """Ask whether a token's session stands.

        Fails with :class:`AuthServiceUnavailable`, and with nothing else unless the Deferred is cancelled.
        """
        return Deferred.fromCoroutine(self._ask(token))

    async def _ask(self, token: bytes) -> Verdict:
        if not token.isascii():
            return Verdict(False)  # no token is (RFC 7519, RFC 6750 section 2.1), and JSON could not say it
        base = self._choose()
        rest = self._rests.get(base)
        if rest is not None:
            rest.begin(base, self._reactor.seconds())
        try:
            verdict = await self._question(base, token).addTimeout(
                self._settings.timeout, self._reactor, onTimeoutCancel=_late
            )
        except CancelledError:
            if rest is not None:
                rest.probing = False
            raise
        except Exception as error:
            raise self._failed(base, _words(error)) from error
        self._answered(base)
        return verdict

    def _choose(self) -> str:
        """The instance to ask: the next one, or if that rests the one after it, which may rest, too."""
        base = self._instance()
        rest = self._rests.get(base or "")
        if rest is not None and not rest.may_begin(self._reactor.seconds()):
            base = self._instance()
        if base is None:
            raise AuthServiceUnavailable("no instance is healthy")
        return base

    def _question(self, base: str, token: bytes) -> Deferred[Verdict]:
        return Deferred.fromCoroutine(self._exchange(base + self._path, token.decode("ascii")))

    async def _exchange(self, url: str, token: str) -> Verdict:
        response = await self._post(
            url,
            json={"token": token},
            headers=self._headers,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,  # or treq would import the global one
        )
        content = await read_body(response, LARGEST_ANSWER)
        if response.code in (401, 403):
            raise ValueError(f"status {response.code}, is auth.service_key the one that it knows?")
        if response.code != 200:
            raise ValueError(f"status {response.code}")
        return read_verdict(content)

    def _failed(self, base: str, reason: str) -> AuthServiceUnavailable:
        if base not in self._rests:
            _log.warn("the auth service at {base} gives no verdicts: {reason}", base=base, reason=reason)
        self._rests[base] = _Rest(reason, self._reactor.seconds() + REST_SECONDS)
        return AuthServiceUnavailable(reason)

    def _answered(self, base: str) -> None:
        if self._rests.pop(base, None) is not None:
            _log.info("the auth service at {base} gives verdicts again", base=base)


@define
class _Rest:
    """An instance that failed, and has not answered since."""

    reason: str
    until: float
    probing: bool = False
    """Whether a question is on its way that will show how the instance is."""

    def may_begin(self, now: float) -> bool:
        return now >= self.until and not self.probing

    def begin(self, base: str, now: float) -> None:
        if not self.may_begin(now):
            raise AuthServiceUnavailable(f"{base} gave no verdict a moment ago: {self.reason}")
        self.probing = True


def read_verdict(content: bytes) -> Verdict:
    """Read the body of a 200.

    :raises ValueError: when it is not what the contract says, in any part of it that is used.
    """
    document = members_of(content, MOST_BRACKETS)
    data = document.get("data")
    if document.get("success") is not True or not isinstance(data, dict):
        raise ValueError('an answer without "success": true and "data"')
    valid = data.get("valid")
    if valid is False:
        return Verdict(False)
    if valid is not True:
        raise ValueError("valid is neither true nor false")
    role = data.get("role")
    if role not in ROLES:
        raise ValueError("a role that the platform does not have")
    subject = _text(data, "user_id")
    if not subject:
        raise ValueError("a valid token without user_id")
    return Verdict(True, subject, _text(data, "email"), role, _text(data, "session_id"), _expiry(data))


def _text(data: dict[str, object], name: str) -> str:
    """A member that goes into a header field; absent or null it is empty."""
    value = data.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not is_field_text(value):
        raise ValueError(f"{name} cannot stand in a header field")
    return value


def _expiry(data: dict[str, object]) -> float | None:
    value = data.get("expires_at")
    if value is None:
        return None
    try:
        return moments.to_seconds(value if isinstance(value, str) else "")
    except (ValueError, OverflowError):
        raise ValueError("expires_at is not a moment such as 2027-01-31T00:00:00Z") from None


class _NoCookies(IndexableCookieJar):
    """Keeps no cookie: a session of the gateway's own at the Auth Service is nothing that anybody means to have."""

    def set_cookie(self, cookie: object) -> None:
        pass


def _words(error: Exception) -> str:
    """Why there is no verdict, in a few words."""
    for reason in getattr(error, "reasons", ()):  # what Twisted wraps around a connection's or a parser's error
        error = reason.value
        break
    if isinstance(error, ValueError | TimeoutError):  # ours
        return str(error)
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionClosed):
        return "connection closed before the answer was complete"
    if isinstance(error, ConnectError):
        return f"no connection: {error}"
    return f"{type(error).__name__}: {error}"


def _late(result: object, timeout: float) -> NoReturn:
    raise TimeoutError(f"no answer within {timeout:g} s")
