"""How a key of the configuration is declared, and the units of its value.

House rules:

1. A key is declared with :func:`key`; its help text is the manual.
2. Values are in the units of their types (bytes, seconds); text such as ``"50MiB"`` is the loader's business.
   So are the bounds ``least`` and ``most``: a tree that is built in code (port 0 in a test) is not held to them.
3. A key that holds a secret has ``repr=False``: its value is never shown, not even a wrong one.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from types import NoneType
from typing import Any, NewType, get_args

from attrs import Factory, field

Size = NewType("Size", int)
"""A number of bytes. In a file: an integer, or text such as ``"64KiB"`` or ``"50MiB"``."""

Seconds = NewType("Seconds", float)
"""A duration. In a file: a number; 0 means no limit where the key says so."""

MOMENT = 0.001
"""The least duration where 0 would not mean "no limit" but "at once"."""

Network = IPv4Network | IPv6Network


def present(hint: Any) -> Any:
    """Return what a key holds where it holds something: its type without None, which no file can say."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return kinds[0] if len(kinds) == 1 and NoneType in get_args(hint) else hint


def key(
    default: Any,
    help: str,
    *,
    least: float | None = None,
    most: float | None = None,
    **rest: Any,
) -> Any:
    """Declare a configuration key.

    ``help`` is one or two sentences for the operator. ``least`` and ``most`` bound a number (both are allowed values);
    without them the bounds of its type hold, and no type allows a negative number.
    """
    return field(default=default, metadata={"help": help, "least": least, "most": most}, **rest)


def table(kind: type[Any], help: str) -> Any:
    """Declare a sub-table whose keys all have defaults."""
    return field(default=Factory(kind), metadata={"help": help})
