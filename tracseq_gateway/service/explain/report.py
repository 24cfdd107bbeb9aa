"""What an explanation says: one step after the other, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from attrs import Factory, asdict, define

Outcome = Literal["ok", "refused", "answered", "skipped", "unknown"]
"""The request goes on; is refused; is answered by the gateway itself; there is nothing to pass here; or it cannot be
known without asking somebody."""

MOST_LISTED = 40
"""Routes, instances, limits that are listed."""
LONGEST_TEXT = 300
"""Characters of one line."""
LONGEST_HEAD = 12_000
"""Characters of a head that are shown."""
LONGEST_REPORT = 56 * 1024
"""Bytes of a whole report: it must fit into one value of AMP."""


@define
class Step:
    """One step of the way."""

    name: str
    outcome: Outcome
    summary: str
    lines: list[str] = Factory(list)
    """Details for people, a line each."""
    facts: dict[str, Any] = Factory(dict)
    """The same for programs, as far as they want it."""

    @property
    def ends(self) -> bool:
        """Whether the request comes no further."""
        return self.outcome not in ("ok", "skipped")

    def bounded(self) -> dict[str, Any]:
        """The step as JSON has it, none of its texts longer than anybody reads."""
        lines = [shortened(line, LONGEST_TEXT) for line in self.lines[: 2 * MOST_LISTED]]
        return {**asdict(self), "summary": shortened(self.summary, LONGEST_TEXT), "lines": lines}


def packed(document: Mapping[str, Any]) -> bytes:
    """A report as JSON that is short enough: of one that is not, the facts go, and then the lines."""
    for omitted in ((), ("facts",), ("facts", "lines")):
        steps = [{name: value for name, value in step.items() if name not in omitted} for step in document["steps"]]
        data = json.dumps({**document, "steps": steps}).encode("ascii")
        if len(data) <= LONGEST_REPORT:
            return data
    return json.dumps({**document, "steps": [], "upstream": None, "answer": None}).encode("ascii")


def shortened(text: str, most: int) -> str:
    """The text, or its beginning."""
    return text if len(text) <= most else f"{text[:most]} ..."


def listed(lines: list[str]) -> list[str]:
    """The first of many lines, and how many there are beside them."""
    beyond = len(lines) - MOST_LISTED
    return lines if beyond <= 0 else [*lines[:MOST_LISTED], f"and {beyond} more"]


def text_of(data: bytes) -> str:
    """Bytes of a head as text that can be shown on any terminal."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join([letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text])
