"""What callers have opened and still goes on: it ends when they may no longer.

A request is looked at when it comes. A WebSocket or a stream of events lasts longer than that look is good for, so it
ends when its session is ended, here or at any other worker; when the Auth Service, asked as often as about requests,
does not know the session any more; and if that is wanted, when its token expires. After that nobody can be asked about
a token: a revocation ends what is open then, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.errors import UNAUTHENTICATED, GatewayError
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.identity.authenticator import Found
from tracseq_gateway.identity.revocation_ledger import Revocation
from tracseq_gateway.interfaces import Identity, Request

End = Callable[[str], None]
"""Ends what was opened; it is told why, in a few words for the client."""
Identify = Callable[[RequestHead], "Found | Deferred[Found] | None"]
"""Says who sends a request, as for one that comes now."""

SPREAD = 0.2
"""How much later than others one may be looked at again, as a share: what was opened together is not asked about
together. Never earlier, or what was heard last would still be taken for true."""

SESSION_ENDED = "the session has ended"
TOKEN_EXPIRED = "the token has expired"  # noqa: S105


class Ended(Protocol):
    """See ``revocations.Revocations``."""

    def is_revoked(self, session: str, subject: str, issued: float | None) -> bool:
        """Whether a session has been ended."""

    def on_change(self, observer: Callable[[Revocation], None]) -> None:
        """Have ``observer`` told of each revocation."""


class _Opened:
    """One thing that goes on, and what is waited for meanwhile."""

    def __init__(self, request: Request, identity: Identity, end: End) -> None:
        self.request = request
        self.identity = identity
        self.end = end
        self.expiry: IDelayedCall | None = None
        self.look: IDelayedCall | None = None
        self.judged: Deferred[Any] | None = None

    def stop(self) -> None:
        """It is over: nothing is waited for."""
        for call in (self.expiry, self.look):
            if call is not None and call.active():
                call.cancel()
        if self.judged is not None:
            self.judged.cancel()


class Lasting:
    """What goes on in one worker."""

    _log = Logger()

    def __init__(
        self,
        revocations: Ended,
        clock: IReactorTime,
        now: Callable[[], float],
        identify: Identify,
        interval: float,
        random: Random | None = None,
    ) -> None:
        """``now`` gives seconds since the epoch; ``interval`` is how often it is asked whether a session stands."""
        self._revocations = revocations
        self._clock = clock
        self._now = now
        self._identify = identify
        self._interval = interval
        self._random = random or Random()  # noqa: S311
        self._open: dict[tuple[str, str], set[_Opened]] = {}
        """By session, and by user."""
        revocations.on_change(self._revoked)

    def __len__(self) -> int:
        """How many may be ended by a revocation."""
        return len(set().union(*self._open.values()))

    def watch(self, request: Request, end: End, *, until_expiry: bool) -> None:
        """Have ``end`` called when the session of who sent a request has ended; perhaps at once.

        With ``until_expiry`` also when the token or the API key has expired. Never once the request is over.
        """
        identity = request.identity
        if identity is None:
            return
        if identity.kind == "user" and self._has_ended(identity):
            end(SESSION_ENDED)
            return
        opened = _Opened(request, identity, end)
        for name in _names(identity):
            self._open.setdefault(name, set()).add(opened)
        request.at_end(lambda request: self._forget(opened))
        if until_expiry and identity.expires:
            left = max(0.0, identity.expires - self._now())
            opened.expiry = self._clock.callLater(left, end, TOKEN_EXPIRED)
        if identity.kind == "user" and self._interval:
            self._look_later(opened)

    def _forget(self, opened: _Opened) -> None:
        opened.stop()
        for name in _names(opened.identity):
            others = self._open[name]
            others.discard(opened)
            if not others:
                del self._open[name]

    # Revocations.

    def _revoked(self, revocation: Revocation) -> None:
        for opened in list(self._open.get((revocation.kind, revocation.name), ())):
            if self._has_ended(opened.identity):
                opened.end(SESSION_ENDED)

    def _has_ended(self, identity: Identity) -> bool:
        ended, issued = self._revocations.is_revoked, identity.issued or None
        return any(ended(session, identity.subject, issued) for session in identity.sessions or ("",))

    # Sessions that end without a word to the gateway.

    def _look_later(self, opened: _Opened) -> None:
        seconds = self._interval * self._random.uniform(1.0, 1.0 + SPREAD)
        opened.look = self._clock.callLater(seconds, self._look, opened)

    def _look(self, opened: _Opened) -> None:
        if self._now() >= opened.identity.expires:
            return
        found = self._identify(opened.request.head)
        if isinstance(found, Deferred):
            opened.judged = found
            found.addCallbacks(self._judged, self._failed, callbackArgs=(opened,), errbackArgs=(opened,))
        else:
            self._judged(found, opened)

    def _judged(self, found: Found | None, opened: _Opened) -> None:
        opened.judged = None
        if isinstance(found, GatewayError) and found.kind is UNAUTHENTICATED:
            opened.end(SESSION_ENDED)
        else:
            self._look_later(opened)  # also when nobody could be asked: what is open stays so meanwhile

    def _failed(self, failure: Failure, opened: _Opened) -> None:
        opened.judged = None
        if not failure.check(CancelledError):
            self._log.failure("it cannot be told whether a session still stands", failure=failure)
            self._look_later(opened)


def _names(identity: Identity) -> Iterator[tuple[str, str]]:
    """By what somebody's session can be ended; nothing for an API key."""
    if identity.kind == "user":
        yield "user", identity.subject
        for session in identity.sessions:
            yield "session", session
