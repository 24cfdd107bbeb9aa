"""Which content coding an answer is given in (RFC 9110 section 12.5.3).

Rules:

1. What the client wants more comes first (q-values); of what it wants alike, what the gateway would rather give.
2. A coding that is not named has the weight of ``*``; without ``*`` it is not wanted.
3. The answer as it is (``identity``) is always to be had. It wins where it has a higher weight than all that could be
   given; and where nothing else is acceptable it is given even to who forbids it, as section 12.5.3 allows.
4. No field, or an empty one, wants nothing done.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MEMBER = re.compile(rb"([!#$%&'*+.^_`|~0-9a-z-]+)[ \t]*(?:;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?").fullmatch
_ALIASES = {b"x-gzip": b"gzip"}
_MOST_KNOWN = 256
_LONGEST_KNOWN = 256


def weights(accepted: bytes) -> dict[bytes, float]:
    """The weight of each member of an Accept-Encoding field, by its name in lower case.

    What is malformed counts as not there; of a name that comes twice, the first counts.
    """
    found: dict[bytes, float] = {}
    for part in accepted.lower().split(b","):
        member = _MEMBER(part.strip(b" \t"))
        if member is not None:
            name, weight = member.groups()
            found.setdefault(_ALIASES.get(name, name), 1.0 if weight is None else float(weight))
    return found


def choose(accepted: bytes, offered: Sequence[bytes]) -> bytes | None:
    """Return one of the codings that are ``offered``, the preferred one first; None: the answer as it is."""
    wanted = weights(accepted)
    others = wanted.get(b"*", 0.0)
    best, chosen = 0.0, None
    for coding in offered:
        weight = wanted.get(coding, others)
        if weight > best:
            best, chosen = weight, coding
    return None if wanted.get(b"identity", others) > best else chosen


class CodingChoice:
    """Chooses as :func:`choose` does, and keeps what came of the fields that clients repeat. Bounded."""

    def __init__(self, offered: Sequence[bytes]) -> None:
        """``offered``: names of codings in lower case, the preferred one first."""
        self.offered = tuple(offered)
        self._known: dict[bytes, bytes | None] = {}

    def __call__(self, accepted: bytes) -> bytes | None:
        """Return the coding for an Accept-Encoding field, or None for the answer as it is."""
        known = self._known
        try:
            return known[accepted]
        except KeyError:
            chosen = choose(accepted, self.offered)
            if len(accepted) <= _LONGEST_KNOWN:
                if len(known) >= _MOST_KNOWN:
                    known.clear()
                known[accepted] = chosen
            return chosen
