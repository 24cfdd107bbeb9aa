"""What request heads and answer heads have in common: the fields that frame a message, read by llhttp's grammar.

What a head means is a pure function of its bytes, and a client repeats its fields with every request on a kept
connection, as a service does with its answers. So each connection keeps the last block of fields that it read beside
what it meant, and the same bytes are not read twice; what single lines mean is kept in
:class:`tracseq_gateway.http.fields.KnownLines`.

Names of fields come out in lower case, as HAProxy and Envoy send them and as HTTP/2 requires.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracseq_gateway.http.fields import FieldLine
from tracseq_gateway.http.framing import body_length

LONGEST_KEPT = 4096
"""Blocks of fields longer than this are not kept beside their meaning."""

_NO_VALUES: tuple[bytes, ...] = ()
_NO_TOKENS: frozenset[bytes] = frozenset()
_USUAL_CONNECTION = [b"keep-alive"]


class Nothing:
    """Takes nothing from the parser: it only says whether a head is good."""


NOTHING = Nothing()


class SpecialFields:
    """The values of the fields that the gateway reads: those of nearly every head apart, the others by name."""

    __slots__ = ("authorization", "codings", "connection", "host", "lengths", "other")

    def __init__(self, received: list[FieldLine]) -> None:
        self.host: list[bytes] = []
        self.connection: list[bytes] = []
        self.lengths: list[bytes] = []
        self.codings: list[bytes] = []
        self.authorization: list[bytes] = []
        self.other: dict[bytes, list[bytes]] = {}
        for name, value, special, _ in received:
            if special:
                if name == b"host":
                    self.host.append(value)
                elif name == b"connection":
                    self.connection.append(value)
                elif name == b"content-length":
                    self.lengths.append(value)
                elif name == b"transfer-encoding":
                    self.codings.append(value)
                elif name == b"authorization":
                    self.authorization.append(value)
                else:
                    self.other.setdefault(name, []).append(value)

    def values(self, wanted: bytes) -> Sequence[bytes]:
        """The values of one of the other fields."""
        return self.other.get(wanted, _NO_VALUES) if self.other else _NO_VALUES

    def body_length(self, minor: int) -> int | None:
        """What the framing fields say; raises :class:`BadFraming`."""
        if not self.lengths and not self.codings:
            return None
        return body_length(self.lengths, self.codings, minor)


def _tokens(value: bytes) -> frozenset[bytes]:
    """Split a Connection value into its lower-case tokens."""
    return frozenset(token for part in value.lower().split(b",") if (token := part.strip(b" \t")))


def connection_options(options: list[bytes], minor: int) -> tuple[bool, frozenset[bytes]]:
    """Return whether the connection stays open, and what else Connection names (RFC 9112 section 9.3)."""
    if not options or (minor and options == _USUAL_CONNECTION):
        return minor == 1, _NO_TOKENS
    tokens = _NO_TOKENS.union(*map(_tokens, options))
    keep_alive = b"close" not in tokens and (minor == 1 or b"keep-alive" in tokens)
    return keep_alive, tokens - {b"close", b"keep-alive"}
