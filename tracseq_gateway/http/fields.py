"""Header fields: the lines that were read.

Most lines of a head were seen before, on this connection or another. :class:`KnownLines` keeps what a line means and
how it is passed on, so that a line which comes again costs one look-up. It is given only lines that llhttp has found
good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

Fields = list[tuple[bytes, bytes]]
"""Names in lower case, values without white space around them, in the order of the wire."""


class FieldLine(NamedTuple):
    """One line of a head."""

    name: bytes
    """In lower case."""
    value: bytes
    special: bool
    """Whether the gateway itself reads this field."""
    passed_on: bytes
    """The line as it goes on, with its CRLF; empty for a field that goes no further."""


def first_value(lines: list[FieldLine], name: bytes) -> bytes | None:
    """The value of the first line by its lower-case name; None if there is none."""
    for line in lines:
        if line.name == name:
            return line.value
    return None


_MOST_KNOWN = 4096
_LONGEST_KNOWN = 160
_SECRET = frozenset({b"authorization", b"cookie", b"x-api-key", b"proxy-authorization", b"set-cookie"})
"""Fields that are forgotten with their request."""


class _KnownNames(dict[bytes, tuple[bytes, bool, bool, bool]]):
    """From a name as it is spelled to the name, and whether it is special, dropped, secret. Bounded likewise."""

    def __init__(self, special: frozenset[bytes], dropped: Callable[[bytes], bool], secret: frozenset[bytes]) -> None:
        super().__init__()
        self._special = special
        self._dropped = dropped
        self._secret = _SECRET | secret

    def __missing__(self, spelled: bytes) -> tuple[bytes, bool, bool, bool]:
        name = spelled.lower()
        known = (name, name in self._special, self._dropped(name), name in self._secret)
        if len(spelled) <= _LONGEST_KNOWN:
            if len(self) >= _MOST_KNOWN:
                self.clear()
            self[spelled] = known
        return known


class KnownLines(dict[bytes, FieldLine]):
    """From a line, without its CRLF, to what it means. Shared by all connections of one direction.

    Bounded: long lines and secrets are not kept, and when it is full it starts anew.
    """

    def __init__(
        self,
        special: frozenset[bytes],
        dropped: Callable[[bytes], bool],
        secret: frozenset[bytes] = frozenset(),
    ) -> None:
        """``special``: names that the gateway reads; ``dropped``: whether a field goes no further, by its name.

        ``secret``: names of fields whose lines are forgotten with their request, beside those that always are.
        """
        super().__init__()
        self._names = _KnownNames(special, dropped, secret)

    def __missing__(self, line: bytes) -> FieldLine:
        spelled, _, value = line.partition(b":")
        name, special, dropped, secret = self._names[spelled]
        value = value.strip(b" \t")
        passed_on = b"" if dropped else b"%b: %b\r\n" % (name, value)
        known = FieldLine(name, value, special, passed_on)
        if len(line) <= _LONGEST_KNOWN and not secret:
            if len(self) >= _MOST_KNOWN:
                self.clear()
            self[line] = known
        return known

    def read(self, block: bytes) -> list[FieldLine]:
        """Read the lines of a block that ends with its empty line."""
        return [self[line] for line in block[:-4].split(b"\r\n")] if len(block) > 2 else []
