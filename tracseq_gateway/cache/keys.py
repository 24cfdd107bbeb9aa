"""By what an answer is kept: the service, how and by which name it was called, and the target, as that service sees it.

The query is in it as a hash: keys are written into Redis, and a query may hold a secret.
"""

from __future__ import annotations

import hashlib
from typing import Final

from attrs import frozen

_END: Final = b"\0"
"""Between the parts of a key; no part has it."""


def key_of(service: bytes, scheme: bytes, host: bytes, path: bytes, query: bytes) -> bytes:
    """``path`` and ``query`` are those that the service gets; ``query`` has its ``?``, and may be empty."""
    return _END.join((service, scheme, host.lower(), path, _digest(query)))


def variant_key(key: bytes, generation: bytes, variant: bytes) -> bytes:
    """The key of one of several answers to one target."""
    return _END.join((key, (generation + variant).hex().encode("ascii")))


def _digest(query: bytes) -> bytes:
    return hashlib.sha256(query).hexdigest()[:32].encode("ascii") if query else b"-"


@frozen
class Scope:
    """Which answers are meant by who wants them gone."""

    service: str
    path: bytes = b""
    """As the service gets it; empty: all of them."""
    query: bytes | None = None
    """With its ``?``; None: whatever it is."""
    below: bool = False
    """Whether all paths below ``path`` are meant, too."""

    def takes_in(self, key: bytes) -> bool:
        """Whether an answer that is kept by ``key`` is meant."""
        parts = key.split(_END)
        if len(parts) < 5 or parts[0] != self.service.encode():
            return False
        path, query = parts[3:5]
        if not self.path:
            return True
        if path != self.path.rstrip(b"/") and path != self.path:
            return self.below and path.startswith(self.path.rstrip(b"/") + b"/")
        return self.query is None or query == _digest(self.query)
