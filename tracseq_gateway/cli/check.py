"""``tracseq-gateway check FILE``: everything that is wrong with a configuration, before it is used."""

from __future__ import annotations

import argparse
import os

from attrs import asdict

from tracseq_gateway.cli.asking import add_json, print_json
from tracseq_gateway.config import load

DESCRIPTION = """\
Check a configuration file, with the environment variables that would apply here laid over it, and print each problem
as FILE:LINE: key: what is wrong, what would be right. The exit status is 1 when one of them is an error.
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this subcommand to the parser's."""
    parser = commands.add_parser("check", help="check a configuration file", description=DESCRIPTION)
    parser.add_argument("file", metavar="FILE")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the problems of ``options.file`` and return the exit status."""
    loaded = load(options.file, os.environ, {})
    if options.json:
        problems = [asdict(problem) for problem in loaded.problems]
        print_json({"file": options.file, "ok": loaded.config is not None, "problems": problems})
        return 1 if loaded.config is None else 0
    for problem in loaded.problems:
        print(problem)
    if loaded.config is None:
        return 1
    warnings = len(loaded.problems)
    counted = {0: "", 1: ", 1 warning"}.get(warnings, f", {warnings} warnings")
    print(f"{options.file}: ok{counted}")
    return 0
