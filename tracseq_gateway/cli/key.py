"""``tracseq-gateway key new``: an API key for an instrument or a service, shown once."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import NoReturn

from tracseq_gateway.cli.asking import add_json, failed, print_json
from tracseq_gateway.config.policies import ApiKey, Authentication
from tracseq_gateway.config.structure import make_converter, structure
from tracseq_gateway.identity import moments
from tracseq_gateway.identity.api_key_file import BadApiKeys, add_key, as_toml
from tracseq_gateway.identity.api_keys import new_key
from tracseq_gateway.interfaces import ROLES

DESCRIPTION = """\
Make an API key and print it, once: only a hash of it is stored. Without --file, the table for the configuration follows
it; with --file the table is added to that file of keys (auth.api_keys_file), and the gateway knows the key after its
next reload or start.
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this subcommand to the parser's."""
    parser = commands.add_parser("key", help="make an API key", description="API keys of instruments and services.")
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    new = actions.add_parser("new", help="make an API key and print it", description=DESCRIPTION)
    new.add_argument("--name", required=True, help="what it is called in the configuration and in the access log")
    new.add_argument("--owner", required=True, help="who uses it: the services see it as X-User-Id")
    new.add_argument("--role", required=True, choices=ROLES, metavar="ROLE", help=f"one of {', '.join(ROLES)}")
    new.add_argument("--email", default="", help="where its owner is reached: X-User-Email")
    new.add_argument("--services", default="", metavar="A,B", help="the services that it may call; default: all")
    new.add_argument("--methods", default="", metavar="GET,POST", help="the methods that it may use; default: all")
    new.add_argument("--expires", default="", metavar="MOMENT", help="when it ends, as in 2027-01-31T00:00:00Z")
    new.add_argument("--file", help="file of keys to add it to; it is made when it is not there")
    add_json(new)
    new.set_defaults(run=partial(run, new))


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Make the key and print it; return the exit status, or raise SystemExit with status 2 for a wrong option."""
    made = new_key()
    key = _described(parser, options, made.hash)
    if options.file is None and options.json:
        print_json({"name": options.name, "key": made.key, "table": as_toml(options.name, key, ("auth", "api_keys"))})
        return 0
    if options.file is None:
        print(made.key)
        print("\n# The key is shown only this once. For the configuration:\n")
        print(as_toml(options.name, key, ("auth", "api_keys")), end="")
        return 0
    try:
        add_key(options.file, options.name, key)
    except BadApiKeys as error:
        if options.json:
            return failed("key new", error, 1, as_json=True)
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print_json({"name": options.name, "key": made.key, "file": options.file})
        return 0
    print(made.key)
    print(f"{options.name} was added to {options.file}. The key is shown only this once.", file=sys.stderr)
    return 0


def _described(parser: argparse.ArgumentParser, options: argparse.Namespace, stored: str) -> ApiKey:
    """The key as the configuration has it, held to its rules."""
    if not options.owner:
        _refuse(parser, options, "--owner: is empty, the name of who uses the key would be right")
    values = {
        "hash": stored,
        "owner": options.owner,
        "role": options.role,
        "email": options.email,
        "services": list(_split(options.services)),
        "methods": list(_split(options.methods)),
        "expires": options.expires,
    }
    settings, faults = structure(make_converter(), Authentication, {"api_keys": {options.name: values}}, ())
    if settings is None:
        # The paths lead from api_keys over the name to the key of the table, which has the option's name.
        _refuse(parser, options, "; ".join(f"--{[*path, *wrong.at, 'name'][2]}: {wrong}" for path, wrong in faults))
    (key,) = settings.api_keys.values()
    if key.expires and moments.to_seconds(key.expires) <= time.time():
        _refuse(parser, options, f"--expires: {key.expires} is over, a moment to come would be right")
    return key


def _refuse(parser: argparse.ArgumentParser, options: argparse.Namespace, why: str) -> NoReturn:
    """Say that an option is wrong, and end with status 2."""
    if options.json:
        raise SystemExit(failed("key new", why, 2, as_json=True))
    parser.error(why)


def _split(text: str) -> Iterator[str]:
    return filter(None, (part.strip() for part in text.split(",")))
