"""The keys that tokens are verified with, and which one a token may name.

House rules:

1. A key serves one algorithm. A token's ``alg`` selects among the keys; it never says how one is used.
2. A key is prepared and checked when it is built. What cannot verify safely is refused here, not at the first token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import get_algorithm_by_name
from jwt.algorithms import Algorithm

LONGEST_KID: Final = 128
RSA_BITS: Final = range(2048, 16384 + 1)
"""RFC 7518 section 3.3 asks for the least; OpenSSL verifies with none beyond the most."""


@frozen
class _Suite:
    """What an algorithm needs of its key (RFC 7518 section 3, RFC 8037 section 3.1)."""

    words: str
    kinds: tuple[type, ...] = (bytes,)
    curve: type[EllipticCurve] | None = None
    secret_bytes: int = 0


def _hmac(secret_bytes: int) -> _Suite:
    return _Suite(f"a secret of at least {secret_bytes} bytes", secret_bytes=secret_bytes)


def _ecdsa(curve: type[EllipticCurve]) -> _Suite:
    return _Suite(f"an EC key on the curve {curve.name}", (EllipticCurvePublicKey,), curve)


_RSA: Final = _Suite(f"an RSA key of at least {RSA_BITS[0]} bits", (RSAPublicKey,))

_SUITES: Final[Mapping[str, _Suite]] = {
    "HS256": _hmac(32),
    "HS384": _hmac(48),
    "HS512": _hmac(64),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), _RSA),
    "ES256": _ecdsa(SECP256R1),
    "ES384": _ecdsa(SECP384R1),
    "ES512": _ecdsa(SECP521R1),
    "EdDSA": _Suite("an Ed25519 or Ed448 key", (Ed25519PublicKey, Ed448PublicKey)),
}

ALGORITHMS: Final = frozenset(_SUITES)
"""The algorithms that can be allowed."""
SECRET_ALGORITHMS: Final = frozenset(name for name, suite in _SUITES.items() if suite.secret_bytes)
"""Those with a shared secret, which is never published."""


@frozen
class Key:
    """A key that signatures of one algorithm, which is one of :data:`ALGORITHMS`, are verified with.

    :raises ValueError: if the material is not what the algorithm needs.
    """

    algorithm: str
    kid: str | None
    material: object = field(repr=False)
    """A secret (bytes), or a public key of ``cryptography``."""
    _verifier: Algorithm = field(init=False, repr=False, eq=False)

    @material.validator
    def _check(self, _: object, material: object) -> None:
        if not fits(self.algorithm, material):
            raise ValueError(f"{self.algorithm} needs {_SUITES[self.algorithm].words}")

    @_verifier.default
    def _prepare(self) -> Algorithm:
        return get_algorithm_by_name(self.algorithm)

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is this key's for the bytes ``signed``."""
        return self._verifier.verify(signed, self.material, signature)


class KeySet:
    """Keys by algorithm and ``kid``; immutable.

    :raises ValueError: if two keys have the same algorithm and the same ``kid``.
    """

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._named: dict[tuple[str, str | None], Key] = {}
        by_algorithm: dict[str, list[Key]] = {}
        for key in keys:
            if (key.algorithm, key.kid) in self._named:
                raise ValueError(f"two {key.algorithm} keys have the same kid ({key.kid or 'none'})")
            self._named[key.algorithm, key.kid] = key
            by_algorithm.setdefault(key.algorithm, []).append(key)
        self._only = {algorithm: same[0] for algorithm, same in by_algorithm.items() if len(same) == 1}

    def find(self, algorithm: str, kid: str | None) -> Key | None:
        """The key that a token with this ``alg`` and ``kid`` must be signed with; None if there is none.

        A ``kid`` is matched exactly. A token without one gets the algorithm's key without one, or its only key.
        """
        key = self._named.get((algorithm, kid))
        return self._only.get(algorithm) if key is None and kid is None else key

    def joined(self, others: KeySet) -> KeySet:
        """These keys, and those of the others that have the algorithm and ``kid`` of none of these."""
        return KeySet((others._named | self._named).values())

    def __iter__(self) -> Iterator[Key]:
        return iter(self._named.values())

    def __len__(self) -> int:
        return len(self._named)

    def __eq__(self, other: object) -> bool:
        """Whether both have the same keys, in whatever order."""
        return self._named == other._named if isinstance(other, KeySet) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._named))


def fits(algorithm: str, material: object) -> bool:
    """Whether this is a secret or public key that ``algorithm`` (one of :data:`ALGORITHMS`) may be used with."""
    suite = _SUITES[algorithm]
    if not isinstance(material, suite.kinds):
        return False
    if isinstance(material, bytes):
        return len(material) >= suite.secret_bytes
    if isinstance(material, RSAPublicKey):
        return material.key_size in RSA_BITS
    if isinstance(material, EllipticCurvePublicKey):
        return suite.curve is not None and isinstance(material.curve, suite.curve)
    return True


def is_kid(value: object) -> bool:
    """Whether this can be a ``kid``: text of 1 to 128 printable characters."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_KID and value.isprintable()
