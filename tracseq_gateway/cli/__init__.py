"""Roof: the ``tracseq-gateway`` command, beside twistd. One module a subcommand.

No module here imports Twisted before it runs a command that talks to somebody: a check of a file answers at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tracseq_gateway import __version__
from tracseq_gateway.cli import check, drain, explain, key, log_level, purge, reload, revoke, status, top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status; raises SystemExit with status 2 for a wrong usage."""
    parser = argparse.ArgumentParser(
        prog="tracseq-gateway",
        description="Beside the gateway, which is started with: twistd tracseq-gateway.",
    )
    parser.add_argument("--version", action="version", version=f"tracseq-gateway {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (check, drain, explain, key, log_level, purge, reload, revoke, status, top):
        command.add_to(commands)
    options = parser.parse_args(arguments)
    exit_status: int = options.run(options)
    return exit_status
