"""Users and sessions of the sandbox's auth service: what is stored, and what may be done with it."""

from __future__ import annotations

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from .auth_tokens import AccessTokens, Passwords, fingerprint, new_token
from .kit import moments
from .kit.problems import Problem, bad_request, conflict, unauthorized
from .kit.records import Database
from .kit.schema import Json

FAILURES_ALLOWED = 5
LOCK_SECONDS = 900.0
SESSION_SECONDS = 30 * moments.DAY
RESET_SECONDS = 3600.0

# Addresses are stored in lower case, so that this index is what makes them unique.
TABLES = """
CREATE UNIQUE INDEX IF NOT EXISTS user_email ON record (json_extract(document, '$.email'))
    WHERE collection = 'users';
"""


@frozen
class Identity:
    """Who a valid access token speaks for."""

    user: Json
    session: Json
    expires: float
    """When the token ends, seconds since the epoch."""


class Accounts:
    """The users: registering, passwords, and locking an account after repeated failures."""

    def __init__(self, database: Database, clock: IReactorTime, passwords: Passwords) -> None:
        self.users = database.collection("users", "user", clock)
        self._clock = clock
        self._passwords = passwords

    def create(self, email: str, password: str, role: str, *, verified: bool, names: Json, identity: str = "") -> Json:
        """Store a user.

        :raises Problem: 409 when the address is taken.
        """
        if self.find(email) is not None:
            raise conflict("email_taken", f"there is already a user {email}")
        fields = {
            "email": email.lower(),
            "role": role,
            "verified": verified,
            "first_name": names.get("first_name"),
            "last_name": names.get("last_name"),
            "password": self._passwords.hashed(password),
            "failures": 0,
            "locked_until": 0.0,
        }
        return self.users.create(fields, identity=identity or None)

    def find(self, email: str) -> Json | None:
        """Return the user with this address, in any case of letters."""
        return self.users.first(email=email.lower())

    def authenticate(self, email: str, password: str) -> Json:
        """Return the user with this address and password.

        :raises Problem: 401 for a wrong pair, 423 while the account is locked, 403 before the address is verified.
        """
        user = self.find(email)
        if user is None:
            self._passwords.hashed(password)  # An unknown address takes as long as a wrong password.
            raise unauthorized("invalid_credentials", "the e-mail address or the password is wrong")
        self._require_unlocked(user)
        if not self._passwords.matches(password, user["password"]):
            raise self._failed(user)
        if not user["verified"]:
            raise Problem(403, "email_not_verified", "verify the e-mail address first")
        if not user["failures"]:
            return user
        return self.users.change(user["id"], {"failures": 0, "locked_until": 0.0})

    def _require_unlocked(self, user: Json) -> None:
        remaining = user["locked_until"] - self._clock.seconds()
        if remaining > 0:
            message = f"too many failed logins; try again in {remaining:.0f} s"
            raise Problem(423, "account_locked", message, headers={"Retry-After": f"{remaining:.0f}"})

    def _failed(self, user: Json) -> Problem:
        """Count a failed login, lock the account when it was one too many, and return the refusal."""
        failures = user["failures"] + 1
        if failures >= FAILURES_ALLOWED:
            until = self._clock.seconds() + LOCK_SECONDS
            self.users.change(user["id"], {"failures": 0, "locked_until": until})
        else:
            self.users.change(user["id"], {"failures": failures})
        return unauthorized("invalid_credentials", "the e-mail address or the password is wrong")

    def require_password(self, user: Json, password: str) -> None:
        """Check the password of a user who is already known by a token.

        :raises Problem: 400 when it is wrong.
        """
        if not self._passwords.matches(password, user["password"]):
            raise bad_request("wrong_password", "the password is wrong", {"current_password": "is wrong"})

    def set_password(self, user: Json, password: str) -> None:
        """Give a user a new password and unlock the account."""
        fields = {"password": self._passwords.hashed(password), "failures": 0, "locked_until": 0.0}
        self.users.change(user["id"], fields)

    def offer_token(self, user: Json, purpose: str) -> str:
        """Return a new token with which the user can do one thing once (``reset`` or ``verify``) within an hour."""
        token = new_token()
        until = self._clock.seconds() + RESET_SECONDS
        self.users.change(user["id"], {f"{purpose}_token": fingerprint(token), f"{purpose}_until": until})
        return token

    def redeem_token(self, token: str, purpose: str) -> Json:
        """Return the user whom this token was offered to, and spend it.

        :raises Problem: 400 when it is unknown, spent or too old.
        """
        user = self.users.first(**{f"{purpose}_token": fingerprint(token)})
        if user is None or user[f"{purpose}_until"] <= self._clock.seconds():
            raise bad_request("invalid_token", "the token is unknown, spent or too old")
        return self.users.change(user["id"], {f"{purpose}_token": None})


class Sessions:
    """The sessions: each is one login, kept alive by refresh tokens that are used once."""

    def __init__(self, database: Database, clock: IReactorTime, tokens: AccessTokens, accounts: Accounts) -> None:
        self.sessions = database.collection("sessions", "session", clock)
        self._clock = clock
        self._tokens = tokens
        self._accounts = accounts

    def start(self, user: Json, agent: str | None, address: str | None) -> Json:
        """Begin a session and return what a login answers."""
        refresh = new_token()
        fields = {
            "user_id": user["id"],
            "refresh": fingerprint(refresh),
            "spent_refresh": None,
            "expires": self._clock.seconds() + SESSION_SECONDS,
            "revoked": False,
            "user_agent": agent,
            "address": address,
        }
        session = self.sessions.create(fields, user["id"])
        return self._grant(user, session, refresh)

    def refresh(self, token: str) -> Json:
        """Exchange a refresh token for new tokens of the same session.

        A token that was already exchanged has been stolen from one side or the other: it ends the session.

        :raises Problem: 401 when the token is unknown, spent, or its session is over.
        """
        stolen = self.sessions.first(spent_refresh=fingerprint(token))
        if stolen is not None:
            self.revoke(stolen)
        session = self.sessions.first(refresh=fingerprint(token))
        if session is None or not self._is_alive(session):
            raise unauthorized("invalid_refresh_token", "the refresh token is unknown, spent or its session is over")
        fresh = new_token()
        replaced = {"refresh": fingerprint(fresh), "spent_refresh": session["refresh"]}
        session = self.sessions.change(session["id"], replaced)
        return self._grant(self._accounts.users.get(session["user_id"]), session, fresh)

    def identify(self, token: str) -> Identity | None:
        """Return whom an access token speaks for; None when it, or its session, is unknown, over or revoked."""
        claims = self._tokens.read(token, self._clock.seconds())
        if claims is None:
            return None
        user = self._accounts.users.first(id=claims["sub"])
        session = self.sessions.first(id=claims["jti"], user_id=claims["sub"])
        if session is None or user is None or not self._is_alive(session):
            return None
        return Identity(user, session, claims["exp"])

    def revoke(self, session: Json) -> None:
        """End a session; its tokens are refused from now on."""
        self.sessions.change(session["id"], {"revoked": True})

    def revoke_all(self, user: Json, keep: str | None = None) -> None:
        """End every session of a user but the one to keep."""
        for session in self.sessions.all(user_id=user["id"], revoked=False):
            if session["id"] != keep:
                self.revoke(session)

    def alive(self, user: Json) -> list[Json]:
        """Return a user's sessions that are not over."""
        return [session for session in self.sessions.all(user_id=user["id"]) if self._is_alive(session)]

    def _is_alive(self, session: Json) -> bool:
        return not session["revoked"] and session["expires"] > self._clock.seconds()

    def _grant(self, user: Json, session: Json, refresh: str) -> Json:
        access, expires = self._tokens.issue(user, session["id"], self._clock.seconds())
        return {
            "user_id": user["id"],
            "email": user["email"],
            "role": user["role"],
            "access_token": access,
            "refresh_token": refresh,
            "expires_at": moments.to_text(expires),
            "session_id": session["id"],
        }
