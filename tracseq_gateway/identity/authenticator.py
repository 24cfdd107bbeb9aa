"""Who sends a request: from a token or an API key to an :class:`Identity`.

A token is verified locally, then the Auth Service is asked whether its session stands; the verdict is remembered. Who
asks about a token that is being asked about waits for the same answer. What costs nothing is done first: a token that
is known costs a hash and a look-up.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from copy import copy
from typing import Any, Protocol, TypeGuard

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.config.policies import Authentication, Role
from tracseq_gateway.errors import AUTH_UNAVAILABLE, INTERNAL, UNAUTHENTICATED, GatewayError
from tracseq_gateway.http.request_head import RequestFields, RequestHead
from tracseq_gateway.identity.introspection import AuthServiceUnavailable
from tracseq_gateway.identity.introspection import Verdict as ServiceVerdict
from tracseq_gateway.identity.tokens import LONGEST_TOKEN, Claims, TokenRefused, UnknownKey
from tracseq_gateway.identity.verdicts import Verdict, Verdicts
from tracseq_gateway.interfaces import Identity

MOST_REASONS = 256
"""Refusals that are kept, by their reason, which may quote a token's header."""
BAD_SECONDS = 10.0
"""How long a refused token is refused without being looked at again."""
ALONE_SECONDS = 5.0
"""How long a verdict of the Auth Service holds while it is not heard when another worker ends a session."""
LOCAL_SECONDS = 1.0
"""How long a token that is let pass without the Auth Service, which is away, passes before it is asked again."""

Found = Identity | GatewayError
Ask = Callable[[bytes], Deferred[ServiceVerdict]]
"""Asks the Auth Service about a token."""
Refresh = Callable[[str, str | None], Deferred[Any]]
"""Looks for a newer key for ``alg`` and ``kid``."""


class Verifier(Protocol):
    """See ``tokens.TokenVerifier``."""

    def verify(self, token: bytes, now: float) -> Claims:
        """What a token says; raises TokenRefused."""


class KeyRing(Protocol):
    """See ``api_keys.ApiKeys``."""

    def find(self, presented: bytes, now: float) -> Identity | None:
        """Whose key it is."""


class Ended(Protocol):
    """See ``revocations.Revocations``."""

    def is_revoked(self, session: str, subject: str, issued: float | None) -> bool:
        """Whether a session has been ended."""

    @property
    def hears(self) -> bool:
        """Whether it is heard when others end a session."""


@frozen
class _Asked:
    """A sound token, while the Auth Service is asked about its session."""

    token: bytes
    digest: bytes
    claims: Claims
    era: int
    """Of the keys that it was verified with, as ``Verdicts.era`` counts."""


class Authenticator:
    """Finds out who calls."""

    _log = Logger()

    def __init__(
        self,
        settings: Authentication,
        verifier: Verifier,
        keys: KeyRing,
        revocations: Ended,
        now: Callable[[], float],
        ask: Ask | None = None,
        refresh: Refresh | None = None,
        keys_known: Callable[[], bool] = lambda: True,
    ) -> None:
        """Prepare.

        :param ask: asks the Auth Service about a token; None: what is locally valid is valid.
        :param refresh: looks for a newer key for ``alg`` and ``kid``; None: all keys are known.
        :param keys_known: whether published keys were ever fetched: until then a key that is missing says nothing.
        :param now: seconds since the epoch.
        """
        self._keys_known = keys_known
        self._settings = settings
        self._verifier = verifier
        self._keys = keys
        self._revocations = revocations
        self._now = now
        self._ask = ask
        self._refresh = refresh
        self._header = settings.api_key_header.lower().encode("ascii")
        self._waiting: dict[bytes, list[Deferred[Found]]] = {}
        self.verdicts = Verdicts(settings.cache_entries, BAD_SECONDS)
        self.unauthenticated = GatewayError(
            UNAUTHENTICATED, "a valid token or API key is needed", challenge=f'Bearer realm="{settings.realm}"'
        )
        self._refusals: dict[str, GatewayError] = {}
        self.outcomes: Counter[str] = Counter()
        """How it went: ``cached``, ``verified``, ``asked``, ``key``, ``refused``, ``stale``, ``unavailable``."""

    def rehearsal(self, ask: Ask | None, refresh: Refresh | None) -> Authenticator:
        """One that finds out who calls as this one would now, and changes nothing that this one knows or counts.

        It has ``ask`` and ``refresh`` in the place of this one's; see :meth:`own_questions`.
        """
        twin = copy(self)
        twin._ask, twin._refresh = ask, refresh
        twin._waiting, twin._refusals = {}, {}
        twin.verdicts, twin.outcomes = self.verdicts.rehearsal(), Counter()
        return twin

    @property
    def own_questions(self) -> tuple[Ask | None, Refresh | None]:
        """How the Auth Service is asked about a token, and how newer keys are looked for."""
        return self._ask, self._refresh

    def fresh_for(self, verdict: Verdict) -> float:
        """For how many seconds a verdict holds without a question."""
        return max(0.0, verdict.fresh - self._now())

    def identify(self, head: RequestHead) -> Found | Deferred[Found] | None:
        """Say who sends a request; None when it does not say. A refusal has the same words whatever its reason."""
        fields = head.fields
        values = fields.authorization
        if values:
            if fields.credential is not None and self._still_holds(fields.credential):
                return fields.credential.identity
            if len(values) == 1 and values[0][:7].lower() == b"bearer ":
                return self._by_token(values[0][7:].strip(b" "), fields)
            return self._refused("not one Bearer token")
        presented = [line.value for line in head.fields.received if line.name == self._header]
        if not presented:
            return None
        if len(presented) > 1:
            return self._refused("more than one API key")
        identity = self._keys.find(presented[0], self._now())
        if identity is None:
            return self._refused("no such API key")
        self.outcomes["key"] += 1
        return identity

    def _still_holds(self, kept: object) -> TypeGuard[Verdict]:
        """Whether the verdict still holds that was found for the same fields, on the same connection, before."""
        if not isinstance(kept, Verdict) or kept.era != self.verdicts.era:
            return False
        if not self._is_fresh(kept, self._now()) or self._has_ended(kept.claims, kept.identity.session):
            return False
        self.outcomes["cached"] += 1
        return True

    def _is_fresh(self, verdict: Verdict, now: float) -> bool:
        """Whether nobody need be asked: while other workers are not heard, a verdict grows old soon."""
        if not verdict.begins <= now < verdict.fresh:
            return False
        return self._ask is None or self._revocations.hears or now < verdict.begins + ALONE_SECONDS

    def _by_token(self, token: bytes, fields: RequestFields) -> Found | Deferred[Found]:
        if len(token) > LONGEST_TOKEN:
            return self._refused("a token that is too long")
        digest = hashlib.sha256(token).digest()
        now = self._now()
        known = self.verdicts.find(digest)
        if known is not None and self._is_fresh(known, now):
            if self._has_ended(known.claims, known.identity.session):
                return self._bad(digest, now, "its session was ended")
            self.outcomes["cached"] += 1
            fields.credential = known
            return known.identity
        if self.verdicts.is_bad(digest, now):
            return self._refused("a token that was refused before")
        if digest in self._waiting:
            return self._join(digest)
        return self._examine(token, digest, now)

    def _examine(self, token: bytes, digest: bytes, now: float) -> Found | Deferred[Found]:
        """Verify a token that is not known, or not any more."""
        try:
            claims = self._verifier.verify(token, now)
        except UnknownKey as unknown:
            if self._refresh is None:
                return self._bad(digest, now, unknown.reason)
            waiter = self._join(digest)
            found = self._refresh(unknown.algorithm, unknown.kid)
            found.addCallback(lambda _: self._verified_again(token, digest))
            found.addErrback(self._broken, digest)
            return waiter
        except TokenRefused as refusal:
            return self._bad(digest, now, refusal.reason)
        return self._verified(token, digest, claims, now)

    def _verified_again(self, token: bytes, digest: bytes) -> None:
        """The keys may be others now: the token is verified, or refused, for good."""
        now = self._now()
        try:
            claims = self._verifier.verify(token, now)
        except TokenRefused as refusal:
            if isinstance(refusal, UnknownKey) and not self._keys_known():
                self.outcomes["unavailable"] += 1
                self._tell(digest, GatewayError(AUTH_UNAVAILABLE, "tokens cannot be verified yet", retry_after=1))
                return
            self._tell(digest, self._bad(digest, now, refusal.reason))
            return
        found = self._verified(token, digest, claims, now, waiting=True)
        if not isinstance(found, Deferred):
            self._tell(digest, found)

    def _verified(
        self, token: bytes, digest: bytes, claims: Claims, now: float, *, waiting: bool = False
    ) -> Found | Deferred[Found]:
        """A token is sound: does its session stand?"""
        if self._has_ended(claims):
            return self._bad(digest, now, "its session was ended")
        if self._ask is None:
            self.outcomes["verified"] += 1
            return self._good(digest, claims, None, now, self._settings.cache_seconds)
        waiter: Deferred[Found] = Deferred() if waiting else self._join(digest)
        asked = _Asked(token, digest, claims, self.verdicts.era)
        answer = self._ask(token)
        answer.addCallbacks(self._answered, self._unanswered, callbackArgs=(asked,), errbackArgs=(asked,))
        answer.addErrback(self._broken, digest)
        return waiter

    def _answered(self, verdict: ServiceVerdict, asked: _Asked) -> None:
        """The Auth Service has spoken."""
        now, digest, claims = self._now(), asked.digest, asked.claims
        if asked.era != self.verdicts.era:
            self._verified_again(asked.token, digest)
        elif not verdict.valid or verdict.subject != claims.subject or self._has_ended(claims, verdict.session):
            self._tell(digest, self._bad(digest, now, "the Auth Service does not know its session"))
        else:
            self.outcomes["asked"] += 1
            self._tell(digest, self._good(digest, claims, verdict, now, self._settings.cache_seconds))

    def _unanswered(self, failure: Failure, asked: _Asked) -> None:
        """The Auth Service is away: the setting says what holds."""
        failure.trap(AuthServiceUnavailable)
        now, digest, claims, mode = self._now(), asked.digest, asked.claims, self._settings.when_service_is_down
        known = self.verdicts.find(digest)
        if asked.era != self.verdicts.era:
            self._verified_again(asked.token, digest)
        elif self._has_ended(claims, "" if known is None else known.identity.session):
            self._tell(digest, self._bad(digest, now, "its session was ended"))
        elif mode == "cached" and known is not None and known.begins <= now < known.stale:
            self.outcomes["stale"] += 1
            known.fresh = min(known.stale, now + LOCAL_SECONDS)
            self._tell(digest, known.identity)
        elif mode == "local":
            self.outcomes["stale"] += 1
            self._tell(digest, self._good(digest, claims, None, now, LOCAL_SECONDS))
        else:
            self.outcomes["unavailable"] += 1
            self._tell(digest, GatewayError(AUTH_UNAVAILABLE, "sessions cannot be checked", retry_after=1))

    def _good(
        self, digest: bytes, claims: Claims, verdict: ServiceVerdict | None, now: float, seconds: float
    ) -> Identity:
        """Remember a good token. What the Auth Service says of the user, or said, wins over what the token says."""
        known = self.verdicts.find(digest)
        if verdict is None:
            identity = _identity(claims, claims.role, claims.email, claims.session)
        else:
            identity = _identity(claims, verdict.role, verdict.email, verdict.session or claims.session)
        if known is not None and (verdict is None or _same(known.identity, identity)):
            identity = known.identity
        end = claims.expires
        if verdict is not None and verdict.expires is not None:
            end = min(end, verdict.expires)
        fresh = min(end, now + seconds)
        self.verdicts.keep(
            digest,
            Verdict(
                identity,
                claims,
                now - 1.0,
                fresh,
                min(end, fresh + self._settings.grace_seconds),
                self.verdicts.era,
            ),
        )
        return identity

    def _has_ended(self, claims: Claims, session: str = "") -> bool:
        """Whether the session that a token names was ended, or the one that the Auth Service says it belongs to."""
        ended, issued = self._revocations.is_revoked, claims.issued or None
        return ended(claims.session, claims.subject, issued) or (
            session not in ("", claims.session) and ended(session, claims.subject, issued)
        )

    def _bad(self, digest: bytes, now: float, reason: str) -> GatewayError:
        self.verdicts.keep_bad(digest, now)
        return self._refused(reason)

    def _refused(self, reason: str) -> GatewayError:
        """Refuse, always in the same words; the reason is for the records."""
        self.outcomes["refused"] += 1
        refusal = self._refusals.get(reason)
        if refusal is None:
            if len(self._refusals) >= MOST_REASONS:
                self._refusals.clear()
            refusal = self._refusals[reason] = evolve(self.unauthenticated, note=reason)
        return refusal

    # Those who wait for one answer.

    def _join(self, digest: bytes) -> Deferred[Found]:
        """Wait for what becomes of a token; who gives up leaves the others their answer."""
        waiters = self._waiting.setdefault(digest, [])
        waiter: Deferred[Found] = Deferred(waiters.remove)
        waiters.append(waiter)
        return waiter

    def _tell(self, digest: bytes, found: Found) -> None:
        for waiter in self._waiting.pop(digest, []):
            waiter.callback(found)

    def _broken(self, failure: Failure, digest: bytes) -> None:
        self._log.failure("a token could not be examined", failure=failure)
        self._tell(digest, GatewayError(INTERNAL))


def _identity(claims: Claims, role: Role, email: str, session: str) -> Identity:
    sessions = frozenset({session, claims.session} - {""})
    return Identity(
        "user",
        claims.subject,
        role,
        email,
        session,
        sessions=sessions,
        issued=claims.issued,
        expires=claims.expires,
    )


def _same(one: Identity, other: Identity) -> bool:
    return (one.subject, one.role, one.email, one.session) == (other.subject, other.role, other.email, other.session)
