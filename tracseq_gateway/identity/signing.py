"""Who calls, told to the services: the identity headers, and a signature by which a service knows them for ours.

The signature is ``x-identity-signature: t=SECONDS,v1=HEX``: HEX is the HMAC-SHA256 (RFC 2104), in lower-case
hexadecimal, of five lines joined by single line feeds::

    SECONDS
    value of x-user-id
    value of x-user-email
    value of x-user-role
    value of x-session-id

A header that is not there stands as an empty line. SECONDS is when the gateway signed, since the epoch. It says who
calls, not what is asked for: a service that sees it could show it to another one for as long as that takes it for new.
:func:`verify` is what a service does with it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from copy import copy
from typing import Final, Self

from tracseq_gateway.config.policies import Authentication
from tracseq_gateway.interfaces import Identity

SIGNED_SECONDS: Final = 30.0
"""How long the gateway uses one signature for one caller."""

LEAST_KEY: Final = 32
"""Bytes of a key: as many as the hash has (RFC 2104 section 3)."""

LONGEST_TEXT: Final = 256
"""Characters of one value."""

MOST_KEPT: Final = 10_000
"""Callers whose lines are kept ready."""

SIGNATURE: Final = b"x-identity-signature"

HEADERS: Final = (b"x-user-id", b"x-user-email", b"x-user-role", b"x-session-id")
"""In the order of the signed text."""

_SIGNATURE = re.compile(rb"t=([0-9]{1,15}),v1=([0-9a-f]{64})")


def is_field_text(text: str) -> bool:
    """Whether a text can be the value of an identity header: printable, without white space at its ends, not long."""
    return len(text) <= LONGEST_TEXT and text.isprintable() and text == text.strip()


def identity_lines(identity: Identity) -> bytes:
    """The header lines that tell a service who calls, each with its CRLF; what is empty has no line."""
    return b"".join(
        b"%b: %b\r\n" % (name, value) for name, value in zip(HEADERS, _values(identity), strict=True) if value
    )


def signature(key: bytes, seconds: int, values: tuple[bytes, ...]) -> bytes:
    """The value of the signature's header for the four values of :data:`HEADERS`, empty where there is no header."""
    signed = b"\n".join((b"%d" % seconds, *values))
    return b"t=%d,v1=%b" % (seconds, hmac.digest(key, signed, hashlib.sha256).hex().encode("ascii"))


def verify(headers: Mapping[bytes, bytes], key: bytes, now: float, tolerance: float = 60.0) -> bool:
    """Whether the identity headers of a request were signed by a gateway with this key, not long ago.

    The reference for what a service does. It needs ``headers`` by lower-case name, and must refuse a request that has
    one of them twice. ``tolerance`` is in seconds, for the age of a signature (up to :data:`SIGNED_SECONDS`) and the
    difference between two clocks.
    """
    given = headers.get(SIGNATURE, b"")
    parts = _SIGNATURE.fullmatch(given)
    if parts is None or abs(now - int(parts[1])) > tolerance:
        return False
    values = tuple(headers.get(name, b"") for name in HEADERS)
    return hmac.compare_digest(given, signature(key, int(parts[1]), values))


class IdentitySigner:
    """Gives the lines that tell a service who calls, signed if there is a key.

    They are the same for all requests of a caller for :data:`SIGNED_SECONDS`, so they are kept with the identity, which
    the requests share: a request pays for one look-up. Identities are compared as objects, and kept alive while their
    lines are, so that one cannot be taken for another.
    """

    def __init__(self, key: bytes | None, now: Callable[[], float], variable: str = "the identity key") -> None:
        """Sign with ``key``; None: do not sign. ``now`` gives seconds since the epoch.

        :raises ValueError: when the key is too short; it names ``variable``, where the key comes from.
        """
        if key is not None and len(key) < LEAST_KEY:
            raise ValueError(
                f"{variable}: {len(key)} bytes are too short for a key, at least {LEAST_KEY} would be right, "
                "such as those of: openssl rand -hex 32"
            )
        self._key = key
        self._now = now
        self._kept: dict[Identity, tuple[float, bytes]] = {}

    @classmethod
    def of(cls, settings: Authentication, environ: Mapping[str, str], now: Callable[[], float]) -> Self:
        """Sign with the key in the environment variable ``identity_key_env``; an empty one is one that is not set."""
        variable = settings.identity_key_env
        key = environ.get(variable, "").encode() if variable else b""
        return cls(key or None, now, variable)

    def rehearsal(self) -> IdentitySigner:
        """One that gives the same lines, and keeps none of them here."""
        twin = copy(self)
        twin._kept = dict(self._kept)
        return twin

    def lines(self, identity: Identity) -> bytes:
        """The identity's header lines, each with its CRLF."""
        now = self._now()
        kept = self._kept.get(identity)
        if kept is not None and 0 <= now - kept[0] < SIGNED_SECONDS:  # a clock can be set back
            return kept[1]
        lines = identity_lines(identity)
        if self._key is not None:
            lines += b"%b: %b\r\n" % (SIGNATURE, signature(self._key, int(now), _values(identity)))
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[identity] = now, lines
        return lines


def _values(identity: Identity) -> tuple[bytes, ...]:
    texts = (identity.subject, identity.email, identity.role, identity.session)
    assert all(map(is_field_text, texts)), "an identity that was not validated"
    return tuple(text.encode() for text in texts)
