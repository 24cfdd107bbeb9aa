"""Where the master is: an endpoint that asks the sentinels anew for each connection.

As Redis' guidelines for Sentinel clients have it: one after the other is asked, until one knows, and whoever connects
makes sure by ROLE that he met a master. The next connection asks the next sentinel first, so that none that is cut
off and knows old things only can keep the gateway from the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from zope.interface import implementer

from tracseq_gateway.config.redis_url import Login, Sentinels, Tcp
from tracseq_gateway.redis.connection import RedisConnection, Word
from tracseq_gateway.redis.errors import LONGEST_REASON, RedisError, RedisUnavailable, in_time, in_words
from tracseq_gateway.redis.handshake import login_command

SENTINEL_SECONDS = 0.3
"""How long one sentinel may take to answer."""

Reach = Callable[[Tcp], IStreamClientEndpoint]


@implementer(IStreamClientEndpoint)
class MasterEndpoint:
    """Connects to the server that the sentinels call the master; ``reach`` gives the endpoint of a host.

    A sentinel that wants a password is given that of ``login``. Fails with :class:`RedisUnavailable` when no sentinel
    knows a master, and as ``reach``'s endpoint does.
    """

    def __init__(self, clock: IReactorTime, sentinels: Sentinels, login: Login, reach: Reach) -> None:
        self._clock = clock
        self._sentinels = deque(Tcp(host, port) for host, port in sentinels.hosts)
        self._name = sentinels.master
        self._login = login
        self._reach = reach

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Find the master and connect to it."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        return await self._reach(await self._find()).connect(factory)

    async def _find(self) -> Tcp:
        order = tuple(self._sentinels)
        self._sentinels.rotate(-1)
        problems = []
        for sentinel in order:
            try:
                return await in_time(Deferred.fromCoroutine(self._ask(sentinel)), SENTINEL_SECONDS, self._clock)
            except (CancelledError, ConnectingCancelledError):  # not by us: who connects has given up
                raise
            except Exception as error:
                problems.append(f"{sentinel.host}:{sentinel.port}: {in_words(error)}")
        raise RedisUnavailable(f"no sentinel knows the master: {'; '.join(problems)}"[:LONGEST_REASON])

    async def _ask(self, sentinel: Tcp) -> Tcp:
        factory = Factory.forProtocol(lambda: RedisConnection(self._clock))
        factory.noisy = False
        connection = cast(RedisConnection, await self._reach(sentinel).connect(factory))
        try:
            answer = await self._question(connection)
        finally:
            connection.end("asked", "stopped")
        match answer:
            case [bytes(host), bytes(port)] if port.isdigit():
                return Tcp(host.decode("ascii", "replace"), int(port))
        raise RedisUnavailable(f"knows no master {self._name}")

    async def _question(self, connection: RedisConnection) -> Any:
        question: tuple[Word, ...] = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._name)
        try:
            return await connection.call(*question)
        except RedisError as error:
            if error.code != "NOAUTH" or self._login.password is None:
                raise
        await connection.call(*login_command(self._login))
        return await connection.call(*question)
