"""``tracseq-gateway explain``: what a running gateway would do with a request, and why."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from tracseq_gateway.cli.asking import NOBODY, REFUSED, add_options, connect, failed, print_json
from tracseq_gateway.cli.explanation import written
from tracseq_gateway.process.control_client import NoAnswer, NoGateway

DESCRIPTION = """\
Say what the gateway that runs on this host would do with a request: which route it takes and why no other, what the
doors say of it, who calls, what is left of his limits, which instance it would go to, and what that would be sent.
Nothing is sent, charged, counted or remembered. The exit status is 0 if the request would be passed on, or answered by
the gateway itself; 1 if it would be refused; 2 if no gateway runs there, or what was asked is wrong.
"""
WAIT_SECONDS: Final = 20.0
"""How long the answer may take."""
WRONG: Final = 2


class Unreadable(Exception):
    """A token or key cannot be read; the text says which."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this subcommand to the parser's."""
    parser = commands.add_parser("explain", help="say what would become of a request", description=DESCRIPTION)
    parser.add_argument("method", metavar="METHOD", help="as a client would write it, such as GET")
    parser.add_argument("target", metavar="PATH", help="path and query, as a client would write them")
    token, key = parser.add_mutually_exclusive_group(), parser.add_mutually_exclusive_group()
    token.add_argument("--token", help="the Bearer token that comes with it; -: read it from the standard input")
    token.add_argument("--token-file", metavar="FILE", help="file with the token: a list of processes does not show it")
    key.add_argument("--api-key", metavar="KEY", help="the API key that comes with it; -: from the standard input")
    key.add_argument("--api-key-file", metavar="FILE", help="file with the API key")
    parser.add_argument("--from", dest="address", default="127.0.0.1", metavar="ADDRESS", help="who would connect")
    parser.add_argument(
        "--header", "-H", action="append", default=[], metavar="LINE", help='a further field, such as "Accept: */*"'
    )
    parser.add_argument("--account", help="whom a login is for: it comes with a JSON body that names the account")
    parser.add_argument("--ask", action="store_true", help="let the Auth Service be asked about the token, if need be")
    parser.add_argument("--worker", type=int, metavar="N", help="which worker is asked; default: the first that serves")
    parser.add_argument(
        "--offline", action="store_true", help="ask no gateway: explain by the configuration alone, and the environment"
    )
    add_options(parser)
    parser.set_defaults(run=partial(run, parser))


def run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Have the request explained, print that, and return the exit status."""
    if options.offline and (options.ask or options.worker is not None):
        parser.error("--offline asks nobody: without --ask and --worker would be right")
    if options.token == "-" and options.api_key == "-":  # noqa: S105
        parser.error("only one of --token and --api-key can be read from the standard input")
    try:
        question = dict(_question(options))
        if options.offline:
            from tracseq_gateway.cli.explaining import explain_offline  # and Twisted with it

            report = explain_offline(options, question)
        else:
            with connect(options, WAIT_SECONDS) as gateway:
                report = gateway.ask({"command": "explain", "question": question, "worker": options.worker})
    except NoGateway as error:
        why = f"{error}; --offline explains by the configuration alone"
        return failed("explain", why, NOBODY, as_json=options.json)
    except (NoAnswer, Unreadable) as error:
        return failed("explain", error, WRONG, as_json=options.json)
    return show(report, as_json=options.json)


def show(report: dict[str, Any], *, as_json: bool) -> int:
    """Print a report and return the exit status."""
    if as_json:
        print_json(report)
    else:
        for line in written(report, coloured=sys.stdout.isatty() and not os.environ.get("NO_COLOR")):
            print(_printable(line))
    return 0 if report["outcome"] in ("passed", "answered") else REFUSED


def _printable(line: str) -> str:
    """The line as this terminal can show it."""
    encoding = sys.stdout.encoding or "ascii"
    return line.encode(encoding, "backslashreplace").decode(encoding)


def _question(options: argparse.Namespace) -> Iterator[tuple[str, object]]:
    yield "method", options.method
    yield "target", options.target
    yield "fields", options.header
    yield "address", options.address
    yield "token", _secret(options.token, options.token_file, "--token-file")
    yield "api_key", _secret(options.api_key, options.api_key_file, "--api-key-file")
    yield "account", options.account
    yield "ask", options.ask


def _secret(given: str | None, file: str | None, option: str) -> str:
    """A token or key, from where it was said to be."""
    if given == "-":
        return sys.stdin.readline().strip()
    if file is None:
        return given or ""
    try:
        with open(file, encoding="utf-8") as text:
            return text.read(1 << 16).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{option}: {file} cannot be read: {error}") from error
