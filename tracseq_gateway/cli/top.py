"""``tracseq-gateway top``: the overview of the running gateway, again and again."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from typing import Any, Final

from tracseq_gateway.cli.asking import NOBODY, REFUSED, add_options, connect, failed, print_json
from tracseq_gateway.cli.picture import Picture
from tracseq_gateway.cli.screen import Screen
from tracseq_gateway.cli.status import REQUEST, WAIT_SECONDS
from tracseq_gateway.cli.tables import painted, printable, wants_colour
from tracseq_gateway.process.control_client import NoAnswer, NoGateway

DESCRIPTION = """\
Show what "status" shows, and the requests that failed or were slow of late, anew every second until q is pressed, also
while the gateway is restarted. Where the output is no terminal, one table follows the other until the gateway is gone;
with --json, each is one line. The exit status is 0, or 1 if the gateway gives no answer, 2 if none runs there.
"""

LEAST_INTERVAL: Final = 0.2


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this subcommand to the parser's."""
    parser = commands.add_parser("top", help="watch the running gateway", description=DESCRIPTION)
    parser.add_argument("--count", type=int, default=0, metavar="N", help="end after N times; default: never")
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="from one to the next (1)")
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show it until the user, the count or the gateway's end says stop; return the exit status."""
    live = sys.stdout.isatty() and not options.json
    try:
        return _on_screen(options) if live else _one_after_the_other(options)
    except NoGateway as error:
        return failed("top", error, NOBODY, as_json=options.json)
    except NoAnswer as error:
        return failed("top", error, REFUSED, as_json=options.json)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Nobody reads any more, as behind "| head"; what is still buffered must not fail at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    with connect(options, WAIT_SECONDS) as gateway:
        return gateway.ask(REQUEST)


def _interval(options: argparse.Namespace) -> float:
    return max(LEAST_INTERVAL, float(options.interval))


def _one_after_the_other(options: argparse.Namespace) -> int:
    shown = 0
    while True:
        overview = _asked(options)
        if options.json:
            print_json(overview)
        else:
            print(*([""] if shown else []), *Picture(overview, colour=False).top(), sep="\n", flush=True)
        shown += 1
        if shown == options.count:
            return 0
        time.sleep(_interval(options))


def _on_screen(options: argparse.Namespace) -> int:
    colour = wants_colour(sys.stdout, os.environ)
    shown = 0
    lines = Picture(_asked(options), colour=colour).top()  # who finds no gateway is told without taking the screen
    with Screen(sys.stdin, sys.stdout) as screen:
        while True:
            screen.draw(lines, shutil.get_terminal_size().lines)
            shown += 1
            if shown == options.count or b"q" in screen.keys(_interval(options)):
                return 0
            try:
                lines = Picture(_asked(options), colour=colour).top()
            except (NoGateway, NoAnswer) as error:
                lines = [painted(printable(str(error)), "bad", colour=colour)]
