"""A service as a request would find it, up to the bytes that would be sent: nothing is sent, and nothing remembered.

The exchange and the service's policies are those that requests have; only the ends are others. Copies stand for all
that would change, and in the place of each instance's pool stands one whose connection takes down what it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import cast

from attrs import define

from tracseq_gateway.interfaces import Request
from tracseq_gateway.upstream.connection import UpstreamConnection
from tracseq_gateway.upstream.instance import Instance
from tracseq_gateway.upstream.pool import Pool, Taker, crowded
from tracseq_gateway.upstream.proxy import Proxy
from tracseq_gateway.upstream.service import UpstreamService


@define
class PassedOn:
    """What a service would have been sent."""

    url: str
    """The instance, as configured."""
    data: bytes
    """The head, and what there was of the body."""


class Rehearsal:
    """The end of a request's way to one service. Give it the request once; then look at :attr:`passed_on`."""

    def __init__(self, proxy: Proxy, done: Callable[[], None]) -> None:
        """``done`` is called when the request would have been sent; a refusal is told to the request itself."""
        self.passed_on: PassedOn | None = None
        self.reached = False
        """Whether the request came here."""
        self.service: UpstreamService = proxy.service.rehearsal(self._pool_of)
        """How the service is for this request."""
        self._done = done
        self._proxy = copy(proxy)
        self._proxy.service = self.service

    def __call__(self, request: Request) -> None:
        """Take over a request; see :class:`tracseq_gateway.interfaces.Stage`."""
        self.reached = True
        self._proxy(request)

    def _pool_of(self, instance: Instance) -> Pool:
        return cast(Pool, _RehearsedPool(instance.url, instance.pool, self._take_down))

    def _take_down(self, url: str, data: bytes) -> None:
        self.passed_on = PassedOn(url, data)
        self._done()


class _RehearsedPool:
    """Gives one connection, if the pool that it stands for would give one or let wait for it."""

    def __init__(self, url: str, pool: Pool, sent: Callable[[str, bytes], None]) -> None:
        self._url = url
        self._pool = pool
        self._sent = sent

    def take(self, taker: Taker, *, fresh: bool = False) -> UpstreamConnection | None:
        if self._pool.is_crowded and not self._pool.state.idle:
            taker.not_connected(crowded())
            return None
        return cast(UpstreamConnection, _RehearsedConnection(self._url, self._sent))

    def leave(self, taker: Taker) -> None:
        """Nobody waits here."""


class _RehearsedConnection:
    """Takes down what it is to send; no answer ever comes."""

    def __init__(self, url: str, sent: Callable[[str, bytes], None]) -> None:
        self._url = url
        self._sent = sent

    def send(self, exchange: object, data: bytes, whole: bool) -> None:
        self._sent(self._url, data)

    def abort(self) -> None:
        """There is nothing to break off."""
