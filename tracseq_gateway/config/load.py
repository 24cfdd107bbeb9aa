"""Loading: the file, the environment over it, the options over both, and everything that is wrong in one list."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from tracseq_gateway.config.advice import advise
from tracseq_gateway.config.builtin import builtin_services, lay_under
from tracseq_gateway.config.compose import compose
from tracseq_gateway.config.documents import Unreadable, read_document
from tracseq_gateway.config.environment import lay_over
from tracseq_gateway.config.key_file import check_key_file
from tracseq_gateway.config.locate import key_lines
from tracseq_gateway.config.model import Config
from tracseq_gateway.config.prefixes import check_services
from tracseq_gateway.config.problem import Problem
from tracseq_gateway.config.sources import BUILT_IN, OPTIONS, Sources
from tracseq_gateway.config.tree import Tree, holds, put


@frozen
class Loaded:
    """What loading gave: a configuration that can be served, or the reasons why there is none."""

    config: Config | None
    """None when a problem is an error."""
    problems: tuple[Problem, ...] = ()
    """Errors and warnings: those of the file by line, then those of environment, options and the file of API keys."""


def load(
    file: str | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    defaults: Mapping[str, object] | None = None,
) -> Loaded:
    """Load a configuration; never raises for what it finds, but reports all of it.

    ``overrides`` are options by dotted key, such as ``gateway.port``, in the types of TOML; one that is None counts as
    not given. ``defaults`` are of the same form, and apply where neither file nor environment nor options say
    anything. Without services in the file (or without a file) they are the seven of the platform, on this host.
    """
    try:
        tree, text = ({}, "") if file is None else read_document(file)
    except Unreadable as error:
        return Loaded(None, (error.problem,))
    sources = Sources(file, key_lines(text))
    if tree.get("services", {}) == {}:
        tree["services"] = builtin_services(tree)
    problems = lay_over(tree, environ, sources)
    _apply_defaults(tree, defaults or {}, sources)
    problems += _apply_options(tree, overrides, sources)
    lay_under(tree)
    config, wrong = compose(tree, sources)
    problems += wrong + check_services(tree["services"], sources)
    if config is not None:
        problems += check_key_file(config)
        problems += advise(config, environ, sources)
    problems.sort(key=lambda problem: (problem.file != file, problem.line))
    refused = any(problem.level == "error" for problem in problems)
    return Loaded(None if refused else config, tuple(problems))


def _apply_defaults(tree: Tree, defaults: Mapping[str, object], sources: Sources) -> None:
    """Set what nobody has set; what is in the way instead of a table stays, and is reported as such."""
    for key, value in defaults.items():
        path = tuple(key.split("."))
        if not holds(tree, path) and put(tree, path, value):
            sources.mark(path, BUILT_IN, key)


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
