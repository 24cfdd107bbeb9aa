"""Whom TLS connects to: what a service's certificate must be like, and the session that the last connection left.

Each certificate is verified: chain and time by OpenSSL, name by service-identity (RFC 9525). Nothing turns that off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity.exceptions import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address

from tracseq_gateway.config.service_tls import ServiceTls
from tracseq_gateway.net.tls_failures import CertificateRefused, name_words

RESUME_SECONDS: Final = 3600.0
"""How long sessions are resumed after a certificate was verified; beyond it, and beyond its expiry, it is so again."""

_VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL"
"""Of TLS 1.2: with forward secrecy and authenticated encryption; all of TLS 1.3 are so."""


class Verifier(Protocol):
    """Who decides about the certificates of one connection."""

    def verify(self, certificate: X509, code: int, depth: int, passed: bool) -> bool:
        """Whether a certificate of the chain passes; ``passed`` and ``code`` are OpenSSL's verdict.

        Called for each, from the authority's down to the server's own, whose ``depth`` is 0; not at all for a session
        that is resumed.
        """


def client_context(settings: ServiceTls) -> SSL.Context:
    """Read the files, and make of them what all connections of a service have in common.

    Raises ``OpenSSL.SSL.Error`` for files that cannot be used.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(_VERSIONS[settings.minimum])
    context.set_cipher_list(_CIPHERS)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_alpn_protos([b"http/1.1"])
    if settings.ca:
        context.load_verify_locations(settings.ca)
    else:
        context.set_default_verify_paths()
    if settings.certificate:
        context.use_certificate_chain_file(settings.certificate)
        context.use_privatekey_file(settings.certificate_key)
        context.check_privatekey()
    context.set_verify(SSL.VERIFY_PEER, _verify)
    return context


def _verify(connection: SSL.Connection, certificate: X509, code: int, depth: int, passed: int) -> bool:
    verifier: Verifier = connection.get_app_data()
    return verifier.verify(certificate, code, depth, bool(passed))


class Peers:
    """Makes peers. Services whose settings are equal share a context: reading the system's authorities takes time."""

    def __init__(self, now: Callable[[], float] = time.time, *, resume: bool = True) -> None:
        """See :class:`Peer`."""
        self._now = now
        self._resume = resume
        self._contexts: dict[ServiceTls, SSL.Context] = {}

    def prepare(self, settings: ServiceTls) -> SSL.Context:
        """Read the files that ``settings`` name, the first time; raises what :func:`client_context` does."""
        context = self._contexts.get(settings)
        if context is None:
            context = self._contexts[settings] = client_context(settings)
        return context

    def peer(self, settings: ServiceTls, host: str) -> Peer:
        """Who should be at an instance at ``host``."""
        return Peer(self.prepare(settings), settings.name or host, self._now, resume=self._resume)


class Peer:
    """Who should be at the other end, and the last session with it."""

    def __init__(self, context: SSL.Context, name: str, now: Callable[[], float], *, resume: bool = True) -> None:
        """Expect ``name``, a host name or an IP address; ``now`` gives seconds since the epoch.

        ``resume``: whether sessions are resumed; without, each connection verifies the certificate anew.
        """
        self.name = name.removesuffix(".")
        self.expires = 0.0
        """When the certificate expires that was verified last, in seconds since the epoch; 0 before there was one."""
        self._context = context
        self._is_address = isIPAddress(name) or isIPv6Address(name)
        self._identity = IPAddress_ID(self.name) if self._is_address else DNS_ID(self.name)
        self._now = now
        self._resume = resume
        self._latest: SSL.Connection | None = None
        """It has the newest session: of TLS 1.3, a service sends that at any time after the handshake."""
        self._until = 0.0

    def connection(self, verifier: Verifier) -> tuple[SSL.Connection, bool]:
        """OpenSSL's side of a new connection, and whether it offers a session to resume."""
        connection = SSL.Connection(self._context, None)
        connection.set_connect_state()
        connection.set_app_data(verifier)
        if not self._is_address:  # RFC 6066 section 3
            connection.set_tlsext_host_name(self.name.encode("ascii"))
        session = None
        if self._latest is not None and self._now() < self._until:
            session = self._latest.get_session()
            if session is not None:
                connection.set_session(session)
        return connection, session is not None

    def check_name(self, certificate: X509) -> None:
        """Raise :exc:`CertificateRefused` for a certificate of somebody else."""
        try:
            verify_service_identity(extract_patterns(certificate), [self._identity], [])
        except (VerificationError, CertificateError, ValueError) as error:
            raise CertificateRefused(name_words(error, self.name)) from error

    def met(self, connection: SSL.Connection, certificate: X509 | None) -> None:
        """A handshake is done; ``certificate`` was verified in it, None for a session that was resumed."""
        connection.set_app_data(None)  # who verified is done, too
        if certificate is not None:
            self.expires = certificate.to_cryptography().not_valid_after_utc.timestamp()
            self._until = min(self._now() + RESUME_SECONDS, self.expires)
        if self._resume:
            self._latest = connection
