"""JSON from outside, read so that it has one meaning and costs a bounded effort."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn


def members_of(data: bytes, most_brackets: int) -> dict[str, Any]:
    """The members of the JSON object (RFC 8259) that ``data`` holds.

    Beyond what is not JSON, refuses what readers understand differently: a name that comes twice in an object, at any
    depth, ``NaN`` and ``Infinity``, and any encoding but UTF-8. Data with more than ``most_brackets`` opening brackets
    is refused unparsed, so that it is neither deep nor full of containers; brackets in strings count too.

    :raises ValueError: with the reason, fit for a log line.
    """
    if data.count(b"{") + data.count(b"[") > most_brackets:
        raise ValueError(f"more than {most_brackets} opening brackets")
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    except RecursionError:  # for a caller who is deep himself
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member comes twice")
    return members


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)
