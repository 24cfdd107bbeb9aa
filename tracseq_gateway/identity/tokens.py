"""Tokens: JSON Web Tokens (RFC 7519) in compact form (RFC 7515), verified locally and strictly (RFC 8725).

House rules:

1. Nothing in a token is believed before its signature is verified, save ``alg`` and ``kid``, which select a key.
2. What comes before the signature is bounded in size and depth, for anybody can send it.
3. A refusal is a :exc:`TokenRefused`, whatever the bytes; its reason is for the log and tells the client nothing.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from math import isfinite
from typing import Any, Final, cast

from attrs import frozen

from tracseq_gateway.config.policies import Jwt, Role
from tracseq_gateway.identity.key_sets import Key, KeySet, is_kid
from tracseq_gateway.identity.signing import is_field_text
from tracseq_gateway.identity.strict_json import members_of
from tracseq_gateway.interfaces import ROLES

LONGEST_TOKEN: Final = 8192
LONGEST_HEADER: Final = 1024
"""Bytes of JSON."""
HEADER_BRACKETS: Final = 8
CLAIM_BRACKETS: Final = 256
"""Opening brackets in the claims: issuers such as Keycloak nest roles of many clients, three or four deep."""
LAST_MOMENT: Final = 253402300799.0
"""The end of the year 9999; a later time is taken for this one."""

UNSUPPORTED: Final = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "zip", "enc", "b64"})
"""Header parameters that refuse a token: keys that it brings or says where to fetch, and ways to read it differently.

``crit`` is among them because this gateway understands no extension (RFC 7515 section 4.1.11).
"""
TYPES: Final = frozenset({"jwt", "at+jwt"})
"""Values of ``typ``, in lower case (RFC 7519 section 5.1, RFC 9068 section 2.1)."""

_SUBJECT: Final = re.compile(r"[!-~]{1,256}")


class TokenRefused(Exception):
    """A token does not say who calls. The reason is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownKey(TokenRefused):
    """There is no key for a token's ``alg`` and ``kid``; a newer key set may have it."""

    def __init__(self, algorithm: str, kid: str | None) -> None:
        super().__init__(f"no {algorithm} key has the kid {kid!r}" if kid else f"no {algorithm} key goes without a kid")
        self.algorithm = algorithm
        self.kid = kid


@frozen
class Claims:
    """What a verified token says. Times are in seconds since the epoch, from 0 to :data:`LAST_MOMENT`."""

    subject: str
    """The user's id: visible ASCII characters, at least one."""
    role: Role
    email: str
    """Fit for a header field, like ``session``; empty if the token has none."""
    session: str
    """The session's id (``jti``); empty if the token has none."""
    expires: float
    not_before: float
    """0 if the token has none."""
    issued: float
    """0 if the token has none."""


class TokenVerifier:
    """Verifies tokens, with the keys that ``keys`` returns at the time."""

    def __init__(self, settings: Jwt, keys: Callable[[], KeySet]) -> None:
        self._algorithms = frozenset(settings.algorithms)
        self._issuer = settings.issuer
        self._audience = settings.audience
        self._leeway = settings.leeway
        self._keys = keys

    def verify(self, token: bytes, now: float) -> Claims:
        """What ``token`` says, if it is sound at ``now`` (seconds since the epoch).

        Required: a signature of an allowed algorithm by its own key; ``sub``; ``exp``; ``iss`` and ``aud`` if they are
        configured. ``role`` must be one of the platform's roles; a token without one has the lowest, ``guest``.
        ``email`` and ``jti`` must be fit for a header field. Times hold within the configured leeway.

        :raises UnknownKey: if no key has its ``alg`` and ``kid``.
        :raises TokenRefused: in all other cases.
        """
        if len(token) > LONGEST_TOKEN:
            raise TokenRefused(f"longer than {LONGEST_TOKEN} bytes")
        parts = token.split(b".")
        if len(parts) != 3:
            raise TokenRefused(f"{len(parts)} parts, not 3")
        key = self._key_for(_decoded(parts[0], "header"))
        if not key.verifies(token[: token.rindex(b".")], _decoded(parts[2], "signature")):
            raise TokenRefused("the signature is wrong")
        members = _members(_decoded(parts[1], "claims"), "claims", CLAIM_BRACKETS)
        self._check_origin(members)
        claims = _claims(members)
        self.check_time(claims, now)
        return claims

    def check_time(self, claims: Claims, now: float) -> None:
        """See that verified claims hold at ``now``: for those that are kept, too.

        :raises TokenRefused: if they have ended, are not valid yet, or come from the future.
        """
        if now >= claims.expires + self._leeway:
            raise TokenRefused("expired")
        if now < claims.not_before - self._leeway:
            raise TokenRefused("not valid yet (nbf)")
        if now < claims.issued - self._leeway:
            raise TokenRefused("issued in the future (iat)")

    def _key_for(self, data: bytes) -> Key:
        """The key that a token with this header must be signed with."""
        if len(data) > LONGEST_HEADER:
            raise TokenRefused(f"a header of more than {LONGEST_HEADER} bytes")
        header = _members(data, "header", HEADER_BRACKETS)
        if not UNSUPPORTED.isdisjoint(header):
            raise TokenRefused(f"unsupported header parameters: {', '.join(sorted(UNSUPPORTED & header.keys()))}")
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise TokenRefused("its algorithm is not allowed")
        if not isinstance(kind, str) or kind.lower() not in TYPES:
            raise TokenRefused("its typ is not JWT")
        if "kid" in header and not is_kid(kid):
            raise TokenRefused("its kid is not a short printable text")
        key = self._keys().find(algorithm, kid)
        if key is None:
            raise UnknownKey(algorithm, kid)
        return key

    def _check_origin(self, members: dict[str, Any]) -> None:
        """See that the token comes from our issuer and is meant for us (RFC 7519 sections 4.1.1 and 4.1.3)."""
        if self._issuer and members.get("iss") != self._issuer:
            raise TokenRefused("of another issuer (iss)")
        if not self._audience:
            return
        audience = members.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if not all(isinstance(one, str) for one in audiences) or self._audience not in audiences:
            raise TokenRefused("for another audience (aud)")


def _decoded(part: bytes, name: str) -> bytes:
    """Decode base64url as RFC 7515 section 2 has it: no padding, no other characters, one spelling for each value."""
    try:
        data = urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except Base64Error:
        raise TokenRefused(f"the {name} is not base64url") from None
    # The decoder passes over foreign characters and surplus bits; encoding the result again shows both.
    if urlsafe_b64encode(data).rstrip(b"=") != part:
        raise TokenRefused(f"the {name} is not base64url")
    return data


def _members(data: bytes, name: str, most_brackets: int) -> dict[str, Any]:
    try:
        return members_of(data, most_brackets)
    except ValueError as error:
        raise TokenRefused(f"the {name}: {error}") from None


def _claims(members: dict[str, Any]) -> Claims:
    """The claims that the gateway uses, each checked."""
    subject = members.get("sub")
    if not isinstance(subject, str) or _SUBJECT.fullmatch(subject) is None:
        raise TokenRefused("its sub is not a visible ASCII text of 1 to 256 characters")
    if "exp" not in members:
        raise TokenRefused("without exp")
    role = members.get("role", "guest")
    if role not in ROLES:
        raise TokenRefused("its role is none of the platform's")
    return Claims(
        subject=subject,
        role=cast(Role, role),
        email=_text(members, "email"),
        session=_text(members, "jti"),
        expires=_moment(members, "exp"),
        not_before=_moment(members, "nbf"),
        issued=_moment(members, "iat"),
    )


def _text(members: dict[str, Any], name: str) -> str:
    """An optional text that may be put into a header field; empty if it is missing."""
    value = members.get(name, "")
    if not isinstance(value, str) or not is_field_text(value):
        raise TokenRefused(f"its {name} is not a short printable text")
    return value


def _moment(members: dict[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 section 2), kept within 0 and :data:`LAST_MOMENT`; 0 if it is missing."""
    value = members.get(name, 0)
    # An integer may be too long for a float, and for isfinite; comparing it with one is exact.
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and isfinite(value))):
        raise TokenRefused(f"its {name} is not a number")
    return float(min(max(value, 0), LAST_MOMENT))
