"""``tracseq-gateway revoke``: end a session, or all sessions of a user, on every worker of every host."""

from __future__ import annotations

import argparse
import os
import sys

from tracseq_gateway.cli.asking import add_json, failed
from tracseq_gateway.config import load

DESCRIPTION = """\
End a session, or all sessions that a user has so far: for as long as auth.revocation_seconds says, their tokens are
refused by every worker that shares the Redis of the configuration. Workers that cannot be reached now are told when
they are back. The Auth Service is not told.
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this subcommand to the parser's."""
    parser = commands.add_parser("revoke", help="end a session or a user's sessions", description=DESCRIPTION)
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--session", metavar="ID", help="the session's id, the jti of its tokens")
    whose.add_argument("--user", metavar="ID", help="the user's id, the sub of the tokens")
    parser.add_argument("--config", "-c", metavar="FILE", help="the gateway's configuration file")
    parser.add_argument("--port", "-p", type=int, help="the gateway's port, when it was started with another one")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the revocation, print how many workers heard it, and return the exit status."""
    loaded = load(options.config, os.environ, {"gateway.port": options.port})
    if loaded.config is None:
        if options.json:
            return failed("revoke", "\n".join(map(str, loaded.problems)), 1, as_json=True)
        print(*loaded.problems, sep="\n", file=sys.stderr)
        return 1
    from tracseq_gateway.cli.revoking import revoke  # and Twisted with it, which the other commands do without

    if options.session is not None:
        return revoke(loaded.config, "session", options.session, as_json=options.json)
    return revoke(loaded.config, "user", options.user, as_json=options.json)
