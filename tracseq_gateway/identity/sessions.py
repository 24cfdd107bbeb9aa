"""Notices that a session was ended through the gateway, so that its token dies at every worker at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol
from urllib.parse import unquote_to_bytes
from uuid import UUID

from tracseq_gateway.http.paths import PathPatterns
from tracseq_gateway.interfaces import Request

CLIENT_GONE = 499
"""The status of a request whose client left before the answer."""


class EndsSessions(Protocol):
    """See ``revocations.Revocations``."""

    def revoke_session(self, session: str, until: float | None = None) -> None:
        """End a session at all workers; raises ValueError for what cannot be the id of one."""

    def revoke_user(self, user: str) -> None:
        """End all sessions of a user at all workers."""


class SessionWatch:
    """A link of the auth service: it looks at the answers to log-outs and to deletions of sessions."""

    def __init__(
        self,
        prefix: int,
        logout: Sequence[str],
        sessions: Sequence[str],
        revocations: EndsSessions,
        password_changes: Sequence[str] = (),
    ) -> None:
        """``prefix`` bytes of a path are the service's own; the paths are below it."""
        self._password_changes = PathPatterns(dict.fromkeys(password_changes, True))
        self._prefix = prefix
        self._logout = PathPatterns(dict.fromkeys(logout, True))
        self._sessions = PathPatterns({f"{path.rstrip('/')}/*": True for path in sessions})
        self._revocations = revocations

    def __call__(self, request: Request) -> None:
        """Have the end of a request looked at that may end a session."""
        method, below = request.head.method, request.head.path[self._prefix :]
        if method == b"POST":
            identity = request.identity
            if self._password_changes.find(below) and identity is not None and identity.kind == "user":
                request.at_end(self._user_revoker(identity.subject))
            if self._logout.find(below) and request.identity is not None and request.identity.session:
                # Who leaves before the answer wanted to end it, and it may have ended.
                request.at_end(self._revoker(request.identity.session, CLIENT_GONE))
        elif method == b"DELETE" and self._sessions.find(below):
            session = unquote_to_bytes(below).rstrip(b"/").rpartition(b"/")[2]
            request.at_end(self._revoker(session.decode(errors="replace")))

    def _user_revoker(self, user: str) -> Callable[[Request], None]:
        """What ends all sessions of a user when the answer is a success."""

        def ended(request: Request) -> None:
            if 200 <= request.status < 300:
                self._revocations.revoke_user(user)

        return ended

    def _revoker(self, session: str, further: int | None = None) -> Callable[[Request], None]:
        """What ends a session at all workers when the answer is a success, or has the ``further`` status."""

        def ended(request: Request) -> None:
            if 200 <= request.status < 300 or request.status == further:
                for spelled in _spellings(session):
                    with suppress(ValueError):  # for what cannot be the id of a session: no token has such a one
                        self._revocations.revoke_session(spelled)

        return ended


def _spellings(session: str) -> Iterable[str]:
    """The id as it was written, and if that is a UUID, as tokens have it: services read a UUID in any spelling."""
    spellings = {session}
    with suppress(ValueError):
        spellings.add(str(UUID(session)))
    return spellings
