"""``tracseq-gateway status``: how the running gateway, its services and its workers are."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from typing import Any, Final

from tracseq_gateway.cli.asking import add_options, ask, print_json
from tracseq_gateway.cli.picture import Picture
from tracseq_gateway.cli.tables import wants_colour

DESCRIPTION = """\
Show how the gateway that runs on this host is: its services and their instances, its workers, whether clients are held
to their limits, and the errors of the last five minutes. The exit status is 0 if it is healthy, 1 if something is
wrong, 2 if no gateway runs there.
"""

WAIT_SECONDS: Final = 10.0
REQUEST: Final = {"command": "overview"}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this subcommand to the parser's."""
    parser = commands.add_parser("status", help="show how the running gateway is", description=DESCRIPTION)
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask for the overview, print it, and return the exit status."""
    return ask("status", options, REQUEST, WAIT_SECONDS, partial(report, as_json=options.json))


def report(overview: dict[str, Any], *, as_json: bool) -> int:
    """Print an overview and return the exit status."""
    if as_json:
        print_json(overview)
    else:
        print(*Picture(overview, colour=wants_colour(sys.stdout, os.environ)).status(), sep="\n")
    return 0 if overview["status"] == "healthy" else 1
