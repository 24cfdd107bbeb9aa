"""One connection to Redis: commands go out at once, replies come back in order (RESP2).

House rules:

1. A reply belongs to a call by its place alone. Whatever puts the order in doubt ends the connection, and all that
   wait for it fail: a call that is not answered in time, a reply that nobody asked for, bytes that are no RESP.
2. It ends once: then nothing is sent, nothing is delivered, and its transport is aborted.
3. One timer serves all calls. It is set for the oldest; calls that are answered in time cost no timer of their own.
4. What it is sent is bounded: a reply longer than :data:`LONGEST_REPLY` ends it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from hiredis import Reader, pack_command
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.redis.errors import Kind, RedisError, RedisUnavailable, cause, in_words

Word = bytes | str | int
"""A word of a command; text is sent as UTF-8."""

LONGEST_REPLY = 16 << 20
"""Bytes of one reply."""

_MORE = object()
"""What the reader says when it has no whole reply."""


class Owner(Protocol):
    """Who keeps a connection."""

    def refused(self, error: RedisError) -> None:
        """A call was answered with an error; who called is told next."""

    def ended(self, why: RedisUnavailable) -> None:
        """The connection ended; the calls that wait fail with the same next."""


class RedisConnection(TwistedProtocol):
    """See the module. Calls may wait for ever until :meth:`serve` says how long.

    ``on_message`` gets what is published on the channels that were subscribed to; without it there are none.
    """

    log = Logger()
    transport: ITCPTransport

    def __init__(self, clock: IReactorTime, on_message: Callable[[bytes], None] | None = None) -> None:
        self.ended: RedisUnavailable | None = None
        """Why it ended; None while it has not."""
        self.closed: Deferred[None] = Deferred()
        """Fires when its transport is gone."""
        self._now = clock.seconds
        self._later = clock.callLater
        self._on_message = on_message
        self._reader = Reader(replyError=RedisError, notEnoughData=_MORE)
        self._unread = 0
        self._waiting: deque[tuple[float, Deferred[Any]]] = deque()
        self._seconds = 0.0
        self._timer: IDelayedCall | None = None
        self._owner: Owner | None = None

    # The owner calls.

    def serve(self, owner: Owner, seconds: float) -> None:
        """From now on calls must be answered within ``seconds``, and ``owner`` hears of errors and of the end.

        Raises why the connection ended if it has.
        """
        if self.ended is not None:
            raise self._unavailable(self.ended)
        self._owner = owner
        self._seconds = seconds

    def call(self, *words: Word) -> Deferred[Any]:
        """Send a command now; the rest is as :meth:`tracseq_gateway.redis.link.RedisLink.call` says."""
        data = pack_command(words)  # type: ignore[arg-type]  # its annotation means tuple[..., ...]
        answer: Deferred[Any] = Deferred()
        if self.ended is not None:
            answer.errback(self._unavailable(self.ended))
            return answer
        self._waiting.append((self._now(), answer))
        if self._timer is None and self._seconds:
            self._timer = self._later(self._seconds, self._look)
        self.transport.write(data)
        return answer

    @property
    def waiting(self) -> int:
        """Calls that are not yet answered."""
        return len(self._waiting)

    def end(self, reason: str, kind: Kind = "connection") -> None:
        """End the connection, unless it has ended."""
        if self.ended is None:
            self._end(RedisUnavailable(reason, kind))
            self.transport.abortConnection()

    def _end(self, why: RedisUnavailable) -> None:
        self.ended = why
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        owner, self._owner = self._owner, None
        waiting, self._waiting = self._waiting, deque()
        if owner is not None:
            owner.ended(why)
        for _, answer in waiting:
            answer.errback(self._unavailable(why))

    @staticmethod
    def _unavailable(why: RedisUnavailable) -> RedisUnavailable:
        """Each gets an exception of his own, for each raises it somewhere else."""
        return RedisUnavailable(why.reason, why.kind)

    # The timer calls.

    def _look(self) -> None:
        """See whether the oldest call is due."""
        self._timer = None
        if not self._waiting:
            return
        since, oldest = self._waiting[0]
        left = since + self._seconds - self._now()
        if left > 0:
            self._timer = self._later(left, self._look)
        else:
            # When this process was busy, its timers come due before its sockets are read: the reply may be there.
            self._timer = self._later(0, self._give_up, oldest)

    def _give_up(self, oldest: Deferred[Any]) -> None:
        """End the connection, unless the call was answered in the turn that it was given."""
        self._timer = None
        if self._waiting and self._waiting[0][1] is oldest:
            self.end(f"no answer within {self._seconds:g} seconds", "timeout")
        else:
            self._look()

    # The transport calls.

    def connectionMade(self) -> None:
        """Have small commands sent at once, though others are not yet acknowledged."""
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """Replies, or parts of them."""
        if self.ended is not None:
            return
        self._unread += len(data)
        self._reader.feed(data)
        while self.ended is None:
            try:
                reply = self._reader.gets()
            except Exception as error:  # of hiredis: bytes that are no RESP; or no memory for what they announce
                self.end(f"a reply that cannot be read: {error}", "protocol")
                return
            if reply is _MORE:
                break
            self._unread = 0
            self._take(reply)
        if self._unread > LONGEST_REPLY:
            self.end(f"a reply of more than {LONGEST_REPLY} bytes", "protocol")

    def _take(self, reply: Any) -> None:
        if self._on_message is not None and type(reply) is list and reply[:1] == [b"message"]:
            if len(reply) == 3 and type(reply[2]) is bytes:
                self._tell(self._on_message, reply[2])
            else:
                self.end("a message of no known form", "protocol")
        elif not self._waiting:
            said = f": {reply}" if type(reply) is RedisError else ""
            self.end(f"a reply that nobody asked for{said}", "protocol")
        elif type(reply) is RedisError:
            answer = self._waiting.popleft()[1]
            if self._owner is not None:
                self._owner.refused(reply)
            answer.errback(reply)
        else:
            self._waiting.popleft()[1].callback(reply)

    def _tell(self, on_message: Callable[[bytes], None], message: bytes) -> None:
        try:
            on_message(message)
        except Exception:
            self.log.failure("a message of Redis could not be taken")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The transport is gone, because the server closed it or because we did."""
        if self.ended is None:
            self._end(RedisUnavailable(in_words(cause(reason))))
        self.closed.callback(None)
