"""Reading single values: from what TOML gives to what the model holds.

Nothing is coerced: ``"8000"`` is no integer, ``true`` is no 1 and 1 is no ``true``. Each reader returns the value in
the model's unit or raises :class:`Wrong`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from ipaddress import ip_interface, ip_network

from attrs import evolve, frozen

from tracseq_gateway.config.keys import Network, Seconds, Size
from tracseq_gateway.config.problem import Wrong, kind_of, quoted, show

UNITS: dict[str, int] = {
    "B": 1,
    **{name: 1000**power for power, names in enumerate(("kB KB", "MB", "GB", "TB"), 1) for name in names.split()},
    **{name: 1024**power for power, name in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)},
}

_SIZE = re.compile(r"([0-9]{1,18}) ?([A-Za-z]+)")


def mistyped(value: object, wanted: str) -> Wrong:
    """Say that a value has the wrong type."""
    kind, shown = kind_of(value), show(value)
    return Wrong(f"is {kind}" if shown == kind else f"{shown} is {kind}", f"{wanted} would be right")


def string(value: object) -> str:
    """Read text."""
    if not isinstance(value, str):
        raise mistyped(value, "a string")
    return value


def boolean(value: object) -> bool:
    """Read a switch."""
    if not isinstance(value, bool):
        raise mistyped(value, "true or false")
    return value


def one_of(value: object, choices: Collection[str]) -> str:
    """Read one of a few words."""
    wanted = f"one of {', '.join(sorted(choices))}"
    if not isinstance(value, str):
        raise mistyped(value, wanted)
    if value not in choices:
        raise Wrong(f"{show(value)} is not known", nearest(value, choices, f"{wanted} would be right"))
    return value


def nearest(name: str, known: Collection[str], otherwise: str) -> str:
    """Suggest the known name that was probably meant or cut short, or say something else when none is near."""
    spellings = {word.lower(): word for word in known}
    longer = [word for word in spellings if len(name) > 2 and word.startswith(name.lower())]
    close = longer or get_close_matches(name.lower(), spellings, n=1)
    return f"did you mean {quoted(spellings[close[0]])}?" if close else otherwise


def network(value: object) -> Network:
    """Read an address, or a network in CIDR notation; an address is a network of one."""
    wanted = 'an address or a network such as "10.0.0.0/8"'
    if not isinstance(value, str):
        raise mistyped(value, wanted)
    try:
        enclosing = ip_interface(value).network
    except ValueError:
        raise Wrong(f"{show(value)} is not an address or network", f"{wanted} would be right") from None
    try:
        return ip_network(value)
    except ValueError:
        raise Wrong(f"{show(value)} has bits set beyond its mask", f'"{enclosing}" is the network around it') from None


@frozen
class Number:
    """A kind of number: how it is read, what it is called and between which bounds it lies (both are allowed)."""

    read: Callable[[object], float | None]
    """Returns the value in the model's unit, or None when its type is wrong; raises :class:`Wrong` for its form."""
    name: str
    least: float
    most: float
    bounded: bool = False
    """Whether ``most`` means something to the operator, or only keeps arithmetic sane."""

    def within(self, least: float | None, most: float | None) -> Number:
        """Return the same kind of number within the bounds of one key."""
        return evolve(
            self,
            least=self.least if least is None else least,
            most=self.most if most is None else most,
            bounded=most is not None,
        )

    def phrase(self) -> str:
        """Say what is right, with an article: ``an integer from 1 to 65535``."""
        return f"{self.name} " + (
            f"from {_plain(self.least)} to {_plain(self.most)}" if self.bounded else f"of at least {_plain(self.least)}"
        )

    def take(self, value: object) -> float:
        """Read a value, or raise :class:`Wrong`."""
        number = self.read(value)
        if number is None:
            raise mistyped(value, self.phrase())
        if not self.least <= number <= self.most:
            raise Wrong(f"{show(value)} is out of range", f"{self.phrase()} would be right")
        return number

    def take_or_auto(self, value: object) -> float | str:
        """Read a value or the word ``auto``."""
        if value == "auto":
            return "auto"
        try:
            return self.take(value)
        except Wrong as fault:
            raise Wrong(fault.wrong, f'{self.phrase()} or "auto" would be right') from None


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _real(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    return number


def _size(value: object) -> int | None:
    if not isinstance(value, str):
        return _integer(value)
    match = _SIZE.fullmatch(value)
    if match is None or match[2] not in UNITS:
        raise Wrong(f"{show(value)} is not a size", f'"50MiB" is one, and the units are {", ".join(UNITS)}')
    return int(match[1]) * UNITS[match[2]]


NUMBERS: dict[object, Number] = {
    int: Number(_integer, "an integer", least=0, most=2**31 - 1),
    float: Number(_real, "a number", least=0, most=1e9),
    Seconds: Number(_real, "a number of seconds", least=0, most=1e9),
    Size: Number(_size, 'a number of bytes, or a size such as "64KiB",', least=0, most=2**62),
}
