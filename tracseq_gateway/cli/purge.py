"""``tracseq-gateway purge``: have the gateway forget answers that it keeps."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, Final

from tracseq_gateway.cli.asking import add_options, ask, print_json

DESCRIPTION = """\
Drop answers that the gateway keeps: at PATH, with any query unless it has one; at PATH and all paths below it for
PATH/*; or all of them. What is asked from now on is asked of the services. The exit status is 0 if it was done, 1 if
it was refused, 2 if no gateway runs there.
"""

ANSWER_SECONDS: Final = 20.0


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this subcommand to the parser's."""
    parser = commands.add_parser("purge", help="drop answers that are kept", description=DESCRIPTION)
    parser.add_argument("path", nargs="?", default="", metavar="PATH", help="as clients ask for it, such as /samples/*")
    parser.add_argument("--service", default="", metavar="NAME", help="of this service alone")
    parser.add_argument("--all", action="store_true", help="all that is kept")
    add_options(parser)
    parser.set_defaults(run=run, usage=parser.error)


def run(options: argparse.Namespace) -> int:
    """Ask for it, print how much that was, and return the exit status."""
    if options.all == bool(options.path or options.service):
        options.usage("a PATH, a --service or --all")
    request = {"command": "purge", "service": options.service, "path": options.path}
    return ask("purge", options, request, ANSWER_SECONDS, partial(report, as_json=options.json))


def report(answer: dict[str, Any], *, as_json: bool) -> int:
    """Print what came of a purge and return the exit status."""
    if as_json:
        print_json(answer)
    else:
        count = answer["purged"]
        print(f"{count} answer{' was' if count == 1 else 's were'} dropped")
    return 0
