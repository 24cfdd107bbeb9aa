"""Which line of a TOML file a key stands on: tomllib does not say.

This is no second parser. It walks over text that :mod:`tomllib` has already accepted and notes where each key and
each array element begins, so it need not tell a date from a number, or judge anything. Keys are decoded by tomllib.

Should the walk ever lose its way, it returns what it has: the reader of a path then falls back to the table around it.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tracseq_gateway.config.problem import KeyPath

_BLANK = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY = re.compile(
    r"""
    (?: [A-Za-z0-9_-]+ | "(?:[^"\\\n]|\\.)*" | '[^'\n]*' )
    (?: [ \t]* \. [ \t]* (?: [A-Za-z0-9_-]+ | "(?:[^"\\\n]|\\.)*" | '[^'\n]*' ) )*
    """,
    re.VERBOSE,
)
_STRING = re.compile(
    r"""
      \"{3} (?: [^"\\] | \\. | "{1,2}(?!") )* "{3,5}     # up to two quotes may stand just before the closing three
    | '{3} (?: [^'] | '{1,2}(?!') )* '{3,5}
    | " (?: [^"\\\n] | \\. )* "
    | ' [^'\n]* '
    """,
    re.VERBOSE | re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\n#]+")


class _Lost(Exception):
    """The text is not what this walk expects."""


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """Map the path of every key, table and array element of valid TOML to the line (from 1) where it begins."""
    walk = _Walk(text.replace("\r\n", "\n"))
    with suppress(_Lost):  # positions are a help, never a reason to refuse a file
        walk.document()
    return walk.lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of a path, or of the nearest table or array around it; 1 when there is none."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._elements: dict[KeyPath, int] = {}  # tables seen so far of each array of tables

    def document(self) -> None:
        table: KeyPath = ()
        while self.skip(_GAP) < len(self.text):
            if self.text.startswith("[", self.at):
                table = self.header()
            else:
                self.pair(table)

    def header(self) -> KeyPath:
        line = self.line()
        array = self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        self.skip(_BLANK)
        path: KeyPath = ()
        *parents, last = self.key()
        for name in parents:
            path = self.newest((*path, name))
            self.lines.setdefault(path, line)
        path = (*path, last)
        self.skip(_BLANK)
        self.at += 2 if array else 1
        if array:
            self.lines.setdefault(path, line)
            self._elements[path] = self._elements.get(path, -1) + 1
            path = self.newest(path)
        self.lines[path] = line
        return path

    def newest(self, path: KeyPath) -> KeyPath:
        """Step into the last element, when the path is an array of tables."""
        return (*path, self._elements[path]) if path in self._elements else path

    def pair(self, table: KeyPath) -> None:
        line = self.line()
        path = table
        for name in self.key():
            path = (*path, name)
            self.lines.setdefault(path, line)
        self.skip(_BLANK)
        self.expect("=")
        self.skip(_BLANK)
        self.value(path)

    def value(self, path: KeyPath) -> None:
        if self.text.startswith("[", self.at):
            self.array(path)
        elif self.text.startswith("{", self.at):
            self.inline_table(path)
        else:
            self.take(_STRING if self.text.startswith(('"', "'"), self.at) else _SCALAR)

    def array(self, path: KeyPath) -> None:
        self.expect("[")
        index = 0
        self.skip(_GAP)
        while not self.text.startswith("]", self.at):
            self.lines[(*path, index)] = self.line()
            self.value((*path, index))
            index += 1
            self.comma()
        self.expect("]")

    def inline_table(self, path: KeyPath) -> None:
        self.expect("{")
        self.skip(_GAP)
        while not self.text.startswith("}", self.at):
            self.pair(path)
            self.comma()
        self.expect("}")

    def comma(self) -> None:
        self.skip(_GAP)
        if self.text.startswith(",", self.at):
            self.at += 1
            self.skip(_GAP)

    def key(self) -> list[str]:
        """Take a dotted key and return its parts, as tomllib reads them."""
        parts = []
        try:
            tree: Any = tomllib.loads(f"{self.take(_KEY)} = 0")
        except tomllib.TOMLDecodeError as error:
            raise _Lost from error
        while isinstance(tree, dict):
            [(name, tree)] = tree.items()
            parts.append(name)
        return parts

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise _Lost
        self.at = match.end()
        return match.group()

    def skip(self, pattern: re.Pattern[str]) -> int:
        """Step over what may be there, and return the new position."""
        self.take(pattern)
        return self.at

    def expect(self, mark: str) -> None:
        if not self.text.startswith(mark, self.at):
            raise _Lost
        self.at += len(mark)

    def line(self) -> int:
        return bisect_left(self._newlines, self.at) + 1
