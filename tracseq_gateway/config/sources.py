"""Where each value of the merged tree was set: in the file, by an environment variable or by an option."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tracseq_gateway.config.locate import line_of
from tracseq_gateway.config.problem import KeyPath, Problem, Wrong, dotted

ENVIRONMENT = "environment"
OPTIONS = "options"
BUILT_IN = "defaults"
"""Named in place of a file where there is none."""


class Sources:
    """Turns a path of the tree into the place that the operator has to look at."""

    def __init__(self, file: str | None, lines: Mapping[KeyPath, int]) -> None:
        self._file = file
        self._lines = lines
        self._set_by: dict[KeyPath, tuple[str, str]] = {}
        self._taken_from: dict[KeyPath, KeyPath] = {}

    def mark(self, path: KeyPath, source: str, name: str) -> None:
        """Note that ``source`` set the value at ``path``, under a name that is the operator's word for it."""
        self._set_by = {known: by for known, by in self._set_by.items() if known[: len(path)] != path}
        self._set_by[path] = (source, name)

    def inherit(self, path: KeyPath, shared: KeyPath) -> None:
        """Note that the value at ``path`` is the one at ``shared``."""
        self._taken_from[path] = shared

    def place(self, path: KeyPath) -> tuple[str, int, str]:
        """Return file, line and key: of the path itself, or of the nearest table around it."""
        for length in range(len(path), 0, -1):
            head = path[:length]
            if head in self._set_by:
                source, name = self._set_by[head]
                return source, 0, name
            if head in self._taken_from:
                return self.place(self._taken_from[head] + path[length:])
            if head in self._lines:
                break
        if self._file is None:
            return BUILT_IN, 0, dotted(path)
        return self._file, line_of(self._lines, path), dotted(path)

    def problem(self, path: KeyPath, wrong: str, right: str, level: Literal["error", "warning"] = "error") -> Problem:
        """Make a problem of what is wrong at a path."""
        file, line, key = self.place(path)
        return Problem(file, line, key, wrong, right, level)

    def fault(self, path: KeyPath, wrong: Wrong) -> Problem:
        """Make a problem of a fault in the value at a path."""
        return self.problem(path + wrong.at, wrong.wrong, wrong.right)
