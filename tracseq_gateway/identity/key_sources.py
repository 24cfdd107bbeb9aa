"""Where keys come from: the environment, PEM files, and what an issuer publishes (JWK Sets, RFC 7517)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from jwt import InvalidKeyError, get_algorithm_by_name
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tracseq_gateway.config.policies import Jwt, JwtKey
from tracseq_gateway.identity.key_sets import ALGORITHMS, LONGEST_KID, SECRET_ALGORITHMS, Key, KeySet, fits, is_kid
from tracseq_gateway.identity.strict_json import members_of

MOST_PUBLISHED: Final = 100
"""Keys that a published set may have; issuers have two or three."""


def configured_keys(settings: Jwt, environment: Mapping[str, str]) -> KeySet:
    """The keys of the configuration: the secret of the environment for the HS algorithms, and those in PEM files.

    :raises ValueError: says which setting, file or environment variable is wrong, and how.
    """
    for algorithm in settings.algorithms:
        if algorithm not in ALGORITHMS:
            raise ValueError(f"auth.jwt.algorithms: {algorithm} is none of {', '.join(sorted(ALGORITHMS))}")
    secret_algorithms = [name for name in settings.algorithms if name in SECRET_ALGORITHMS]
    keys = [_secret_key(name, settings.secret_env, environment) for name in dict.fromkeys(secret_algorithms)]
    keys += [_file_key(key, settings.algorithms) for key in settings.keys]
    if not keys and not settings.jwks_url:
        raise ValueError(f"auth.jwt: there is no key for {', '.join(settings.algorithms) or 'any algorithm'}")
    return KeySet(keys)


def _secret_key(algorithm: str, variable: str, environment: Mapping[str, str]) -> Key:
    secret = environment.get(variable, "").encode("utf-8", "surrogateescape")
    if not secret:
        raise ValueError(
            f"{variable or 'auth.jwt.secret_env'} is not set: it must hold the shared secret of {algorithm}"
        )
    try:
        if b"-----BEGIN" in secret:
            raise InvalidKeyError("it holds a PEM")
        get_algorithm_by_name(algorithm).prepare_key(secret)
    except InvalidKeyError as error:
        # Whoever knows a public key could sign with it.
        raise ValueError(f"{variable} must hold a shared secret, not a key or certificate: {error}") from None
    try:
        return Key(algorithm, None, secret)
    except ValueError as error:
        raise ValueError(f"{variable} has {len(secret)} bytes: {error} (RFC 7518 section 3.2)") from None


def _file_key(declared: JwtKey, allowed: Sequence[str]) -> Key:
    where = f"auth.jwt.keys: {declared.file or 'a key without a file'}"
    if declared.algorithm not in allowed:
        raise ValueError(f"{where}: its algorithm {declared.algorithm!r} is not in auth.jwt.algorithms")
    if declared.algorithm in SECRET_ALGORITHMS:
        raise ValueError(f"{where}: {declared.algorithm} has a shared secret, not a key in a file")
    if declared.kid and not is_kid(declared.kid):
        raise ValueError(f"{where}: its kid is not 1 to {LONGEST_KID} printable characters")
    try:
        return Key(declared.algorithm, declared.kid or None, _public_key(Path(declared.file).read_bytes()))
    except OSError as error:
        raise ValueError(f"{where}: cannot be read: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{where}: {error}") from None


def _public_key(pem: bytes) -> object:
    """The public key in a PEM file: as such, or in its first X.509 certificate, of which nothing else is looked at."""
    if b"PRIVATE KEY-----" in pem:
        raise ValueError("holds a private key; the gateway needs the public one")
    if b"-----BEGIN CERTIFICATE-----" in pem:
        return load_pem_x509_certificate(pem).public_key()
    return load_pem_public_key(pem)


@frozen
class Published:
    """What an issuer has published."""

    keys: KeySet
    skipped: int
    """Entries that were passed over: not for signatures, not of an allowed algorithm, or not sound."""


def published_keys(document: bytes, allowed: Sequence[str]) -> Published:
    """The keys of a JWK Set (RFC 7517 section 5) that tokens of the ``allowed`` algorithms may be signed with.

    A key that does not say its ``alg`` belongs to the one allowed algorithm that its type and curve fit; when several
    do, it is skipped. Of keys with the same algorithm and ``kid`` the first counts.

    :raises ValueError: if this is no JWK Set, has more than :data:`MOST_PUBLISHED` keys, or none that can be used: an
        issuer always has one, so that such a document is a fault of his.
    """
    entries = members_of(document, most_brackets=4 * MOST_PUBLISHED).get("keys")
    if not isinstance(entries, list):
        raise ValueError("not a JWK Set: it has no list of keys")
    if len(entries) > MOST_PUBLISHED:
        raise ValueError(f"a JWK Set of {len(entries)} keys, more than {MOST_PUBLISHED}")
    found: dict[tuple[str, str | None], Key] = {}
    for entry in entries:
        key = _published_key(entry, allowed)
        if key is not None:
            found.setdefault((key.algorithm, key.kid), key)
    if not found:
        raise ValueError("a JWK Set without a key that can be used")
    return Published(KeySet(found.values()), len(entries) - len(found))


_FAMILIES: Final[Mapping[str, type[RSAAlgorithm | ECAlgorithm | OKPAlgorithm]]] = {
    "RSA": RSAAlgorithm,
    "EC": ECAlgorithm,
    "OKP": OKPAlgorithm,
}
"""By ``kty``. Not "oct": a secret that is published is none."""


def _published_key(entry: object, allowed: Sequence[str]) -> Key | None:
    """The key of one JWK (RFC 7517 section 4); None if it is to be skipped."""
    if not isinstance(entry, dict) or not _for_verification(entry):
        return None
    family = _FAMILIES.get(entry["kty"])
    kid = entry.get("kid")
    if family is None or not (kid is None or is_kid(kid)):
        return None
    try:
        material = family.from_jwk(entry)
    except (ValueError, TypeError, InvalidKeyError, UnsupportedAlgorithm):
        return None
    candidates = [entry["alg"]] if "alg" in entry else dict.fromkeys(allowed)
    fitting = [name for name in candidates if name in allowed and fits(name, material)]
    return Key(fitting[0], kid, material) if len(fitting) == 1 else None


def _for_verification(entry: dict[str, Any]) -> bool:
    """Whether a JWK is a public key, meant for signatures. One with its private part (``d``) is compromised."""
    operations = entry.get("key_ops", ["verify"])
    return (
        isinstance(entry.get("kty"), str)
        and "d" not in entry
        and entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )
