"""Loading: the file, the environment over it, the options over both, and everything that is wrong in one list."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

from attrs import frozen

from tracseq_gateway.config.builtin import builtin_services
from tracseq_gateway.config.compose import compose
from tracseq_gateway.config.environment import lay_over
from tracseq_gateway.config.locate import key_lines
from tracseq_gateway.config.model import Config
from tracseq_gateway.config.planned import warnings
from tracseq_gateway.config.prefixes import check_services
from tracseq_gateway.config.problem import Problem
from tracseq_gateway.config.sources import OPTIONS, Sources
from tracseq_gateway.config.tree import Tree, is_deeper, put

_POSITION = re.compile(r" \((?:at line (?P<line>[0-9]+), column (?P<column>[0-9]+)|at end of document)\)$")

MOST_LEVELS = 16
"""Tables within tables; the model has four."""


@frozen
class Loaded:
    """What loading gave: a configuration that can be served, or the reasons why there is none."""

    config: Config | None
    """None when a problem is an error."""
    problems: tuple[Problem, ...] = ()
    """Errors and warnings: those of the file by line, then those of environment and options."""


class _Unreadable(Exception):
    """There is no tree to look at."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def load(file: str | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Loaded:
    """Load a configuration; never raises for what it finds, but reports all of it.

    ``overrides`` are options by dotted key, such as ``gateway.port``, in the types of TOML; one that is None counts as
    not given. Without services in the file (or without a file) they are the seven of the platform, on this host.
    """
    try:
        tree, text = _read(file)
    except _Unreadable as error:
        return Loaded(None, (error.problem,))
    sources = Sources(file, key_lines(text))
    if tree.get("services", {}) == {}:
        tree["services"] = builtin_services(tree)
    problems = lay_over(tree, environ, sources) + _apply_options(tree, overrides, sources)
    config, wrong = compose(tree, sources)
    problems += wrong + check_services(tree["services"], sources) + warnings(tree, sources)
    problems.sort(key=lambda problem: (problem.file != file, problem.line))
    refused = any(problem.level == "error" for problem in problems)
    return Loaded(None if refused else config, tuple(problems))


def _read(file: str | None) -> tuple[Tree, str]:
    if file is None:
        return {}, ""
    try:
        with open(file, "rb") as stream:
            data = stream.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _Unreadable(
            Problem(file, 0, "file", f"unreachable file ({reason})", "a file that can be read would be right")
        ) from error
    try:
        text = data.decode()
        tree = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(file, line, "TOML", "bytes that are not UTF-8", "a file in UTF-8 would be right")
        raise _Unreadable(problem) from error
    except (ValueError, RecursionError) as error:
        raise _Unreadable(_syntax_problem(file, text, error)) from error
    if is_deeper(tree, MOST_LEVELS):  # dotted keys nest without limit, and all that follows is recursive
        raise _Unreadable(_syntax_problem(file, text, RecursionError()))
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


def _apply_options(tree: Tree, overrides: Mapping[str, object], sources: Sources) -> list[Problem]:
    problems = []
    for key, value in overrides.items():
        path = tuple(key.split("."))
        if value is not None and put(tree, path, value):
            sources.mark(path, OPTIONS, key)
        elif value is not None:
            problems.append(
                Problem(OPTIONS, 0, key, "leads through what is not a table", "a table's key would be right")
            )
    return problems
