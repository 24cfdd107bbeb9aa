"""Certificates for tests: an authority of our own, and what it issues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@frozen
class Issued:
    """A certificate and its key."""

    certificate_pem: bytes
    key_pem: bytes

    def write_to(self, directory: str | Path, name: str = "server") -> tuple[str, str]:
        """Write ``NAME.pem`` and ``NAME-key.pem``; return the paths of certificate and key."""
        certificate, key = Path(directory) / f"{name}.pem", Path(directory) / f"{name}-key.pem"
        certificate.write_bytes(self.certificate_pem)
        key.write_bytes(self.key_pem)
        key.chmod(0o600)
        return str(certificate), str(key)


class Authority:
    """Issues certificates; two authorities know nothing of each other, whatever their names."""

    def __init__(self, name: str = "Laboratory CA", *, days: float = 365) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        public = self._key.public_key()
        certificate = (
            x509.CertificateBuilder(issuer_name=self._name, subject_name=self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=days))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_CA_USAGE, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, SHA256())
        )
        self._identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
        self.certificate_pem = certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        names: Sequence[str] = ("localhost",),
        days: float = 30,
        *,
        client: bool = False,
        expired: bool = False,
        subject: str = "",
    ) -> Issued:
        """A certificate for ``names``, each a host name, an e-mail address or an IP address, as its SANs.

        It is valid from an hour ago for ``days``, or was until an hour ago if ``expired``. ``client``: for clients, not
        for servers. ``subject``: its common name, the first of ``names`` unless it is given.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        hour = timedelta(hours=1)
        begin = now - timedelta(days=days) - hour if expired else now - hour
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        common_name = x509.NameAttribute(NameOID.COMMON_NAME, subject or names[0])
        builder = (
            x509.CertificateBuilder(issuer_name=self._name, subject_name=x509.Name([common_name]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(now - hour if expired else now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_LEAF_USAGE, critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(self._identifier, critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_san(name) for name in names]), critical=False)
        return _issued(builder.sign(self._key, SHA256()), key)


def self_signed(names: Sequence[str] = ("localhost",), days: float = 30) -> Issued:
    """A certificate that no authority vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_san(each) for each in names]), critical=False)
        .sign(key, SHA256())
    )
    return _issued(certificate, key)


def _issued(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Issued:
    written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Issued(certificate.public_bytes(Encoding.PEM), written)


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.RFC822Name(name) if "@" in name else x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


_CA_USAGE, _LEAF_USAGE = _usage(signs=True), _usage(signs=False)
