"""The connection for calls that must be answered soon or not at all: kept alive, and known to be ready or not.

House rules:

1. Nothing is queued: a call is sent at once, or fails at once.
2. ``ready`` means that the server has shown that it serves: logged in, a master, and answering PING. It is asked again
   when a call is answered with one of :data:`USELESS`, and every :data:`BEAT` when there is nothing else to say.
3. Whatever ends a connection, the next attempt is already timed. The pauses grow from :data:`FIRST_PAUSE` to
   :data:`LONGEST_PAUSE`, and start anew only after a connection that lasted.
4. No reason names a secret.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.config.policies import Redis
from tracseq_gateway.redis.connection import RedisConnection, Word
from tracseq_gateway.redis.errors import TIMEOUTS, RedisError, RedisUnavailable, cause, in_time, in_words
from tracseq_gateway.redis.handshake import shake_hands
from tracseq_gateway.redis.target import Target, target_of

FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 1.0
"""Seconds before the first attempt after a loss, and at most; less up to a half of it by chance, so that workers do
not all come at once."""
LASTED: Final = 1.0
"""A connection that was ready for so many seconds ends the count of failures."""
BEAT: Final = 1.0
"""Seconds between two looks at whether an idle connection still answers."""

USELESS: Final = frozenset({"READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "BUSY"})
"""Error replies by which a server says that it is of no use at present, whatever it is asked."""
CODES: Final = USELESS | {
    "CLUSTERDOWN",
    "ERR",
    "MISCONF",
    "MOVED",
    "NOPERM",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "WRONGPASS",
    "WRONGTYPE",
}
"""Error replies that are counted by name; the others are ``OTHER``, so that a server cannot invent counters."""

Changed = Callable[[bool, str], None]


class RedisLink:
    """See the module. Use :func:`redis_link` to make one.

    ``changed(ready, reason)`` is told of each change of :attr:`ready` once, and of the first failure. ``listen`` is a
    channel to subscribe to and who takes its messages: then the link is ready when it is subscribed, and good for
    nothing else.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        target: Target,
        changed: Changed,
        call_seconds: float,
        listen: tuple[str, Callable[[bytes], None]] | None = None,
        random: Random | None = None,
    ) -> None:
        self.ready = False
        """Whether a call would be sent: connected, logged in, to a master that answers."""
        self.reason = "not started"
        """Why it is not ready, in a few words without secrets; empty while it is."""
        self.errors: dict[str, int] = {}
        """How often something went wrong: error replies by code (see :data:`CODES`), ``timeout`` and ``protocol`` for
        connections that were given up, ``connection`` for those that were lost or did not come about, ``replica``."""
        self._clock = clock
        self._target = target
        self._changed = changed
        self._call_seconds = call_seconds
        self._listen = listen
        self._random = random or Random()  # noqa: S311 - spreads attempts, guards nothing
        self._factory = Factory.forProtocol(self._build)
        self._factory.noisy = False
        self._running = False
        self._told: bool | None = None
        self._failures = 0
        self._since = 0.0
        self._connection: RedisConnection | None = None
        self._attempt: Deferred[RedisConnection] | None = None
        self._pause: IDelayedCall | None = None
        self._beat: IDelayedCall | None = None
        self._closing: Deferred[None] = succeed(None)

    def start(self) -> None:
        """Connect, and connect again whenever the connection is lost, until :meth:`stop`."""
        if not self._running:
            self._running = True
            self.reason = "not yet connected"
            self._connect()

    def stop(self) -> Deferred[None]:
        """Close; waiting calls fail. Fires when nothing of it is left in the reactor."""
        if self._running:
            self._running = False
            for timer in (self._pause, self._beat):
                if timer is not None:
                    timer.cancel()
            self._pause = self._beat = None
            if self._attempt is not None:
                self._attempt.cancel()
            if self._connection is not None:
                self._connection.end("stopped", "stopped")
            self._set(False, "stopped")
        closed: Deferred[None] = Deferred()
        self._closing.chainDeferred(closed)
        return closed

    def call(self, *words: Word) -> Deferred[Any]:
        """Send a command now; fires with its reply (bytes, int, None, or a list of these).

        Fails with :class:`RedisError` when the server answers with an error, and with :class:`RedisUnavailable`: at
        once while not :attr:`ready`, or when the connection ends before the reply, as it does when any call takes
        longer than ``call_seconds``. An error within a list is a RedisError in it. Raises TypeError for what is no
        word.
        """
        connection = self._connection
        if connection is None:
            return fail(RedisUnavailable(self.reason))
        return connection.call(*words)

    def distrust(self, reason: str) -> None:
        """End the connection, because a reply was not what was asked for; another one is opened."""
        if self._connection is not None:
            self._connection.end(reason, "protocol")

    def __repr__(self) -> str:
        return f"<RedisLink {'ready' if self.ready else self.reason}>"

    # Getting ready.

    def _connect(self) -> None:
        self._pause = None
        self._attempt = attempt = Deferred.fromCoroutine(self._open())
        in_time(attempt, self._target.attempt_seconds, self._clock)
        attempt.addCallbacks(self._opened, self._failed)
        attempt.addErrback(lambda failure: self.log.failure("a link to Redis broke", failure))

    async def _open(self) -> RedisConnection:
        """Connect and log in; a connection that does not get so far is ended."""
        connection = cast(RedisConnection, await self._target.endpoint.connect(self._factory))
        try:
            await shake_hands(connection, self._target.login, self._listen and self._listen[0])
            connection.serve(self, self._call_seconds)
        except Exception as error:
            connection.end(in_words(error))
            raise
        return connection

    def _build(self) -> RedisConnection:
        connection = RedisConnection(self._clock, self._listen and self._listen[1])
        self._closing = connection.closed
        return connection

    def _opened(self, connection: RedisConnection) -> None:
        self._attempt = None
        self._connection = connection
        self._since = self._clock.seconds()
        self._beat = self._clock.callLater(BEAT, self._look)
        self._set(True, "")

    def _failed(self, failure: Failure) -> None:
        self._attempt = None
        if not self._running:
            return
        error = cause(failure)
        self._count(error)
        self._failures += 1
        self._retry(in_words(error))

    def _retry(self, reason: str) -> None:
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures, 10))
        self._pause = self._clock.callLater(longest * (1 - self._random.random() / 2), self._connect)
        self._set(False, reason)

    # The connection calls.

    def refused(self, error: RedisError) -> None:
        """A call was answered with an error; see :class:`tracseq_gateway.redis.connection.Owner`."""
        self._count(error)
        if error.code in USELESS and self._connection is not None:
            self._connection.end(error.reason, "refused")

    def ended(self, why: RedisUnavailable) -> None:
        """The connection is of the past."""
        self._connection = None
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        if not self._running:
            return
        self._count(why)
        lasted = self._clock.seconds() - self._since >= LASTED
        self._failures = 0 if lasted else self._failures + 1
        self._retry(why.reason)

    # The rest.

    def _look(self) -> None:
        """See that an idle connection still answers."""
        self._beat = self._clock.callLater(BEAT, self._look)
        if self._connection is not None and not self._connection.waiting:
            # Whatever is wrong, we hear of it as the owner of the connection.
            self._connection.call(b"PING").addErrback(lambda failure: failure.trap(RedisError, RedisUnavailable))

    def _set(self, ready: bool, reason: str) -> None:
        self.ready = ready
        self.reason = reason
        if ready is not self._told:
            self._told = ready
            try:
                self._changed(ready, reason)
            except Exception:
                self.log.failure("who watches a link to Redis failed")

    def _count(self, error: BaseException) -> None:
        if isinstance(error, RedisError):
            what = error.code if error.code in CODES else "OTHER"
        elif isinstance(error, TIMEOUTS):
            what = "timeout"
        elif isinstance(error, RedisUnavailable):
            what = error.kind
        else:
            what = "connection"
        if what != "refused":  # counted by its code
            self.errors[what] = self.errors.get(what, 0) + 1


def redis_link(reactor: Any, settings: Redis, changed: Changed) -> RedisLink:
    """Make a link to ``settings.url``, not yet started.

    The URL must be one (``embedded`` is the business of who starts that server). Raises ValueError or OSError for a
    URL or a file of certificates that cannot be used.
    """
    return RedisLink(reactor, target_of(reactor, settings), changed, settings.call_seconds)
