"""``tracseq-gateway log-level``: show by which levels a running gateway logs, or change one."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any, Final

from tracseq_gateway.config.whereabouts import whereabouts
from tracseq_gateway.process.control_client import ControlClient, NoAnswer, NoGateway
from tracseq_gateway.process.run_directory import control_socket, run_directory

DESCRIPTION = """\
Change what the gateway that runs on this host logs, without a restart: LEVEL is debug, info, warn or error, for all of
it or for a NAMESPACE such as tracseq_gateway.upstream; reset goes back to the configuration, and so does a reload.
Without LEVEL, show what holds. The exit status is 0, 1 if it was refused, 2 if no gateway runs there.
"""

WAIT_SECONDS: Final = 10.0
REFUSED: Final = 1
NOBODY: Final = 2


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this subcommand to the parser's."""
    usage = "tracseq-gateway log-level [--json] [--config FILE] [--port PORT] [[NAMESPACE] LEVEL]"
    parser = commands.add_parser(
        "log-level", help="show or change what a running gateway logs", description=DESCRIPTION, usage=usage
    )
    parser.add_argument("words", nargs="*", metavar="[NAMESPACE] LEVEL", help="what to change; nothing: show")
    parser.add_argument("--json", action="store_true", help="print the levels as JSON")
    parser.add_argument("--config", "-c", metavar="FILE", help="the gateway's configuration file, to find it by")
    parser.add_argument("--port", "-p", type=int, help="the gateway's port, when it was started with another one")
    parser.set_defaults(run=run, usage=parser.error)


def run(options: argparse.Namespace) -> int:
    """Ask the gateway, print the levels that hold, and return the exit status."""
    if len(options.words) > 2:
        options.usage("a namespace and a level at most")
    request: dict[str, object] = {"command": "log-level"}
    request |= dict(zip(("level", "namespace"), reversed(options.words), strict=False))
    config, unreadable = whereabouts(options.config, os.environ, options.port)
    directory = run_directory(config, os.environ, config.gateway.port)
    try:
        with ControlClient(control_socket(directory), WAIT_SECONDS) as gateway:
            answer = gateway.ask(request)
    except NoGateway as error:
        if unreadable is not None:
            print(unreadable, file=sys.stderr)
        return _failed(error, NOBODY)
    except NoAnswer as error:
        return _failed(error, REFUSED)
    print(json.dumps(answer) if options.json else _table(answer))
    return 0


def _table(answer: dict[str, Any]) -> str:
    return "\n".join([answer["level"], *(f"{name} {level}" for name, level in sorted(answer["levels"].items()))])


def _failed(why: object, status: int) -> int:
    print(f"tracseq-gateway log-level: {why}", file=sys.stderr)
    return status
