"""API keys of instruments and services: made, stored as hashes, found again.

A key is ``tsq_ID_SECRET``: eight letters and digits, by which it is found, and 32 random bytes in base64url. What is
stored is ``tsq1$ID$SALT$HEX``, where HEX is SHA-256 of SALT and SECRET, both as text: the ID in it makes the look-up
one step, however many keys there are.

A fast hash is right here. Slow ones (scrypt, Argon2) make up for passwords that can be guessed; nobody guesses 256
random bits at any speed, while a slow hash on every request would let anybody keep the gateway busy. The salt hides
only whether one key is stored in two places.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Mapping
from typing import Final, Self

from attrs import frozen

from tracseq_gateway.config.policies import ApiKey, Authentication
from tracseq_gateway.config.problem import KeyPath, Problem, Wrong, dotted, show
from tracseq_gateway.config.sources import Sources
from tracseq_gateway.identity import moments
from tracseq_gateway.identity.api_key_file import BadApiKeys, read_keys
from tracseq_gateway.interfaces import Identity

LONGEST_PRESENTED: Final = 200
"""Bytes of a presented key; longer ones are refused unread."""

IN_CONFIGURATION: Final = "configuration"
"""Named in place of a file for the keys that stand in the configuration itself."""

_ID_LENGTH: Final = 8
_ID_LETTERS: Final = string.ascii_letters + string.digits

_STORED = re.compile(r"tsq1\$(?P<id>[A-Za-z0-9]{8})\$(?P<salt>[A-Za-z0-9_-]{1,64})\$(?P<digest>[0-9a-f]{64})")
_PRESENTED = re.compile(rb"tsq_([A-Za-z0-9]{8})_([A-Za-z0-9_-]{43})")


@frozen
class NewKey:
    """A key that was just made."""

    key: str
    """For its user; it is stored nowhere."""
    hash: str
    """For the configuration."""


def new_key() -> NewKey:
    """Make a key of the system's best randomness."""
    identifier = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
    secret, salt = secrets.token_urlsafe(32), secrets.token_urlsafe(12)
    digest = _digest(salt.encode("ascii"), secret.encode("ascii")).hex()
    return NewKey(f"tsq_{identifier}_{secret}", f"tsq1${identifier}${salt}${digest}")


@frozen
class _Stored:
    """A key as it is compared with what is presented."""

    salt: bytes
    digest: bytes
    expires: float | None
    identity: Identity


class ApiKeys:
    """The keys of a configuration and its file."""

    def __init__(self, keys: Mapping[bytes, _Stored]) -> None:
        """Use keys by their ids; :meth:`of` makes them."""
        self._keys = keys

    @classmethod
    def of(cls, settings: Authentication) -> Self:
        """Take the keys of the configuration, and read those of its ``api_keys_file``.

        :raises BadApiKeys: with every problem: in the file, in a hash, or a name or id that two keys have.
        """
        collected = _Collected()
        configured = Sources(None, {})
        for name, key in settings.api_keys.items():
            path = ("auth", "api_keys", name)
            configured.mark(path, IN_CONFIGURATION, dotted(path))
            collected.add(name, key, configured, path)
        if settings.api_keys_file:
            try:
                keys, sources = read_keys(settings.api_keys_file)
            except BadApiKeys as error:
                raise BadApiKeys([*collected.problems, *error.problems]) from error
            for name, key in keys.items():
                collected.add(name, key, sources, (name,))
        if collected.problems:
            raise BadApiKeys(collected.problems)
        return cls(collected.keys)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, presented: bytes, now: float) -> Identity | None:
        """Say whose key this is; None when it is nobody's, or has ended by ``now`` (seconds since the epoch).

        The same object each time. The secret is compared in constant time; its id is no secret.
        """
        parts = _PRESENTED.fullmatch(presented) if len(presented) <= LONGEST_PRESENTED else None
        stored = self._keys.get(parts[1]) if parts is not None else None
        if parts is None or stored is None or not hmac.compare_digest(_digest(stored.salt, parts[2]), stored.digest):
            return None
        return stored.identity if stored.expires is None or now < stored.expires else None


class _Collected:
    """Keys by their ids, and what is wrong with the others."""

    def __init__(self) -> None:
        self.keys: dict[bytes, _Stored] = {}
        self.problems: list[Problem] = []
        self._places: dict[str, str] = {}

    def add(self, name: str, key: ApiKey, sources: Sources, path: KeyPath) -> None:
        if name in self._places:
            wrong = Wrong(f"{self._places[name]} has a key of this name", "a name of its own would be right")
            self.problems.append(sources.fault(path, wrong))
        self._places[name] = sources.place(path)[0]
        try:
            identifier, stored = self._stored(name, key)
        except Wrong as wrong:
            self.problems.append(sources.fault(path, wrong))
            return
        self.keys[identifier] = stored

    def _stored(self, name: str, key: ApiKey) -> tuple[bytes, _Stored]:
        parts = _STORED.fullmatch(key.hash)
        if parts is None:
            raise Wrong("its hash is none of a key", "what tracseq-gateway key new printed would be right", ("hash",))
        identifier = parts["id"].encode("ascii")
        if identifier in self.keys:
            other = show(self.keys[identifier].identity.key_name)
            raise Wrong(f"its hash is that of {other}, too", "a key of its own would be right", ("hash",))
        salt, digest = parts["salt"].encode("ascii"), bytes.fromhex(parts["digest"])
        expires = moments.to_seconds(key.expires) if key.expires else None
        return identifier, _Stored(salt, digest, expires, _identity(name, key, expires or 0.0))


def _identity(name: str, key: ApiKey, expires: float) -> Identity:
    return Identity(
        kind="key",
        subject=key.owner,
        role=key.role,
        email=key.email,
        key_name=name,
        services=frozenset(key.services),
        methods=frozenset(method.encode("ascii") for method in key.methods),
        rate_limit=key.rate_limit,
        expires=expires,
    )


def _digest(salt: bytes, secret: bytes) -> bytes:
    return hashlib.sha256(salt + secret).digest()
