"""How the connections of an instance come about that is spoken to over TLS, and what the log says when they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ClientFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.net.tls_client import Attempt
from tracseq_gateway.net.tls_failures import TLSFailure
from tracseq_gateway.net.tls_peer import Peer

if TYPE_CHECKING:
    from tracseq_gateway.upstream.pool import Connect

QUIET_SECONDS: Final = 60.0
"""How long the log says nothing more of an instance, unless it is something else."""


class SecureConnect:
    """A :data:`~tracseq_gateway.upstream.pool.Connect` for one instance: its connections are there after the handshake.

    The seconds that an attempt may take hold from the attempt at an address to the end of the handshake.
    """

    log = Logger()

    def __init__(self, service: str, url: str, connect: Connect, peer: Peer, clock: IReactorTime) -> None:
        """``connect`` opens what is below TLS."""
        self._service = service
        self._url = url
        self._connect = connect
        self._peer = peer
        self._clock = clock
        self._said = ""
        self._quiet_until = 0.0

    def __call__(self, host: str, port: int, factory: ClientFactory, timeout: float | None) -> None:
        """Open a connection."""
        self._connect(host, port, Attempt(self._peer, factory, timeout, self._clock, self._failed(factory)), timeout)

    def _failed(self, factory: ClientFactory) -> Callable[[Failure], None]:
        def failed(reason: Failure) -> None:
            if isinstance(reason.value, TLSFailure):
                self._complain(str(reason.value))
            connector: Any = None
            factory.clientConnectionFailed(connector, reason)

        return failed

    def _complain(self, words: str) -> None:
        """Say why there is no connection: once, although each request that wants one meets it."""
        now = self._clock.seconds()
        if words == self._said and now < self._quiet_until:
            return
        self._said, self._quiet_until = words, now + QUIET_SECONDS
        self.log.error(
            "no TLS connection to {service} at {url}: {words}", service=self._service, url=self._url, words=words
        )
