"""The stand-in auth service: users, sessions, real HS256 tokens, and their validation for the gateway."""

from __future__ import annotations

import re

from . import DEMO_PASSWORD, ROLES, demo_users
from .auth_accounts import TABLES, Accounts, Identity, Sessions
from .auth_tokens import AccessTokens, Passwords
from .demo import demo_id
from .kit import moments
from .kit.problems import not_found, unauthorized
from .kit.records import Database, Page
from .kit.routes import Call, Part, Routes
from .kit.schema import Json, boolean, choice, email, identifier, moment, nullable, record, stored, text
from .kit.service import Context, Service

_SERVICE_KEY = re.compile(r"Service service_\S+", re.IGNORECASE)
_PASSWORD = text(8, 200)
_ROLE = choice(*ROLES)
_NAMES = {"first_name": text(0, 100), "last_name": text(0, 100)}

LOGIN = record("Login", {"email": email(), "password": text(1, 200)})
REGISTRATION = record("Registration", {"email": email(), "password": _PASSWORD}, _NAMES)
REFRESH = record("Refresh", {"refresh_token": text(1, 200)})
PASSWORD_CHANGE = record("PasswordChange", {"current_password": text(1, 200), "new_password": _PASSWORD})
FORGOTTEN = record("ForgottenPassword", {"email": email()})
RESET = record("PasswordReset", {"token": text(1, 200), "new_password": _PASSWORD})
VERIFICATION = record("EmailVerification", {"token": text(1, 200)})
TOKEN = record("TokenToValidate", {"token": text(0, 8192)})
PERMISSION = record("PermissionToValidate", {"token": text(0, 8192), "required_role": _ROLE}, {"resource": text()})

GRANT = record(
    "Grant",
    {
        "user_id": identifier(),
        "email": email(),
        "role": _ROLE,
        "access_token": text(maximum=8192),
        "refresh_token": text(),
        "expires_at": moment(),
        "session_id": identifier(),
    },
)
USER = stored("User", record("UserFields", {"email": email(), "role": _ROLE, "verified": boolean()}, _NAMES))
SESSION = record(
    "Session",
    {"id": identifier(), "created_at": moment(), "expires_at": moment(), "current": boolean()},
    {"user_agent": text(), "address": text()},
)
MAILED = record("MailedToken", {"message": text()}, {"sandbox_token": text()})
VERDICT = record(
    "TokenVerdict",
    {"valid": boolean()},
    {"user_id": identifier(), "email": email(), "role": _ROLE, "session_id": identifier(), "expires_at": moment()},
)
PERMITTED_USER = record("PermittedUser", {"user_id": identifier(), "email": email(), "role": _ROLE})
PERMISSION_VERDICT = record(
    "PermissionVerdict", {"authorized": boolean(), "user": nullable(PERMITTED_USER), "reason": text()}
)


def service(context: Context, passwords: Passwords | None = None) -> Service:
    """Return the auth service with one user for each role."""
    database = Database(context.directory / "auth.sqlite", TABLES)
    accounts = Accounts(database, context.reactor, passwords or Passwords())
    sessions = Sessions(database, context.reactor, AccessTokens(context.secret), accounts)

    def seed() -> None:
        for role, address in demo_users():
            names = {"first_name": role.replace("_", " ").title(), "last_name": "Demo"}
            identity = demo_id("user", role)
            accounts.create(address, DEMO_PASSWORD, role, verified=True, names=names, identity=identity)

    database.fill_once(seed)
    parts = [Public(accounts, sessions), Own(accounts, sessions), Validation(sessions)]
    description = (
        "Users and sessions. Tokens are real; mail is not: what would be mailed is in the answer, as `sandbox_token`."
    )
    return Service("auth", description, database, context.reactor, parts)


def bearer(sessions: Sessions, call: Call) -> Identity:
    """Return whom the call's Bearer token speaks for.

    :raises Problem: 401 when there is none, or it is not valid.
    """
    scheme, _, token = (call.header("Authorization") or "").partition(" ")
    if scheme.lower() != "bearer":
        raise unauthorized("missing_token", "send Authorization: Bearer <access token>")
    identity = sessions.identify(token.strip())
    if identity is None:
        raise unauthorized("invalid_token", "the token is not valid, or its session is over")
    return identity


def _shown(user: Json) -> Json:
    return {name: user[name] for name in USER["properties"]}


class Public(Part):
    """What needs no token."""

    routes = Routes("auth")

    def __init__(self, accounts: Accounts, sessions: Sessions) -> None:
        self._accounts = accounts
        self._sessions = sessions

    @routes.post("/auth/login", "Log in", body=LOGIN, answer=GRANT, errors=(401, 403, 423))
    def login(self, call: Call) -> Json:
        """Start a session; five failures in a row lock the account for a quarter of an hour."""
        user = self._accounts.authenticate(call.body["email"], call.body["password"])
        peer = call.request.getClientAddress()
        return self._sessions.start(user, (call.header("User-Agent") or "")[:200], getattr(peer, "host", None))

    @routes.post("/auth/register", "Register a guest", body=REGISTRATION, answer=MAILED, status=201, errors=(409,))
    def register(self, call: Call) -> Json:
        """Store a guest who can log in once the address is verified."""
        body = call.body
        user = self._accounts.create(body["email"], body["password"], "guest", verified=False, names=body)
        return _mailed("verify the address with this token", self._accounts.offer_token(user, "verify"))

    @routes.post("/auth/refresh", "Exchange a refresh token", body=REFRESH, answer=GRANT, errors=(401,))
    def refresh(self, call: Call) -> Json:
        """Answer with a new pair of tokens; the old refresh token is spent."""
        return self._sessions.refresh(call.body["refresh_token"])

    @routes.post("/auth/forgot-password", "Ask for a password reset", body=FORGOTTEN, answer=MAILED)
    def forgot_password(self, call: Call) -> Json:
        """Answer the same sentence for an unknown address, and no token."""
        user = self._accounts.find(call.body["email"])
        token = self._accounts.offer_token(user, "reset") if user else None
        return _mailed("if the address is known, it was sent a token", token)

    @routes.post("/auth/reset-password", "Set a new password", body=RESET)
    def reset_password(self, call: Call) -> None:
        """Spend a reset token; every session of the user ends."""
        user = self._accounts.redeem_token(call.body["token"], "reset")
        self._accounts.set_password(user, call.body["new_password"])
        self._sessions.revoke_all(user)

    @routes.post("/auth/verify-email", "Verify an e-mail address", body=VERIFICATION, answer=USER)
    def verify_email(self, call: Call) -> Json:
        """Spend a verification token."""
        user = self._accounts.redeem_token(call.body["token"], "verify")
        return _shown(self._accounts.users.change(user["id"], {"verified": True}))


def _mailed(message: str, token: str | None) -> Json:
    return {"message": message, "sandbox_token": token}


class Own(Part):
    """What a user does with their own account."""

    routes = Routes("auth")

    def __init__(self, accounts: Accounts, sessions: Sessions) -> None:
        self._accounts = accounts
        self._sessions = sessions

    @routes.get("/auth/me", "Show the token's user", answer=USER, errors=(401,))
    def me(self, call: Call) -> Json:
        """Show the user without secrets."""
        return _shown(bearer(self._sessions, call).user)

    @routes.post("/auth/logout", "End the token's session", errors=(401,))
    def logout(self, call: Call) -> None:
        """Revoke the session: its access tokens are refused from now on."""
        self._sessions.revoke(bearer(self._sessions, call).session)

    @routes.pages("/auth/sessions", "List one's sessions", SESSION, errors=(401,))
    def list_sessions(self, call: Call) -> Page:
        """List the sessions that are not over."""
        identity = bearer(self._sessions, call)
        shown = [
            {
                "id": session["id"],
                "created_at": session["created_at"],
                "expires_at": moments.to_text(session["expires"]),
                "current": session["id"] == identity.session["id"],
                "user_agent": session["user_agent"],
                "address": session["address"],
            }
            for session in self._sessions.alive(identity.user)
        ]
        return Page.of(shown, **call.window)

    @routes.delete("/auth/sessions/<uuid:session_id>", "Revoke a session", errors=(401,))
    def revoke_session(self, call: Call, session_id: str) -> None:
        """Revoke one's own session; a lab administrator may revoke anybody's."""
        identity = bearer(self._sessions, call)
        session = self._sessions.sessions.get(session_id)
        if session["user_id"] != identity.user["id"] and identity.user["role"] != "lab_administrator":
            raise not_found("session", session_id)
        self._sessions.revoke(session)

    @routes.post("/auth/change-password", "Change one's password", body=PASSWORD_CHANGE, errors=(401,))
    def change_password(self, call: Call) -> None:
        """Set a new password; every other session of the user ends."""
        identity = bearer(self._sessions, call)
        self._accounts.require_password(identity.user, call.body["current_password"])
        self._accounts.set_password(identity.user, call.body["new_password"])
        self._sessions.revoke_all(identity.user, keep=identity.session["id"])


class Validation(Part):
    """What the gateway and the other services ask."""

    routes = Routes("auth")

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @routes.post("/auth/validate/token", "Say whether a token is valid", body=TOKEN, answer=VERDICT, errors=(401,))
    def validate_token(self, call: Call) -> Json:
        """Answer 200 in either case: an unknown, ended or revoked session is `valid: false` with nulls."""
        self._require_service(call)
        identity = self._sessions.identify(call.body["token"])
        if identity is None:
            return {"valid": False} | dict.fromkeys(("user_id", "email", "role", "session_id", "expires_at"))
        return {
            "valid": True,
            **_permitted(identity),
            "session_id": identity.session["id"],
            "expires_at": moments.to_text(identity.expires),
        }

    @routes.post(
        "/auth/validate/permissions",
        "Say whether a token's role is high enough",
        body=PERMISSION,
        answer=PERMISSION_VERDICT,
        errors=(401,),
    )
    def validate_permissions(self, call: Call) -> Json:
        """Compare the roles by their order, lowest first."""
        self._require_service(call)
        identity = self._sessions.identify(call.body["token"])
        if identity is None:
            return {"authorized": False, "user": None, "reason": "the token is not valid, or its session is over"}
        role, required = identity.user["role"], call.body["required_role"]
        authorized = ROLES.index(role) >= ROLES.index(required)
        relation = "is at least" if authorized else "is below"
        return {"authorized": authorized, "user": _permitted(identity), "reason": f"{role} {relation} {required}"}

    def _require_service(self, call: Call) -> None:
        """Let only services and holders of a valid token ask. The sandbox takes any key that has a service's form."""
        if not _SERVICE_KEY.fullmatch(call.header("Authorization") or ""):
            bearer(self._sessions, call)


def _permitted(identity: Identity) -> Json:
    return {"user_id": identity.user["id"], "email": identity.user["email"], "role": identity.user["role"]}
