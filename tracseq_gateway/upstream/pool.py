"""The connections of one worker to one instance.

Taking and giving are O(1): the connection that came back last goes out first, so that the others grow old and expire.
A request that finds none waits in a bounded queue; each waiter that may have one more connection causes one to be
opened, and the first to be free, new or given back, serves the first in the queue.
"""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from attrs import frozen
from twisted.internet.error import (
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    TCPTimedOutError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from tracseq_gateway.config.upstream import Connections, Timeouts
from tracseq_gateway.errors import (
    CONNECT_FAILED,
    CONNECT_REFUSED,
    CONNECT_TIMEOUT,
    NAME_ERROR,
    OVERLOADED,
    QUEUE_FULL,
    QUEUE_TIMEOUT,
    TLS_ALERT,
    TLS_CERTIFICATE,
    TLS_PROTOCOL,
    GatewayError,
    Kind,
)
from tracseq_gateway.http.fields import KnownLines
from tracseq_gateway.net.deadlines import Deadlines, Timer
from tracseq_gateway.net.tls_failures import AlertReceived, CertificateRefused, HandshakeBroken, TLSFailure
from tracseq_gateway.upstream.connection import UpstreamConnection

Connect = Callable[[str, int, ClientFactory, float | None], object]
"""Opens a connection, TLS included where that is spoken: host, port, factory, seconds that it may take or None."""


ConnectEnded = Callable[[float, str], None]
"""Told how many seconds an attempt to connect took, and why it failed: an error's slug, empty if it did not."""


@frozen
class PoolState:
    """What a pool has."""

    busy: int
    idle: int
    opening: int
    waiting: int
    """Requests that wait for a connection."""
    most: int
    """Connections that there may be."""


class Taker(Protocol):
    """Who wants a connection."""

    def connected(self, connection: UpstreamConnection) -> None:
        """Here it is; to be used at once."""

    def not_connected(self, error: GatewayError) -> None:
        """There is none to be had."""


class Pool:
    """See the module."""

    def __init__(
        self,
        host: str,
        port: int,
        limits: Connections,
        timeouts: Timeouts,
        deadlines: Deadlines,
        connect: Connect,
        known: KnownLines,
        connect_ended: ConnectEnded = lambda seconds, error: None,
    ) -> None:
        self.host = host
        self.port = port
        self._limits = limits
        self._timeouts = timeouts
        self._deadlines = deadlines
        self._connect = connect
        self.known = known
        """What the answers of all services have in common."""
        self._connect_ended = connect_ended
        self._idle: dict[UpstreamConnection, None] = {}
        self._busy: set[UpstreamConnection] = set()
        self._opening = 0
        self._waiting: OrderedDict[Taker, float] = OrderedDict()
        self._fresh: OrderedDict[Taker, float] = OrderedDict()
        """Those who wait for a connection that has not served before."""
        self._closed = False
        self._retired = False
        self._queue_timer = Timer(deadlines, self._queue_expired)

    def __repr__(self) -> str:
        now = self.state
        return (
            f"<Pool {self.host}:{self.port}: {now.busy} busy, {now.idle} idle, {now.opening} opening, "
            f"{now.waiting} waiting>"
        )

    def take(self, taker: Taker, *, fresh: bool = False) -> UpstreamConnection | None:
        """Return a connection now, or None: then ``taker`` is told later, or has been told already.

        ``fresh`` asks for one that has not served before.
        """
        if self._idle:
            if not fresh:
                connection, _ = self._idle.popitem()
                self._busy.add(connection)
                return connection
            if self._full:
                next(iter(self._idle)).abort()
        if self.is_crowded:
            taker.not_connected(crowded())
            return None
        if not self._queue_timer.running:
            self._queue_timer.start(self._limits.queue_seconds)
        queue = self._fresh if fresh else self._waiting
        queue[taker] = self._deadlines.now() + self._limits.queue_seconds
        self._open_for_waiters()
        return None

    @property
    def state(self) -> PoolState:
        """How many of what there are."""
        waiting = len(self._waiting) + len(self._fresh)
        return PoolState(len(self._busy), len(self._idle), self._opening, waiting, self._limits.max)

    @property
    def is_crowded(self) -> bool:
        """Whether a request that finds no idle connection may not even wait for one."""
        return self._full and self._waiting_for_a_place >= self._limits.queue

    @property
    def _full(self) -> bool:
        return len(self._busy) + len(self._idle) + self._opening >= self._limits.max

    @property
    def _waiting_for_a_place(self) -> int:
        """Takers for whom no connection is being opened."""
        return len(self._waiting) + len(self._fresh) - self._opening

    def _open_for_waiters(self) -> None:
        """Open as many connections as takers wait for and there is room for."""
        while self._waiting_for_a_place > 0 and not self._full and not self._closed:
            self._opening += 1
            attempt = _Attempt(self, self._deadlines)
            self._connect(self.host, self.port, attempt, self._timeouts.connect or None)

    def leave(self, taker: Taker) -> None:
        """Wait no longer."""
        self._waiting.pop(taker, None)
        self._fresh.pop(taker, None)

    def give(self, connection: UpstreamConnection) -> None:
        """Take back a connection that can serve again."""
        if self._fresh and not connection.used:
            taker, _ = self._fresh.popitem(last=False)
            taker.connected(connection)
        elif self._waiting:
            taker, _ = self._waiting.popitem(last=False)
            taker.connected(connection)
        elif self._retired:
            connection.abort()
        else:
            self._busy.discard(connection)
            self._idle[connection] = None
            connection.expire_after(self._limits.idle_seconds)
            self._make_room()

    def _make_room(self) -> None:
        """Let an idle connection go when only a new one helps those who wait."""
        if self._fresh and self._full and self._waiting_for_a_place > 0:
            next(iter(self._idle)).abort()

    def lost(self, connection: UpstreamConnection) -> None:
        """Forget a connection that is closed or about to be."""
        if connection in self._busy:
            self._busy.discard(connection)
        elif connection in self._idle:
            del self._idle[connection]
        else:
            return
        self._open_for_waiters()

    def retire(self) -> None:
        """Keep no connection from now on: idle ones close at once, busy ones when they are done.

        Those who wait, and those who come nevertheless, are served as ever.
        """
        self._retired = True
        for connection in list(self._idle):
            connection.abort()

    def close(self) -> None:
        """Open and keep no connection any more."""
        self._closed = True
        self._queue_timer.close()
        self.retire()

    # An attempt to connect calls.

    def opened(self, connection: UpstreamConnection, seconds: float) -> None:
        """A new connection is ready, after so many seconds."""
        self._opening -= 1
        self._busy.add(connection)
        self._connect_ended(seconds, "")
        self.give(connection)

    def not_opened(self, error: GatewayError, seconds: float) -> None:
        """No connection could be opened: the first waiter hears of it, and another is opened for the next."""
        self._opening -= 1
        self._connect_ended(seconds, error.kind.slug)
        queue = self._waiting or self._fresh
        if queue:
            taker, _ = queue.popitem(last=False)
            taker.not_connected(error)
        self._open_for_waiters()

    def _queue_expired(self) -> None:
        """Turn away those who have waited too long."""
        now = self._deadlines.now()
        error = GatewayError(QUEUE_TIMEOUT, "no connection to the service came free in time", retry_after=1)
        left: list[float] = []
        for queue in (self._waiting, self._fresh):
            while queue:
                taker, until = next(iter(queue.items()))
                if until > now:
                    left.append(until - now)
                    break
                del queue[taker]
                taker.not_connected(error)
        if left:
            self._queue_timer.start(min(left))


class _Attempt(ClientFactory):
    """One attempt to connect, however many addresses are tried for it."""

    noisy = False

    def __init__(self, pool: Pool, deadlines: Deadlines) -> None:
        self._pool = pool
        self._deadlines = deadlines
        self._began = deadlines.now()

    def buildProtocol(self, addr: IAddress | None) -> UpstreamConnection:
        """A connection was opened."""
        return _Opened(self._pool, self._deadlines, self._began)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """No connection could be opened."""
        self._pool.not_opened(_connect_error(reason), self._deadlines.now() - self._began)


def crowded() -> GatewayError:
    """Why a request may not wait for a connection."""
    return GatewayError(QUEUE_FULL, "too many requests wait for this service", retry_after=1)


class _Opened(UpstreamConnection):
    """A connection that tells its pool when it is made."""

    def __init__(self, pool: Pool, deadlines: Deadlines, began: float) -> None:
        super().__init__(pool, deadlines)
        self._began = began
        self._clock = deadlines.now

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.pool.opened(self, self._clock() - self._began)


_CONNECT_KINDS: tuple[tuple[type[Exception], Kind, str], ...] = (
    (ConnectionRefusedError, CONNECT_REFUSED, "the service refused the connection"),
    (TimeoutError, CONNECT_TIMEOUT, "the service did not accept the connection in time"),
    (TCPTimedOutError, CONNECT_TIMEOUT, "the service did not accept the connection in time"),
    (DNSLookupError, NAME_ERROR, "the service's host name is not known"),
    (CertificateRefused, TLS_CERTIFICATE, "the service's certificate was not accepted"),
    (AlertReceived, TLS_ALERT, "the service refused a TLS connection"),
    (HandshakeBroken, TLS_PROTOCOL, "no TLS connection to the service"),
    (UserError, CONNECT_FAILED, "the attempt to connect was given up"),
    (ConnectError, CONNECT_FAILED, "no connection to the service"),
)


_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def _connect_error(reason: Failure) -> GatewayError:
    if getattr(reason.value, "osError", None) in _OUT_OF_RESOURCES:
        return GatewayError(OVERLOADED, "the gateway has no file descriptor left", retry_after=1)
    for kind_of_failure, kind, detail in _CONNECT_KINDS:
        if reason.check(kind_of_failure):
            return GatewayError(kind, detail, note=str(reason.value) if reason.check(TLSFailure) else "")
    return GatewayError(CONNECT_FAILED, "no connection to the service")
