"""``tracseq-gateway reload``: have a running gateway take over its configuration as it is now."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Final

from tracseq_gateway.config.whereabouts import whereabouts
from tracseq_gateway.process.control_client import ControlClient, NoAnswer, NoGateway
from tracseq_gateway.process.run_directory import control_socket, run_directory

DESCRIPTION = """\
Let the gateway that runs on this host load its configuration again, from its own file, and replace its workers; no
request is lost. A configuration that is wrong changes nothing. Wait for the end, and print what has changed, or all
that is wrong. The exit status is 0 if it was reloaded, 1 if it was refused, 2 if no gateway runs there.
"""

WAIT_SECONDS: Final = 120.0
"""How long the answer may take: workers have ten seconds to start, and another reload may be under way."""
REFUSED: Final = 1
NOBODY: Final = 2


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this subcommand to the parser's."""
    parser = commands.add_parser("reload", help="reload a running gateway's configuration", description=DESCRIPTION)
    parser.add_argument("--config", "-c", metavar="FILE", help="the gateway's configuration file, to find it by")
    parser.add_argument("--port", "-p", type=int, help="the gateway's port, when it was started with another one")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask for the reload, print what came of it, and return the exit status."""
    config, unreadable = whereabouts(options.config, os.environ, options.port)
    directory = run_directory(config, os.environ, config.gateway.port)
    try:
        with ControlClient(control_socket(directory), WAIT_SECONDS) as gateway:
            return report(gateway.ask({"command": "reload"}))
    except NoGateway as error:
        if unreadable is not None:
            print(unreadable, file=sys.stderr)
        return _failed(error, NOBODY)
    except NoAnswer as error:
        return _failed(error, REFUSED)


def report(answer: dict[str, Any]) -> int:
    """Print what came of a reload and return the exit status."""
    accepted = answer["accepted"]
    for line in answer["changes"]:
        print(line)
    for line in answer["problems"]:
        print(line, file=sys.stderr)
    if not accepted:
        return _failed("refused; the gateway serves on as before", REFUSED)
    count = len(answer["changes"])
    print("reloaded: " + {0: "no key has changed", 1: "1 change"}.get(count, f"{count} changes"))
    return 0


def _failed(why: object, status: int) -> int:
    print(f"tracseq-gateway reload: {why}", file=sys.stderr)
    return status
