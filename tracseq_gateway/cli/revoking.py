"""What ``tracseq-gateway revoke`` does, in a reactor of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal
from urllib.parse import quote

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tracseq_gateway.cli.asking import failed, print_json
from tracseq_gateway.config import Config, Redis
from tracseq_gateway.config.redis_url import parse_address
from tracseq_gateway.identity.revocation_ledger import Revocation, RevocationLedger
from tracseq_gateway.process.run_directory import redis_socket, run_directory
from tracseq_gateway.redis.control import RedisControl
from tracseq_gateway.redis.errors import RedisError, RedisUnavailable


def revoke(config: Config, kind: Literal["session", "user"], name: str, *, as_json: bool = False) -> int:
    """Revoke a session or a user, by id, and print what came of it; return the exit status.

    It runs the reactor, so it can be called once in a process.
    """
    fail = partial(failed, "revoke", status=1, as_json=as_json)
    now = time.time()
    until = now + config.auth.revocation_seconds
    try:
        one = Revocation.of_session(name, until) if kind == "session" else Revocation.of_user(name, now, until)
    except ValueError as error:
        return fail(f"--{kind}: {error}")
    outcomes: list[int | str] = []
    settings = reached_by(config, os.environ)

    def main(reactor: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(_write(reactor, settings, one)).addCallback(outcomes.append)

    try:
        react(main)
    except SystemExit as stop:  # which is how react returns
        if stop.code or not outcomes:
            raise
    (outcome,) = outcomes
    if isinstance(outcome, str):
        return fail(outcome)
    if as_json:
        print_json({"kind": kind, "name": one.name, "workers": outcome})
    else:
        print(f"{kind} {one.name} is revoked: {outcome} {'worker' if outcome == 1 else 'workers'} heard it")
    return 0


def reached_by(config: Config, environ: Mapping[str, str]) -> Redis:
    """Where the Redis of a running gateway is, for somebody else than itself: the embedded one is at its socket."""
    if config.redis.url != "embedded":
        return config.redis
    socket = redis_socket(run_directory(config, environ, config.gateway.port))
    return evolve(config.redis, url=f"unix://{quote(os.fsencode(socket))}")


async def _write(reactor: Any, settings: Redis, one: Revocation) -> int | str:
    """How many workers heard it, or why it was not revoked."""
    try:
        control = RedisControl(reactor, settings)
    except (ValueError, OSError) as error:
        return f"redis.url: {error}"
    control.start()
    try:
        return await RevocationLedger(control, settings.key_prefix).write([one], time.time())
    except RedisUnavailable as error:
        return f"{parse_address(settings.url)} gave no answer, so nothing is revoked for sure: {error}"
    except RedisError as error:
        return f"{parse_address(settings.url)} refused, so nothing is revoked: {error}"
    finally:
        await control.stop()
