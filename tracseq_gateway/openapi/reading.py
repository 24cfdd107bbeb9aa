"""Reads a service's document: from bytes of unknown origin to JSON of a bounded size, depth and version."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, Literal, NoReturn

from attrs import frozen

MOST_VALUES: Final = 100_000
"""Objects, arrays, strings, numbers ... of a document."""
DEEPEST: Final = 64
"""Objects and arrays within each other."""

Version = Literal["3.0", "3.1"]

_VERSION = re.compile(r"3\.(\d{1,3})(?:\.\d{1,9})?(?:-[\w.+-]{1,32})?").fullmatch


class Unusable(ValueError):
    """There is nothing in a document that could be taken over; says why, in a few words."""


@frozen
class Raw:
    """A document as it came, of which nothing is believed yet but that it is a JSON object of bounded size."""

    content: dict[str, Any]
    version: Version
    """The dialect of its schemas. A later 3.x is read as 3.1: what is new in it is not taken over."""


def read(data: bytes) -> Raw:
    """Read a document. Raises :class:`Unusable`."""
    try:
        value = _DECODER.decode(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Unusable("it is not UTF-8") from None
    except RecursionError:
        raise Unusable(f"it is nested deeper than {DEEPEST} levels") from None
    except json.JSONDecodeError as error:
        raise Unusable(f"it is not JSON (line {error.lineno}, column {error.colno})") from None
    except ValueError as error:
        raise Unusable(f"it is not JSON: {str(error)[:80]}") from None
    if not isinstance(value, dict):
        raise Unusable("it is no JSON object")
    _measure(value)
    return Raw(value, _version(value))


def _version(value: dict[str, Any]) -> Version:
    stated = value.get("openapi")
    found = _VERSION(stated) if isinstance(stated, str) else None
    if found is not None:
        return "3.0" if found[1] == "0" else "3.1"
    if "swagger" in value:
        raise Unusable("it is Swagger 2.0; OpenAPI 3.0 or 3.1 is needed")
    raise Unusable("it is no OpenAPI 3 document")


def _measure(value: object) -> None:
    """Count values and levels, without recursion."""
    level: list[Any] = [value]
    count = 0
    for _ in range(DEEPEST):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        count += len(level)
        if count > MOST_VALUES:
            raise Unusable(f"it has more than {MOST_VALUES} values")
        if not below:
            return
        level = below
    raise Unusable(f"it is nested deeper than {DEEPEST} levels")


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text[:20])


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite)
