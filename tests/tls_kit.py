"""Certificates for tests, made when they are needed, and clients that speak TLS with Python's own ``ssl``.

:class:`TlsClient` speaks through memory: what it is to send and what it was sent are bytes.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.kit_client import MemoryServer, Visitor
from tracseq_gateway.config.tls import Certificate, Tls
from tracseq_gateway.server.tls_contexts import ServerContexts

DAY = timedelta(days=1)

_ALERT = re.compile(r"alert ([a-z ]+) \(").search


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """One key for all: making one takes long."""
    return rsa.generate_private_key(65537, 2048)


def name_of(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def alternative(name: str) -> x509.GeneralName:
    """A name for subjectAltName: a URI, an e-mail address, an address, or a DNS name."""
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    if "@" in name:
        return x509.RFC822Name(name)
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """Signs certificates and revocation lists, and keeps them in files of one directory."""

    def __init__(self, directory: Path, common: str = "Authority of the tests") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._name = name_of(common)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._made = 0
        builder = self._builder(self._name, self._key.public_key(), datetime.now(UTC) - DAY, 3650 * DAY)
        authority = builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(
            x509.KeyUsage(True, False, False, False, False, True, True, False, False), True
        )
        authority = authority.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False)
        self.certificate = authority.sign(self._key, hashes.SHA256())
        self.file = directory / "ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def _builder(self, name: x509.Name, key: Any, begins: datetime, lives: timedelta) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + lives)
        )

    def issue(
        self,
        *names: str,
        file: str = "",
        kind: str = "EC",
        common: str = "",
        begins: datetime | None = None,
        lives: timedelta = 90 * DAY,
        key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
    ) -> Certificate:
        """Make a certificate for these names and its key, for servers and clients alike.

        They are called ``file``, with ``.pem`` and ``.key`` behind it.
        """
        self._made += 1
        key = key or (rsa_key() if kind == "RSA" else ec.generate_private_key(ec.SECP256R1()))
        builder = self._builder(
            name_of(common or (names[0] if names else "nobody")),
            key.public_key(),
            begins or datetime.now(UTC) - DAY,
            lives,
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([alternative(name) for name in names]), False)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = builder.add_extension(usage, False).add_extension(issuer, False).sign(self._key, hashes.SHA256())
        path = self.directory / (file or f"{self._made}")
        chain, secret = path.with_suffix(".pem"), path.with_suffix(".key")
        chain.write_bytes(certificate.public_bytes(Encoding.PEM))
        secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return Certificate(str(chain), str(secret))

    def revoke(self, *certificates: Certificate, lives: timedelta = 30 * DAY) -> str:
        """Make a revocation list with these certificates, and return its file."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        builder = builder.last_update(now - 2 * DAY).next_update(now - 2 * DAY + lives)
        for certificate in certificates:
            serial = x509.load_pem_x509_certificate(Path(certificate.file).read_bytes()).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            builder = builder.add_revoked_certificate(revoked)
        file = self.directory / "revoked.crl"
        file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return str(file)


def client_context(
    authority: Authority, certificate: Certificate | None = None, protocols: Sequence[str] = ()
) -> ssl.SSLContext:
    """What a careful client uses, with a certificate of its own if there is one, and these protocols for ALPN."""
    context = ssl.create_default_context(cafile=str(authority.file))
    if certificate is not None:
        context.load_cert_chain(certificate.file, certificate.key_file)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


class TlsClient:
    """One client's side of TLS in memory. Whoever has it carries bytes to and fro."""

    def __init__(
        self,
        context: ssl.SSLContext,
        name: str | None = "gw.test",
        session: ssl.SSLSession | None = None,
        *,
        checked: bool = True,
    ) -> None:
        """``checked``: the certificate must be for ``name``."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context.check_hostname = checked and name is not None
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name, session=session)
        self.received = bytearray()
        self.established = self._leaving = False
        self.ended = False
        """Whether the server has said close_notify."""
        self.error: ssl.SSLError | None = None
        """Why the handshake failed, or what broke later."""

    @property
    def alert(self) -> str:
        """What the server complained of, in the words of RFC 8446 section 6; empty if it did not."""
        found = _ALERT(str(self.error))
        return found[1] if found else ""

    def take(self, data: bytes) -> bytes:
        """Take what the server sent; return what there is to send."""
        self._incoming.write(data)
        try:
            if not self.established:
                self.tls.do_handshake()
                self.established = True
            if self._leaving:
                self.tls.unwrap()
                self.ended = True
            while not self.ended:
                piece = self.tls.read(65536)
                self.received += piece
                self.ended = not piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            self.error = error
        return self._outgoing.read()

    def write(self, data: bytes) -> bytes:
        """Return these bytes as they are sent."""
        self.tls.write(data)
        return self._outgoing.read()

    def say_goodbye(self) -> bytes:
        """Return a close_notify as it is sent."""
        self._leaving = True
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            pass  # the server has not said its own yet
        return self._outgoing.read()


class TlsVisitor(Visitor):
    """A client's connection by TLS to a server in memory: what it sends and receives is what stands within.

    ``window`` bounds the encrypted bytes that it takes.
    """

    def __init__(
        self, server: MemoryServer, client: TlsClient, *, peer: str = "192.0.2.7", window: float = float("inf")
    ) -> None:
        super().__init__(server, peer, window)
        self.client = client
        self._carried = 0
        self._to_server(client.take(b""))

    def _to_server(self, data: bytes) -> None:
        while data:
            super().send(data)
            data = self._from_server()

    def _from_server(self) -> bytes:
        """Take what the server has sent; return what is to be sent for it."""
        self.transport.flush()
        came = bytes(self.transport.taken[self._carried :])
        self._carried += len(came)
        return self.client.take(came) if came else b""

    def send(self, *pieces: bytes) -> None:
        """Send bytes, each piece in a record of its own."""
        for piece in pieces:
            self._to_server(self.client.write(piece))

    def send_encrypted(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._to_server(data)

    @property
    def received(self) -> bytes:
        """All that was taken, decrypted."""
        self._to_server(self._from_server())
        return bytes(self.client.received)


def tls_server(root: Any, settings: Tls, **limits: Any) -> MemoryServer:
    """A server in memory with certificates."""
    server = MemoryServer(root, **limits)
    server.site.tls = ServerContexts(settings, server.site.protocols)
    return server
