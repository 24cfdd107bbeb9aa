"""Tokens: any header and claims, honestly signed, give claims that are fit for header fields, or a refusal.

An input is the JSON of a header and of claims, with an empty line between; what has none is taken for a whole token.
"""

from __future__ import annotations

from tests.token_kit import SECRET, signed
from tracseq_gateway.config.policies import Jwt
from tracseq_gateway.identity.key_sets import Key, KeySet
from tracseq_gateway.identity.tokens import LAST_MOMENT, Claims, TokenRefused, TokenVerifier
from tracseq_gateway.interfaces import ROLES

NOW = 1_780_000_000.0
_KEYS = KeySet([Key("HS256", None, SECRET.encode())])
_SETTINGS = Jwt(algorithms=("HS256",), issuer="https://issuer.test/", audience="gw")


def one_input(data: bytes) -> None:
    """Verify a token."""
    header, middle, claims = data.partition(b"\n\n")
    verifier = TokenVerifier(_SETTINGS, lambda: _KEYS)
    if not middle:
        assert _verified(verifier, data) is None, "a token that nobody has signed"
        return
    token = signed(header, claims)
    said = _verified(verifier, token)
    if said is None:
        return
    assert _verified(verifier, token[:-1] + bytes([token[-1] ^ 1])) is None, "another signature"
    assert said.subject.isascii() and said.subject.isprintable() and said.subject and said.role in ROLES, said
    for text in (said.email, said.session):
        assert text.isprintable(), said
    for moment in (said.expires, said.not_before, said.issued):
        assert 0 <= moment <= LAST_MOMENT, said
    assert said.expires > NOW - _SETTINGS.leeway, said


def _verified(verifier: TokenVerifier, token: bytes) -> Claims | None:
    try:
        return verifier.verify(token, NOW)
    except TokenRefused:
        return None
