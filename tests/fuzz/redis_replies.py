"""Replies of Redis: whatever comes, in whatever pieces, a call is answered by the reply at its place, or fails."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure

from tests.fuzz.splits import splits
from tests.redis_kit import PaperTransport
from tracseq_gateway.redis.connection import RedisConnection
from tracseq_gateway.redis.errors import RedisError, RedisUnavailable

CALLS = 3


def one_input(data: bytes) -> None:
    """Let a server answer three calls with these bytes, in several splits."""
    first, *others = map(play, splits(data))
    assert others == [first] * 2, (first, others)


def play(pieces: list[bytes]) -> object:
    """Return how each call ended, what was published, and whether the connection did."""
    connection, heard = _connect()
    outcomes: list[object] = ["waiting"] * CALLS
    for number in range(CALLS):
        connection.call(b"GET", "k").addCallbacks(
            lambda reply, at=number: outcomes.__setitem__(at, repr(reply)),
            lambda failure, at=number: outcomes.__setitem__(at, _refusal(failure)),
        )
    for piece in pieces:
        connection.dataReceived(piece)
    return outcomes, heard, connection.ended is not None


def _refusal(failure: Failure) -> object:
    failure.trap(RedisError, RedisUnavailable)
    return type(failure.value).__name__


def _connect() -> tuple[RedisConnection, list[bytes]]:
    heard: list[Any] = []
    connection = RedisConnection(Clock(), heard.append)
    connection.makeConnection(PaperTransport(lambda written: None))
    return connection, heard
