"""What is known of one upload beside its bytes, as it stands on disk.

The states, and what follows which::

    receiving ──► delivering ──► delivered
        ▲             │
        ├─────────────┤ the service cannot have acted, or may be asked again
        │             ▼
        └── again ── unknown     nobody knows whether it has

An upload whose bytes are all there, and that is not with the service, is ``receiving`` still: it is whole by its size.
``delivering`` is on disk before the first byte leaves for the service, so whoever finds it there, and nobody at work,
knows that somebody died over it.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Final, Literal

from attrs import asdict, fields, frozen

State = Literal["receiving", "delivering", "delivered", "unknown"]

IDENTIFIER: Final = re.compile(rb"up_[A-Za-z0-9_-]{32}")
"""How uploads are called: nothing that a service would call its own, and 192 bits that nobody guesses."""


def new_identifier() -> str:
    """Call a new upload."""
    return f"up_{secrets.token_urlsafe(24)}"


@frozen
class Record:
    """See the module."""

    identifier: str
    owner: str
    """Who made it, as limiter keys name him; nobody else is told of it."""
    service: str
    path: str
    """The public path that it was made at, and that it is delivered to."""
    query: str
    """With its ``?``, or empty."""
    length: int
    """Bytes when it is whole."""
    metadata: str
    """Upload-Metadata, as the client wrote it."""
    again: bool
    """Whether the service may be asked a second time for what it may have acted on."""
    state: State = "receiving"
    unchecked: int | None = None
    """From which byte on a part came whose checksum is not known to be right: what stands there may not stay."""
    settled: float = 0.0
    """When it was delivered, seconds since the epoch."""
    media_type: str = ""
    """Of the body of the service's answer, once it is delivered; empty: it said none."""

    def written(self) -> bytes:
        """The record as it is kept."""
        return json.dumps(asdict(self)).encode("utf-8")

    @classmethod
    def read(cls, text: bytes) -> Record:
        """Read a record that was written here, by this version or another.

        Raises :class:`ValueError` for what is none.
        """
        try:
            values = json.loads(text)
            known = {field.name for field in fields(cls)}
            return cls(**{name: value for name, value in values.items() if name in known})
        except (AttributeError, TypeError) as error:
            raise ValueError(f"no record of an upload: {error}") from None
