"""``tracseq-gateway reload``: have a running gateway take over its configuration as it is now."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any, Final

from tracseq_gateway.cli.asking import REFUSED, add_options, ask, failed, print_json

DESCRIPTION = """\
Let the gateway that runs on this host load its configuration again, from its own file, and replace its workers; no
request is lost. A configuration that is wrong changes nothing. Wait for the end, and print what has changed, or all
that is wrong. The exit status is 0 if it was reloaded, 1 if it was refused, 2 if no gateway runs there.
"""

UNCHANGED: Final = "no setting has changed; keys and certificates were read again"

WAIT_SECONDS: Final = 120.0
"""How long the answer may take: workers have ten seconds to start, and another reload may be under way."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this subcommand to the parser's."""
    parser = commands.add_parser("reload", help="reload a running gateway's configuration", description=DESCRIPTION)
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask for the reload, print what came of it, and return the exit status."""
    return ask("reload", options, {"command": "reload"}, WAIT_SECONDS, partial(report, as_json=options.json))


def report(answer: dict[str, Any], *, as_json: bool = False) -> int:
    """Print what came of a reload and return the exit status."""
    accepted = answer["accepted"]
    if as_json:
        print_json(answer)
        return 0 if accepted else REFUSED
    for line in answer["changes"]:
        print(line)
    for line in answer["problems"]:
        print(line, file=sys.stderr)
    if not accepted:
        return failed("reload", "refused; the gateway serves on as before", REFUSED, as_json=False)
    count = len(answer["changes"])
    print("reloaded: " + {0: UNCHANGED, 1: "1 change"}.get(count, f"{count} changes"))
    return 0
