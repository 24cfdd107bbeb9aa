"""Tokens as the Auth Service issues them, some 400 bytes long."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
from attrs import field, frozen
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

ISSUER = "tracseq-auth"
AUDIENCE = "tracseq"
LIFE_SECONDS = 86400
RSA_BITS = 2048


@frozen
class Issuer:
    """Who signs tokens, with which key."""

    algorithm: str
    key: str | RSAPrivateKey = field(repr=False)
    """The shared secret, or the private key."""

    @classmethod
    def make(cls, algorithm: str) -> Issuer:
        """An issuer with a key of its own; ``algorithm`` is ``HS256`` or ``RS256``."""
        if algorithm == "HS256":
            return cls(algorithm, secrets.token_hex(32))
        if algorithm == "RS256":
            return cls(algorithm, rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS))
        raise ValueError(f"{algorithm} is neither HS256 nor RS256")

    @property
    def secret(self) -> str | None:
        """The shared secret, if that is what it signs with."""
        return self.key if isinstance(self.key, str) else None

    @property
    def public_key(self) -> str | None:
        """The public key as PEM, unless the key is a shared secret."""
        if isinstance(self.key, str):
            return None
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(encoding, form).decode()

    def token(self, claims: dict[str, Any]) -> str:
        """Sign the claims."""
        return jwt.encode(claims, self.key, algorithm=self.algorithm)

    def users(self, count: int) -> list[str]:
        """A token for each of ``count`` users."""
        return [self.token(claims_of(user)) for user in range(1, count + 1)]

    def sessions(self, count: int) -> list[str]:
        """A token for each of ``count`` sessions of user 0. (RS256 takes about a millisecond for each.)"""
        return [self.token(claims_of(0, session)) for session in range(1, count + 1)]


def claims_of(user: int, session: int = 0) -> dict[str, Any]:
    """The claims of a lab technician's token, by his number and that of his session."""
    now = int(time.time())
    return {
        "sub": str(UUID(int=user, version=4)),
        "email": f"lab_technician_{user:06}@tracseq.example",
        "role": "lab_technician",
        "iat": now,
        "exp": now + LIFE_SECONDS,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "jti": str(UUID(int=(user << 64) + session, version=4)),
    }


def written(tokens: Iterable[str], file: Path) -> Path:
    """Write the tokens to the file, one a line, as ``browser.lua`` reads them; return it."""
    file.write_text("".join(f"{token}\n" for token in tokens))
    return file
