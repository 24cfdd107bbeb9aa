"""Cache-Control (RFC 9111 section 5.2), read strictly: what is malformed never makes an answer fresher.

The grammar is a list of ``token [ "=" ( token / quoted-string ) ]``. Names are in any case; an argument is accepted in
both of its forms, whatever the definition of the directive prefers. A directive that comes twice with different
arguments is one that cannot be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tracseq_gateway.http.fields import Fields

FOREVER: Final = 1 << 31
"""The longest number of seconds that is told apart (section 1.2.2)."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*)"'
_MEMBER = re.compile(rb"[ \t]*(?:(%b)(?:=(?:(%b)|%b))?[ \t]*)?(?:,|$)" % (_TOKEN, _TOKEN, _QUOTED)).match
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL).sub
_SECONDS = re.compile(rb"[0-9]+").fullmatch
_CONFLICT: Final = b"\x00"
"""Stands for an argument that is not to be trusted: no directive has it."""


class Directives:
    """The directives of one head."""

    __slots__ = ("_arguments",)

    def __init__(self, values: Iterable[bytes]) -> None:
        """``values`` are those of all Cache-Control lines, in their order."""
        self._arguments: dict[bytes, bytes | None] = {}
        for value in values:
            self._read(value)

    def _read(self, value: bytes) -> None:
        at = 0
        while at < len(value):
            match = _MEMBER(value, at)
            if match is None:
                # Read on behind the next comma: a no-store in there must not be lost.
                comma = value.find(b",", at)
                if comma < 0:
                    return
                at = comma + 1
                continue
            at = match.end()
            if match[1] is not None:
                quoted = match[3]
                argument = match[2] if quoted is None else _ESCAPED(rb"\1", quoted)
                self._add(match[1].lower(), argument)

    def _add(self, name: bytes, argument: bytes | None) -> None:
        if name in self._arguments and self._arguments[name] != argument:
            argument = _CONFLICT
        self._arguments[name] = argument

    def __contains__(self, name: object) -> bool:
        return name in self._arguments

    def __bool__(self) -> bool:
        return bool(self._arguments)

    def argument(self, name: bytes) -> bytes | None:
        """The argument of a directive; None if it has none, or is not there."""
        return self._arguments.get(name)

    def seconds(self, name: bytes) -> int | None:
        """The seconds of a directive; None if it is not there, and -1 if its argument is no number of seconds."""
        if name not in self._arguments:
            return None
        argument = self._arguments[name]
        if argument is None or _SECONDS(argument) is None:
            return -1
        return int(argument) if len(argument) < 11 and int(argument) < FOREVER else FOREVER


def directives_of(fields: Fields) -> Directives:
    """The directives of a head with these fields."""
    return Directives([value for name, value in fields if name == b"cache-control"])


def directives_of_request(fields: Fields) -> Directives:
    """The same of a request: without any Cache-Control, Pragma may say ``no-cache`` (section 5.4)."""
    found = directives_of(fields)
    if not found and any(name == b"pragma" and b"no-cache" in value.lower() for name, value in fields):
        return Directives([b"no-cache"])
    return found
