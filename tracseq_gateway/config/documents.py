"""Reading a TOML file: the tree and the text of it, or the one problem that there is no tree to look at."""

from __future__ import annotations

import errno
import os
import re
import stat
import tomllib

from tracseq_gateway.config.problem import Problem
from tracseq_gateway.config.tree import Tree, is_deeper

MOST_LEVELS = 16
"""Tables within tables; the model has six."""

_POSITION = re.compile(r" \((?:at line (?P<line>[0-9]+), column (?P<column>[0-9]+)|at end of document)\)$")


class Unreadable(Exception):
    """There is no tree to look at."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_document(file: str) -> tuple[Tree, str]:
    """Return the tree and the text of a file; raises :class:`Unreadable`."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # a pipe would be waited for, a device may have no end
            raise OSError(errno.EINVAL, "not a regular file")
        with open(file, "rb") as stream:
            data = stream.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(
            Problem(file, 0, "file", f"unreachable file ({reason})", "a file that can be read would be right")
        ) from error
    try:
        text = data.decode()
        tree = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(file, line, "TOML", "bytes that are not UTF-8", "a file in UTF-8 would be right")
        raise Unreadable(problem) from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(_syntax_problem(file, text, error)) from error
    if is_deeper(tree, MOST_LEVELS):  # dotted keys nest without limit, and all that follows is recursive
        raise Unreadable(_syntax_problem(file, text, RecursionError()))
    return tree, text


def _syntax_problem(file: str, text: str, error: Exception) -> Problem:
    """Make a problem of what tomllib says, which ends with the position."""
    said = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    position = _POSITION.search(said)
    line = text.rstrip("\n").count("\n") + 1 if position else 1
    where = ""
    if position and position["line"]:
        line, where = int(position["line"]), f" at column {position['column']}"
    return Problem(file, line, "TOML", _POSITION.sub("", said) + where, "TOML (https://toml.io) would be right")
