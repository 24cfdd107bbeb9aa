"""``tracseq-gateway drain``: let an instance get no more requests, so that it can be taken away."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, Final

from tracseq_gateway.cli.asking import REFUSED, add_options, ask, failed, print_json

DESCRIPTION = """\
Let an instance of a service get no more requests; what it is at work on goes on to its end. That holds until it is
undone, over reloads of the gateway, but not over its restart. The exit status is 0 if it was done, 1 if it was refused
or if something is still under way after --wait, 2 if no gateway runs there.
"""

ANSWER_SECONDS: Final = 10.0
"""How long the answer may take, beyond what is waited for."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this subcommand to the parser's."""
    parser = commands.add_parser("drain", help="let an instance get no more requests", description=DESCRIPTION)
    parser.add_argument("instance", metavar="INSTANCE", help="its URL as configured or discovered, or HOST:PORT")
    parser.add_argument("--service", default="", metavar="NAME", help="of this service alone; default: all that use it")
    parser.add_argument("--undo", action="store_true", help="let it get requests again")
    parser.add_argument("--force", action="store_true", help="even if no other instance can take requests")
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="wait until nothing is under way, at most so long"
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask for it, print what came of it, and return the exit status."""
    request = {"command": "drain", **{name: vars(options)[name] for name in ("instance", "service", "undo", "force")}}
    report_ = partial(report, waited=options.wait, as_json=options.json)
    return ask("drain", options, {**request, "wait": options.wait}, options.wait + ANSWER_SECONDS, report_)


def report(answer: dict[str, Any], *, waited: float, as_json: bool) -> int:
    """Print what came of a drain and return the exit status."""
    busy = answer["empty"] is False
    if as_json:
        print_json(answer)
        return REFUSED if busy else 0
    for instance in answer["instances"]:
        count = instance["in_flight"]
        under_way = f"{count or 'no'} request{' is' if count == 1 else 's are'} under way"
        how = f"is drained; {under_way}" if instance["drained"] else "gets requests again"
        print(f"{instance['service']}: {instance['url']} {how}")
    if busy:
        return failed("drain", f"not all was done after {waited:g} s", REFUSED, as_json=False)
    return 0
