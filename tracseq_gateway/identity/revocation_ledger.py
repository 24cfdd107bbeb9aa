"""What is written down of ended sessions and users: a sorted set in Redis, and a channel for what is new.

A member is ``s:SESSION``, or ``u:SECOND:USER`` for the tokens of a user that were issued up to that SECOND; its score
is when it can be forgotten. Both are in whole seconds since the epoch. A message on the channel is a JSON list of
``[score, member]``. Set and channel have one name. What is not of this form is passed over, for a later version may
know more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, Protocol, Self

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from tracseq_gateway.identity.signing import is_field_text

MOST_REVOCATIONS: Final = 100_000
"""Entries of the set, and of what one worker knows. Those that could be forgotten first go first."""

PAGE: Final = 1000
"""Members that are read by one command, roughly."""

_WRITE = """\
for i = 4, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], 'GT', ARGV[i], ARGV[i + 1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then
  redis.call('EXPIREAT', KEYS[1], last[2])
end
return redis.call('PUBLISH', KEYS[1], ARGV[3])
"""
"""One step, so that whoever loads the set after a message has it there. ARGV: now, the most entries, the message, then
scores and members. ``GT`` keeps the later end where two know different ones (Redis 6.2)."""

_log = Logger()


@frozen
class Revocation:
    """The end of a session, or of all sessions that a user has so far."""

    kind: Literal["session", "user"]
    name: str
    """The session's or the user's id."""
    until: int
    """When it can be forgotten, for no token of it is valid any more: seconds since the epoch."""
    issued: int = 0
    """For a user: tokens that were issued until the end of that second are refused. Seconds since the epoch."""

    @classmethod
    def of_session(cls, session: str, until: float) -> Self:
        """End one session. Raises ValueError for what cannot be the id of one."""
        return cls("session", _identifier(session), math.ceil(until))

    @classmethod
    def of_user(cls, user: str, now: float, until: float) -> Self:
        """End the sessions of a user that began until now. Raises ValueError for what cannot be the id of one.

        Most issuers give ``iat`` in whole seconds, so a token of the very second in which a user was revoked may be
        older or newer than that; it is refused.
        """
        return cls("user", _identifier(user), math.ceil(until), math.floor(now))

    @property
    def member(self) -> str:
        """Itself as a member of the set."""
        return f"s:{self.name}" if self.kind == "session" else f"u:{self.issued}:{self.name}"


def parse_revocation(member: str, until: float) -> Revocation:
    """Read a member of the set and its score. Raises ValueError when it is not one."""
    if not 0 <= until < 1 << 53:  # nor NaN
        raise ValueError("a score that is no time")
    kind, _, name = member.partition(":")
    if kind == "s":
        return Revocation.of_session(name, until)
    issued, _, name = name.partition(":")
    if kind == "u" and issued.isdecimal() and len(issued) <= 15:
        return Revocation.of_user(name, int(issued), until)
    raise ValueError("neither a session nor a user")


class Subscription(Protocol):
    """A channel that is listened to."""

    @property
    def ready(self) -> bool:
        """Whether messages are heard."""

    def stop(self) -> Deferred[None]:
        """Listen no more."""


class Control(Protocol):
    """``redis.control.RedisControl``, as far as it is used here."""

    def execute(self, *words: bytes | str | int) -> Deferred[Any]:
        """Send a command; fails with ``RedisError`` or ``RedisUnavailable``."""

    def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_ready: Callable[[], None]
    ) -> Subscription:
        """Listen to a channel for good; ``on_ready`` is called after each time that listening began."""


class RevocationLedger:
    """The set and the channel of one gateway, on all its hosts."""

    def __init__(self, control: Control, key_prefix: str) -> None:
        self._control = control
        self._key = f"{key_prefix}:revocations"

    def write(self, revocations: Iterable[Revocation], now: float) -> Deferred[int]:
        """Write revocations down and tell the workers; fires with how many of them were told.

        Fails with ``RedisError`` or ``RedisUnavailable``; then they may have been written or not, and writing them
        again does no harm. A few hundred at a time, for Redis does nothing else meanwhile.
        """
        entries = [(one.until, one.member) for one in revocations]
        words = [word for entry in entries for word in entry]
        return self._control.execute(
            "EVAL", _WRITE, 1, self._key, math.floor(now), MOST_REVOCATIONS, json.dumps(entries), *words
        )

    def read(self, cursor: int) -> Deferred[tuple[int, list[Revocation]]]:
        """Read a part of the set: from cursor 0 on, until the cursor that is returned is 0 again.

        What is in the set all the time is read once at least. Fails with ``RedisError`` or ``RedisUnavailable``.
        """
        return self._control.execute("ZSCAN", self._key, cursor, "COUNT", PAGE).addCallback(_parse_page)

    def listen(self, heard: Callable[[list[Revocation]], None], ready: Callable[[], None]) -> Subscription:
        """Hear what is written from now on; ``ready`` is called after each time that listening began."""
        return self._control.subscribe(self._key, lambda payload: heard(parse_message(payload)), ready)


def parse_message(payload: bytes) -> list[Revocation]:
    """Read a message of the channel, as far as it makes sense."""
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, list):
        _log.warn("a message about revocations that is not a list was passed over")
        return []
    return _parse_all(entry if isinstance(entry, list) else [entry] for entry in message)


def _parse_page(reply: Any) -> tuple[int, list[Revocation]]:
    cursor, flat = reply
    entries = zip(flat[1::2], flat[::2], strict=True)
    return int(cursor), _parse_all((float(score), member.decode(errors="replace")) for score, member in entries)


def _parse_all(entries: Iterable[Iterable[Any]]) -> list[Revocation]:
    revocations = []
    for entry in entries:
        match tuple(entry):
            case (int() | float() as until, str(member)):
                try:
                    revocations.append(parse_revocation(member, until))
                except ValueError as error:
                    _log.warn("a revocation was passed over: {error}", error=error)
            case _:
                _log.warn("a revocation was passed over: not a score and a member")
    return revocations


def _identifier(text: str) -> str:
    if not text or not is_field_text(text):
        raise ValueError("not an id: up to 256 characters that can be seen would be right")
    return text
