"""How a command finds the gateway that runs on this host, asks it, and tells people or programs what went wrong."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from tracseq_gateway.config.whereabouts import whereabouts
from tracseq_gateway.process.control_client import ControlClient, NoAnswer, NoGateway
from tracseq_gateway.process.run_directory import control_socket, run_directory

REFUSED: Final = 1
"""Exit status: the gateway says no, or gives no answer."""
NOBODY: Final = 2
"""Exit status: no gateway runs there."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which the gateway is found, and ``--json``."""
    parser.add_argument("--config", "-c", metavar="FILE", help="the gateway's configuration file, to find it by")
    parser.add_argument("--port", "-p", type=int, help="the gateway's port, when it was started with another one")
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, errors too, for programs")


def connect(options: argparse.Namespace, seconds: float) -> ControlClient:
    """The gateway that the options lead to; an answer of it may take ``seconds``. Raises :class:`NoGateway`."""
    config, unreadable = whereabouts(options.config, os.environ, options.port)
    directory = run_directory(config, os.environ, config.gateway.port)
    try:
        return ControlClient(control_socket(directory), seconds)
    except NoGateway as error:
        raise NoGateway(f"{error}" if unreadable is None else f"{unreadable}\n{error}") from error


def ask(
    command: str,
    options: argparse.Namespace,
    request: Mapping[str, object],
    seconds: float,
    report: Callable[[dict[str, Any]], int],
) -> int:
    """Send one request and return the exit status that ``report`` gives for the answer.

    ``command`` is the name by which the user called. When there is no gateway or no answer, that is printed, and the
    status says which.
    """
    try:
        with connect(options, seconds) as gateway:
            return report(gateway.ask(request))
    except NoGateway as error:
        return failed(command, error, NOBODY, as_json=options.json)
    except NoAnswer as error:
        return failed(command, error, REFUSED, as_json=options.json)


def failed(command: str, why: object, status: int, *, as_json: bool) -> int:
    """Print why a command failed, of several lines the last being the command's own; return ``status``."""
    *before, last = str(why).split("\n")
    if as_json:
        print_json({"error": "; ".join([*before, last])})
    else:
        print(*before, f"tracseq-gateway {command}: {last}", sep="\n", file=sys.stderr)
    return status


def print_json(document: Mapping[str, object]) -> None:
    """Print a JSON object in one line, at once even into a pipe."""
    print(json.dumps(document, ensure_ascii=True), flush=True)
