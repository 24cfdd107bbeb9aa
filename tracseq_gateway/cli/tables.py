"""Tables for a terminal: aligned, coloured if wanted, and safe to print whatever is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TextIO

from attrs import frozen

Style = Literal["plain", "good", "doubtful", "bad", "head"]

_CODES: Final[Mapping[Style, str]] = {"good": "32", "doubtful": "33", "bad": "31;1", "head": "1"}
BETWEEN: Final = "  "


@frozen
class Cell:
    """A text in a table."""

    text: str
    style: Style = "plain"
    right: bool = False
    """Whether it stands at the right of its column, as numbers do."""


def number(text: str) -> Cell:
    """A cell for a number."""
    return Cell(text, right=True)


def lines_of(rows: Sequence[Sequence[Cell]], *, colour: bool) -> list[str]:
    """The rows as lines in which columns are aligned; a row may have fewer cells than others."""
    widths = [
        max(len(printable(row[column].text)) for row in rows if column < len(row))
        for column in range(max(map(len, rows), default=0))
    ]
    return [
        BETWEEN.join(_fitted(cell, width, colour) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]


def painted(text: str, style: Style, *, colour: bool) -> str:
    """The text in the colour of its style, if there shall be any."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if colour and text and style in _CODES else text


def printable(text: str) -> str:
    """The text without what a terminal might take for a command: paths and names come from outside."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether colours shall be used: on a terminal, unless ``NO_COLOR`` is set or it can show none."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def paragraphs(parts: Iterable[Sequence[str]]) -> list[str]:
    """The lines of all parts that have any, with an empty line between two."""
    lines: list[str] = []
    for part in parts:
        lines += [*([""] if lines and part else []), *part]
    return lines


def _fitted(cell: Cell, width: int, colour: bool) -> str:
    text = printable(cell.text)
    space = " " * (width - len(text))
    shown = painted(text, cell.style, colour=colour)
    return space + shown if cell.right else shown + space
