"""TLS to services: connections that are there when the handshake is done and the other side is who it should be.

What does not pass ends the connection before a byte of a request is sent, and nothing is then tried in clear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL.crypto import X509
from twisted.internet.error import TimeoutError
from twisted.internet.interfaces import IAddress, IConnector, IDelayedCall, IProtocol, IProtocolFactory, IReactorTime
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from tracseq_gateway.net.tls import TLSTransport
from tracseq_gateway.net.tls_failures import CertificateRefused, certificate_words, handshake_failure
from tracseq_gateway.net.tls_peer import Peer

Failed = Callable[[Failure], object]
"""Told that an attempt failed: a ``TLSFailure``, or why there was not even a connection."""


class Attempt(ClientFactory):
    """One attempt to connect, however many addresses are tried for it: the factory of what is below TLS."""

    noisy = False

    def __init__(
        self, peer: Peer, factory: IProtocolFactory, seconds: float | None, clock: IReactorTime, failed: Failed
    ) -> None:
        """Prepare an attempt.

        :param factory: makes the protocol above, once the other side is known to be ``peer``.
        :param seconds: may pass from the attempt at an address to the end of the handshake; None: any time.
        """
        self._peer = peer
        self._factory = factory
        self._seconds = seconds
        self._clock = clock
        self._failed = failed
        self._began = clock.seconds()
        self._below: TLSTransport | None = None

    def startedConnecting(self, connector: IConnector) -> None:
        """The next address is tried."""
        self._began = self._clock.seconds()

    def buildProtocol(self, addr: IAddress | None) -> TLSTransport:
        """A connection was opened."""
        address: Any = addr  # the interface of factories knows of no connection without one
        handshake = Handshake(self._peer, lambda: self._factory.buildProtocol(address), self._failed)
        if self._seconds is not None:
            handshake.limit(self._clock, max(0.0, self._began + self._seconds - self._clock.seconds()))
        self._below = handshake.below
        return self._below

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """No connection could be opened."""
        self._failed(reason)

    def abort(self) -> None:
        """Give up in the middle of the handshake, if there is one."""
        if self._below is not None:
            self._below.abortConnection()


class Handshake:
    """What happens between a connection and its use."""

    def __init__(self, peer: Peer, build: Callable[[], IProtocol | None], failed: Failed) -> None:
        self._peer = peer
        self._build = build
        self._tell_failed = failed
        self._certificate: X509 | None = None
        self._fault: Exception | None = None
        self._timer: IDelayedCall | None = None
        connection, self._resuming = peer.connection(self)
        self.below = TLSTransport(connection, self._established, self._failed)

    def limit(self, clock: IReactorTime, seconds: float) -> None:
        """End as :exc:`TimeoutError` after so many seconds."""
        self._timer = clock.callLater(seconds, self._late)

    def verify(self, certificate: X509, code: int, depth: int, passed: bool) -> bool:
        """See :class:`tracseq_gateway.net.tls_peer.Verifier`."""
        try:
            if not passed:
                raise CertificateRefused(certificate_words(code, depth))
            if depth == 0:
                self._peer.check_name(certificate)
                self._certificate = certificate
        except CertificateRefused as fault:
            self._fault = fault
            return False
        return True

    def _established(self, transport: TLSTransport) -> IProtocol:
        if self._certificate is None and not self._resuming:
            self._fault = CertificateRefused("it showed no certificate")
            raise ValueError("nobody was verified")
        protocol = self._build()
        if protocol is None:
            raise ValueError("nobody wants the connection any more")
        self._stop_timer()
        self._peer.met(transport.tls, self._certificate)
        return protocol

    def _failed(self, reason: Failure) -> None:
        self._stop_timer()
        error = reason.value
        assert error is not None, "a failure has a reason"
        self._tell_failed(Failure(self._fault or handshake_failure(error)))

    def _late(self) -> None:
        self._timer = None
        self._fault = TimeoutError("no TLS handshake in time")
        self.below.abortConnection()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
