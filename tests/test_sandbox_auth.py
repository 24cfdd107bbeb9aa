"""The stand-in auth service."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import jwt
from twisted.trial.unittest import SynchronousTestCase

from tests.sandbox_client import NOW, SECRET, UNKNOWN, SandboxCase
from tracseq_gateway.sandbox import DEMO_PASSWORD, ROLES, demo_users
from tracseq_gateway.sandbox.auth_tokens import ACCESS_SECONDS, AccessTokens, Passwords
from tracseq_gateway.sandbox.secret import signing_secret

TECHNICIAN = "lab_technician@sandbox.tracseq.test"
SERVICE = {"Authorization": "Service service_gateway"}


def bearer(grant: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {grant['access_token']}"}


class AuthCase(SandboxCase):
    """A test with logins."""

    name = "auth"

    def login(self, email: str = TECHNICIAN, password: str = DEMO_PASSWORD) -> dict[str, str]:
        grant: dict[str, str] = self.post("/auth/login", {"email": email, "password": password})
        return grant

    def refused_login(self, password: str, status: int) -> str:
        code: str = self.refused("POST", "/login", {"email": TECHNICIAN, "password": password}, status=status)["code"]
        return code

    def verdict(self, token: str) -> dict[str, object]:
        answer: dict[str, object] = self.post("/validate/token", {"token": token}, headers=SERVICE)
        return answer


class LoginTests(AuthCase):
    """Logging in and out."""

    def test_token(self) -> None:
        """A login's access token is an HS256 JWT with the platform's claims, signed with the shared secret."""
        grant = self.login()
        self.assertEqual("HS256", jwt.get_unverified_header(grant["access_token"])["alg"])
        checks: Any = {"verify_exp": False, "verify_iat": False}
        claims = jwt.decode(
            grant["access_token"], SECRET, ["HS256"], audience="tracseq", issuer="tracseq-auth", options=checks
        )
        self.assertEqual(
            {
                "sub": grant["user_id"],
                "email": TECHNICIAN,
                "role": "lab_technician",
                "exp": NOW + ACCESS_SECONDS,
                "iat": NOW,
                "iss": "tracseq-auth",
                "aud": "tracseq",
                "jti": grant["session_id"],
            },
            claims,
        )
        self.assertEqual("2026-03-01T11:00:00Z", grant["expires_at"])

    def test_everyRole(self) -> None:
        """Each demo user logs in with the demo password and has their role."""
        for role, email in demo_users():
            self.assertEqual(role, self.login(email.upper())["role"])

    def test_wrongPair(self) -> None:
        """A wrong password and an unknown address are refused with the same words and a challenge."""
        wrong = self.send("POST", "/auth/login", {"email": TECHNICIAN, "password": "no"}, status=401)
        unknown = self.send("POST", "/auth/login", {"email": "nobody@example.org", "password": "no"}, status=401)
        self.assertEqual(wrong.content, unknown.content)
        self.assertEqual("Bearer", wrong.headers["WWW-Authenticate"])

    def test_lockout(self) -> None:
        """The fifth failure in a row locks the account for a quarter of an hour, for the right password too."""
        for _ in range(5):
            self.assertEqual("invalid_credentials", self.refused_login("wrong", 401))
        locked = self.send("POST", "/login", {"email": TECHNICIAN, "password": DEMO_PASSWORD}, status=423)
        self.assertEqual("900", locked.headers["Retry-After"])
        self.clock.advance(900)
        self.login()

    def test_failuresAreForgotten(self) -> None:
        """A successful login begins the count of failures anew."""
        for _ in range(2):
            for _ in range(4):
                self.refused_login("wrong", 401)
            self.login()

    def test_me(self) -> None:
        """The token's user is shown without secrets; without a valid token there is none."""
        me = self.get("/auth/me", headers=bearer(self.login()))
        self.assertEqual((TECHNICIAN, "lab_technician", True), (me["email"], me["role"], me["verified"]))
        self.assertNotIn("password", me)
        for headers in (
            {},
            {"Authorization": b"Bearer \xff"},
            {"Authorization": "Bearer x.y.z"},
            {"Authorization": "Basic eDp5"},
        ):
            self.refused("GET", "/me", headers=headers, status=401)

    def test_logout(self) -> None:
        """After a logout the access token is refused everywhere, and the refresh token too."""
        grant = self.login()
        self.post("/auth/logout", headers=bearer(grant))
        self.refused("GET", "/auth/me", headers=bearer(grant), status=401)
        self.refused("POST", "/auth/refresh", {"refresh_token": grant["refresh_token"]}, status=401)
        self.assertIs(False, self.verdict(grant["access_token"])["valid"])

    def test_restart(self) -> None:
        """Users and sessions survive a restart."""
        grant = self.login()
        self.service.close()
        self.start()
        self.assertEqual(TECHNICIAN, self.get("/auth/me", headers=bearer(grant))["email"])


class RefreshTests(AuthCase):
    """Refresh tokens."""

    def test_refresh(self) -> None:
        """A refresh token gives new tokens of the same session after the access token has ended."""
        grant = self.login()
        self.clock.advance(ACCESS_SECONDS)
        self.refused("GET", "/auth/me", headers=bearer(grant), status=401)
        fresh = self.post("/auth/refresh", {"refresh_token": grant["refresh_token"]})
        self.assertEqual(grant["session_id"], fresh["session_id"])
        self.get("/auth/me", headers=bearer(fresh))

    def test_reuse(self) -> None:
        """A refresh token that is used twice ends its session: one of the two users has stolen it."""
        grant = self.login()
        fresh = self.post("/auth/refresh", {"refresh_token": grant["refresh_token"]})
        self.refused("POST", "/auth/refresh", {"refresh_token": grant["refresh_token"]}, status=401)
        self.refused("GET", "/auth/me", headers=bearer(fresh), status=401)

    def test_end(self) -> None:
        """A session ends after 30 days."""
        grant = self.login()
        self.clock.advance(30 * 86400)
        self.refused("POST", "/auth/refresh", {"refresh_token": grant["refresh_token"]}, status=401)


class SessionTests(AuthCase):
    """One's sessions."""

    def test_list(self) -> None:
        """The sessions that are not over are listed, the current one marked."""
        first, second = self.login(), self.login()
        shown = self.get("/auth/sessions", headers=bearer(second))
        self.assertEqual(
            [(second["session_id"], True), (first["session_id"], False)],
            [(session["id"], session["current"]) for session in shown],
        )

    def test_revoke(self) -> None:
        """A revoked session's token is refused at once; the other session lives on."""
        first, second = self.login(), self.login()
        self.send("DELETE", f"/auth/sessions/{first['session_id']}", headers=bearer(second))
        self.assertIs(False, self.verdict(first["access_token"])["valid"])
        self.assertIs(True, self.verdict(second["access_token"])["valid"])

    def test_strangers(self) -> None:
        """Another user's session seems not to exist, except to a lab administrator."""
        technician, guest = self.login(), self.login("guest@sandbox.tracseq.test")
        path = f"/auth/sessions/{technician['session_id']}"
        self.refused("DELETE", path, headers=bearer(guest), status=404)
        self.refused("DELETE", f"/sessions/{UNKNOWN}", headers=bearer(guest), status=404)
        self.send("DELETE", path, headers=bearer(self.login("lab_administrator@sandbox.tracseq.test")))


class AccountTests(AuthCase):
    """Registering and passwords."""

    def test_register(self) -> None:
        """A new guest logs in once the address is verified; an address is taken once, in any case of letters."""
        new = {"email": "New.Guest@example.org", "password": "long enough"}
        token = self.post("/auth/register", new, status=201)["sandbox_token"]
        self.refused("POST", "/auth/login", new, status=403)
        self.assertIs(True, self.post("/auth/verify-email", {"token": token})["verified"])
        self.assertEqual("guest", self.login(**new)["role"])
        self.refused("POST", "/auth/verify-email", {"token": token}, status=400)
        again = {**new, "email": "new.guest@EXAMPLE.org"}
        self.assertEqual("email_taken", self.refused("POST", "/auth/register", again, status=409)["code"])

    def test_roleIsNotChosen(self) -> None:
        """Nobody registers with a role of their own choice, or a short password."""
        new = {"email": "x@example.org", "password": "short", "role": "lab_administrator"}
        fields = self.refused("POST", "/auth/register", new, status=400)["fields"]
        self.assertEqual({"password", "role"}, set(fields))

    def test_changePassword(self) -> None:
        """A new password needs the old one, and ends the other sessions."""
        other, grant = self.login(), self.login()
        wrong = {"current_password": "wrong", "new_password": "another one"}
        self.refused("POST", "/auth/change-password", wrong, headers=bearer(grant), status=400)
        self.post("/auth/change-password", {**wrong, "current_password": DEMO_PASSWORD}, headers=bearer(grant))
        self.get("/auth/me", headers=bearer(grant))
        self.refused("GET", "/auth/me", headers=bearer(other), status=401)
        self.login(password="another one")

    def test_resetPassword(self) -> None:
        """A reset token sets a new password once within an hour, unlocks the account and ends every session."""
        grant = self.login()
        for _ in range(5):
            self.refused_login("wrong", 401)
        forgotten = {"email": TECHNICIAN}
        late = self.post("/auth/forgot-password", forgotten)["sandbox_token"]
        self.clock.advance(3600)
        self.refused("POST", "/auth/reset-password", {"token": late, "new_password": "another one"}, status=400)
        reset = {"token": self.post("/auth/forgot-password", forgotten)["sandbox_token"], "new_password": "another one"}
        self.post("/auth/reset-password", reset)
        self.refused("POST", "/auth/reset-password", reset, status=400)
        self.refused("POST", "/auth/refresh", {"refresh_token": grant["refresh_token"]}, status=401)
        self.login(password="another one")

    def test_forgottenByNobody(self) -> None:
        """An unknown address gets the same sentence and no token."""
        known = self.post("/auth/forgot-password", {"email": TECHNICIAN})
        unknown = self.post("/auth/forgot-password", {"email": "nobody@example.org"})
        self.assertEqual((known["message"], None), (unknown["message"], unknown["sandbox_token"]))


class ValidationTests(AuthCase):
    """What the gateway asks."""

    NULLS = dict.fromkeys(("user_id", "email", "role", "session_id", "expires_at"))

    def test_valid(self) -> None:
        """A valid token is answered with its user, session and end, at both paths."""
        grant = self.login()
        expected = {"valid": True} | {
            name: grant[name] for name in ("user_id", "email", "role", "session_id", "expires_at")
        }
        for path in ("/validate/token", "/auth/validate/token"):
            answer = self.send("POST", path, {"token": grant["access_token"]}, headers=SERVICE, status=200)
            self.assertEqual({"success": True, "data": expected}, answer.body)

    def test_invalid(self) -> None:
        """What is not a live session's token is 200 with valid false and nulls, whatever is wrong with it."""
        grant = self.login()
        header, claims, signature = grant["access_token"].split(".")
        none = jwt.encode(jwt.decode(grant["access_token"], options={"verify_signature": False}), "", algorithm="none")
        foreign = jwt.encode({"sub": grant["user_id"]}, "x" * 40)
        stranger = {"id": UNKNOWN, "email": "x@example.org", "role": "guest"}
        unknown, _ = AccessTokens(SECRET).issue(stranger, grant["session_id"], NOW)
        for token in (
            "",
            "garbage",
            f"{header}.{claims}.",
            f"{header}.{claims}x.{signature}",
            none,
            foreign,
            unknown,
        ):
            self.assertEqual({"valid": False} | self.NULLS, self.verdict(token))
        self.clock.advance(ACCESS_SECONDS)
        self.assertEqual({"valid": False} | self.NULLS, self.verdict(grant["access_token"]))

    def test_caller(self) -> None:
        """Only a service, or the holder of a valid token, may ask."""
        grant = self.login()
        body = {"token": grant["access_token"]}
        for value in (None, "Service gateway", "Service service_", "Bearer x", "service_gateway"):
            headers = {} if value is None else {"Authorization": value}
            self.refused("POST", "/validate/token", body, headers=headers, status=401)
            self.refused(
                "POST", "/validate/permissions", {**body, "required_role": "guest"}, headers=headers, status=401
            )
        self.post("/validate/token", body, headers=bearer(grant))

    def test_permissions(self) -> None:
        """A role permits itself and the lower ones, and the reason says how it compares."""
        token = self.login()["access_token"]
        for number, role in enumerate(ROLES):
            body = {"token": token, "required_role": role, "resource": "samples"}
            answer = self.post("/validate/permissions", body, headers=SERVICE)
            self.assertIs(number <= ROLES.index("lab_technician"), answer["authorized"])
            self.assertEqual(TECHNICIAN, answer["user"]["email"])
        self.assertEqual("lab_technician is below lab_administrator", answer["reason"])

    def test_permissionsOfNobody(self) -> None:
        """A token that is not valid permits nothing; an unknown role is a mistake of the caller."""
        body = {"token": "x", "required_role": "guest"}
        answer = self.post("/validate/permissions", body, headers=SERVICE)
        self.assertEqual((False, None), (answer["authorized"], answer["user"]))
        self.refused("POST", "/validate/permissions", {**body, "required_role": "king"}, headers=SERVICE, status=400)


class SecretTests(SynchronousTestCase):
    """The signing key and the stored passwords."""

    def test_environment(self) -> None:
        """The key of the environment wins, and nothing is written."""
        directory = Path(self.mktemp())
        self.assertEqual("k", signing_secret(directory, {"AUTHENTICATION__JWT_SECRET_KEY": "k"}))
        self.assertFalse(directory.exists())

    def test_kept(self) -> None:
        """Without one, a key is made once and kept for its owner's eyes only."""
        directory = Path(self.mktemp())
        directory.mkdir()
        made = signing_secret(directory, {"AUTHENTICATION__JWT_SECRET_KEY": ""})
        self.assertGreaterEqual(len(made), 32)
        self.assertEqual(made, signing_secret(directory, {}))
        self.assertEqual(0o600, stat.S_IMODE((directory / "auth.key").stat().st_mode))

    def test_passwords(self) -> None:
        """A stored password does not show what it was, and two of one kind differ."""
        passwords = Passwords(cost=2)
        first, second = passwords.hashed("sesame"), passwords.hashed("sesame")
        self.assertNotEqual(first, second)
        self.assertNotIn("sesame", json.dumps([first, second]))
        self.assertTrue(Passwords(cost=4).matches("sesame", first))
        self.assertFalse(passwords.matches("Sesame", first))
