"""Passwords and tokens of the sandbox's auth service."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

import jwt
from attrs import frozen

from .kit.schema import Json

ISSUER = "tracseq-auth"
AUDIENCE = "tracseq"
ACCESS_SECONDS = 3600.0
_CLAIMS = ["sub", "email", "role", "exp", "iat", "iss", "aud", "jti"]


@frozen
class Passwords:
    """Hashes passwords with scrypt (RFC 7914).

    :param cost: its N. The default takes some 30 ms on the reactor thread, which a sandbox can afford.
    """

    cost: int = 2**14

    def hashed(self, password: str) -> str:
        """Return what is stored for a password: cost, salt and hash."""
        salt = secrets.token_bytes(16)
        return f"{self.cost}${_text(salt)}${_text(_scrypt(password, salt, self.cost))}"

    def matches(self, password: str, stored: str) -> bool:
        """Say whether this is the password, in constant time."""
        cost, salt, expected = stored.split("$")
        actual = _scrypt(password, base64.b64decode(salt), int(cost))
        return hmac.compare_digest(actual, base64.b64decode(expected))


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=8, p=1)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def new_token() -> str:
    """Return an unguessable token for refreshing, resetting or verifying."""
    return secrets.token_urlsafe(32)


def fingerprint(token: str) -> str:
    """Return what is stored instead of such a token: its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()


@frozen
class AccessTokens:
    """Issues and reads access tokens: JWT, HS256."""

    secret: str

    def issue(self, user: Json, session: str, now: float) -> tuple[str, float]:
        """Return a token for a user's session, and when it ends in seconds since the epoch."""
        expires = int(now + ACCESS_SECONDS)
        claims = {
            "sub": user["id"],
            "email": user["email"],
            "role": user["role"],
            "iat": int(now),
            "exp": expires,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "jti": session,
        }
        return jwt.encode(claims, self.secret, algorithm="HS256"), float(expires)

    def read(self, token: str, now: float) -> Json | None:
        """Return the claims of a token that this service issued and that has not ended; None for any other."""
        try:
            claims: Json = jwt.decode(
                token,
                self.secret,
                algorithms=["HS256"],
                audience=AUDIENCE,
                issuer=ISSUER,
                # PyJWT knows only the time of day; the end is compared below with the service's own clock.
                options={"require": _CLAIMS, "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            return None
        return claims if claims["exp"] > now else None
