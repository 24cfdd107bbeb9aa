"""What is said on a new connection before it serves: who we are, and whether the server is one that we can use."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import DeferredList

from tracseq_gateway.config.redis_url import Login
from tracseq_gateway.redis.connection import RedisConnection, Word
from tracseq_gateway.redis.errors import RedisError, RedisUnavailable, cause

_ROLE = (b"ROLE",)


async def shake_hands(connection: RedisConnection, login: Login, channel: str | None = None) -> None:
    """Log in, choose the database, make sure that it is a master, subscribe to ``channel``, and see that it serves.

    All is sent at once. Raises the first thing that is wrong: RedisError as the server said it, or RedisUnavailable.
    A server that does not tell its role (a proxy, or a user who may not ask) is believed: as a replica it would refuse
    the first write, and be left.
    """
    commands = _commands(login, channel)
    calls = [connection.call(*words) for words in commands]
    answers: Any = await DeferredList(calls, consumeErrors=True)
    untold: RedisError | None = None
    for words, (good, answer) in zip(commands, answers, strict=True):
        if good:
            if words is _ROLE and not (isinstance(answer, list) and answer[:1] == [b"master"]):
                raise RedisUnavailable("the server is not a master", "replica")
            continue
        problem = cause(answer)
        if words is _ROLE and isinstance(problem, RedisError):
            untold = problem
        elif untold is not None and isinstance(problem, RedisUnavailable):
            raise untold  # it closes with an error to whatever was asked first: too many clients
        else:
            raise problem


def login_command(login: Login) -> tuple[Word, ...]:
    """The command that logs in; there must be a password."""
    assert login.password is not None
    return (b"AUTH", login.user, login.password) if login.user else (b"AUTH", login.password)


def _commands(login: Login, channel: str | None) -> list[tuple[Word, ...]]:
    commands: list[tuple[Word, ...]] = []
    if login.password is not None:
        commands.append(login_command(login))
    if login.database:
        commands.append((b"SELECT", login.database))
    commands.append(_ROLE)
    if channel is not None:
        commands.append((b"SUBSCRIBE", channel))
    # The last: a server that is still loading, or busy with a script, says so.
    commands.append((b"PING",))
    return commands
