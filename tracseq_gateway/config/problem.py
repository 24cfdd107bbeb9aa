"""What is wrong with a configuration: the line that the operator reads, and the fault that it is made from."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, time
from typing import Literal

from attrs import frozen

KeyPath = tuple[str | int, ...]
"""Where a value stands in the tree: table and key names, and indices into arrays."""

SHOWN = 60
"""Characters of a wrong value that are shown; enough to find it, not enough to flood a log."""


@frozen
class Problem:
    """One thing that is wrong, or of no effect, and what would be right."""

    file: str
    """The file as it was named to :func:`load`, or ``environment``, ``options`` or ``defaults``."""
    line: int
    """Counted from 1; 0 when the value does not stand in a file."""
    key: str
    """The dotted key as the operator wrote it, or the name of the environment variable."""
    wrong: str
    right: str
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        kind = "warning: " if self.level == "warning" else ""
        return f"{self.file}:{self.line}: {self.key}: {kind}{self.wrong}, {self.right}"


class Wrong(ValueError):
    """A value is not what its key takes. Whoever knows where the value stands makes a :class:`Problem` of it.

    ``at`` leads from the value to the part of it that is to blame.
    """

    def __init__(self, wrong: str, right: str, at: KeyPath = ()) -> None:
        super().__init__(f"{wrong}, {right}")
        self.wrong = wrong
        self.right = right
        self.at = at


def dotted(path: KeyPath) -> str:
    """Write a path as a person would in TOML: ``services.rag.instances[1].url``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else quoted(part))
    return text


def quoted(text: str) -> str:
    """Put text between quotes on one line; whatever a terminal could take for a command is escaped."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def show(value: object) -> str:
    """Name a value shortly: scalars as they are written, the rest by their kind."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value if len(value) <= SHOWN else value[: SHOWN - 1] + "…")
    if isinstance(value, int) and abs(value) > 1 << 64:
        return "an enormous number"  # whose digits Python may refuse to print
    return str(value) if isinstance(value, int | float | date | time) else kind_of(value)


def kind_of(value: object) -> str:
    """Name the TOML type of a value, with its article."""
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "a boolean"),
        (int, "an integer"),
        (float, "a float"),
        (str, "a string"),
        (dict, "a table"),
        (list, "an array"),
        (tuple, "an array"),
        (datetime, "a date-time"),
        (date, "a date"),
        (time, "a time"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), f"a {type(value).__name__}")
