"""What callers have opened and still goes on: it ends when they may no longer.

A request is looked at when it comes. A WebSocket or a stream of events lasts longer than that look is good for, so it
ends when the session is ended by which it was opened, here or at any other worker, and if that is wanted, with its
token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from tracseq_gateway.identity.revocation_ledger import Revocation
from tracseq_gateway.interfaces import Identity, Request

End = Callable[[str], None]
"""Ends what was opened; it is told why, in a few words for the client."""

SESSION_ENDED = "the session has ended"
TOKEN_EXPIRED = "the token has expired"  # noqa: S105


class Ended(Protocol):
    """See ``revocations.Revocations``."""

    def is_revoked(self, session: str, subject: str, issued: float | None) -> bool:
        """Whether a session has been ended."""

    def on_change(self, observer: Callable[[Revocation], None]) -> None:
        """Have ``observer`` told of each revocation."""


class Lasting:
    """What goes on in one worker."""

    def __init__(self, revocations: Ended, clock: IReactorTime, now: Callable[[], float]) -> None:
        """``now`` gives seconds since the epoch."""
        self._revocations = revocations
        self._clock = clock
        self._now = now
        self._open: dict[tuple[str, str], dict[Request, End]] = {}
        """By session, and by user."""
        revocations.on_change(self._revoked)

    def __len__(self) -> int:
        """How many may be ended."""
        return len({request for opened in self._open.values() for request in opened})

    def watch(self, request: Request, end: End, *, until_expiry: bool) -> None:
        """Have ``end`` called when the session of who sent a request has ended; perhaps at once.

        With ``until_expiry`` also when the token or the API key has expired. Never once the request is over.
        """
        identity = request.identity
        if identity is None:
            return
        names = list(_names(identity))
        if names and self._has_ended(identity):
            end(SESSION_ENDED)
            return
        for name in names:
            self._open.setdefault(name, {})[request] = end
        if names:
            request.at_end(self._forget)
        if until_expiry and identity.expires:
            self._end_later(request, end, max(0.0, identity.expires - self._now()))

    def _end_later(self, request: Request, end: End, seconds: float) -> None:
        expiry = self._clock.callLater(seconds, end, TOKEN_EXPIRED)

        def stop(request: Request) -> None:
            if expiry.active():
                expiry.cancel()

        request.at_end(stop)

    def _forget(self, request: Request) -> None:
        for name in _names(request.identity):
            opened = self._open.get(name)
            if opened is not None:
                opened.pop(request, None)
                if not opened:
                    del self._open[name]

    def _revoked(self, revocation: Revocation) -> None:
        opened = self._open.get((revocation.kind, revocation.name), {})
        for request, end in list(opened.items()):
            if request.identity is not None and self._has_ended(request.identity):
                end(SESSION_ENDED)

    def _has_ended(self, identity: Identity) -> bool:
        ended, issued = self._revocations.is_revoked, identity.issued or None
        return any(ended(session, identity.subject, issued) for session in identity.sessions or ("",))


def _names(identity: Identity | None) -> Iterator[tuple[str, str]]:
    """By what somebody's session can be ended; nothing for an API key."""
    if identity is not None and identity.kind == "user":
        yield "user", identity.subject
        for session in identity.sessions:
            yield "session", session
