"""Files of certificates and private keys: what is in them, and whether it can be used, before anything is started.

Whoever reads a file here is told by :class:`Wrong` what it is and what would be right; keys are never shown.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from tracseq_gateway.config.problem import Wrong, show

# Reading certificates costs 30 ms of imports, which a gateway without TLS need not pay.
if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateRevocationList

LEAST_RSA_BITS = 2048
"""OpenSSL would not take a shorter key in a certificate."""
MOST_BYTES = 1 << 20
"""Of one file."""

_PEM = "a file in PEM form would be right"


@frozen
class CertificateFacts:
    """What an operator, and who chooses among several, must know of a certificate."""

    file: str
    label: str
    """Its first name, or else the name of its file."""
    names: tuple[str, ...]
    """The DNS names and addresses that it is for, in lower case; ``*.`` in front stands for one label."""
    kind: str
    """Of its key: ``RSA``, ``EC`` or ``Ed``."""
    begins: float
    """Seconds since the epoch."""
    expires: float


def certificate_facts(file: str) -> CertificateFacts:
    """Read the first certificate of a file."""
    leaf = read_certificates(file)[0]
    names = _names(leaf)
    return CertificateFacts(
        file,
        names[0] if names else os.path.basename(file),
        names,
        _kind(leaf.public_key()),
        leaf.not_valid_before_utc.timestamp(),
        leaf.not_valid_after_utc.timestamp(),
    )


def certificate_chain(file: str) -> str:
    """The rule for a file with a certificate that can be shown to somebody, and its authorities."""
    leaf = read_certificates(file)[0]
    bits = getattr(leaf.public_key(), "key_size", LEAST_RSA_BITS)
    if _kind(leaf.public_key()) == "RSA" and bits < LEAST_RSA_BITS:
        raise Wrong(f"{show(file)} is for an RSA key of {bits} bits", f"one of {LEAST_RSA_BITS} or more would be right")
    return file


def optional_chain(file: str) -> str:
    """The rule for such a file, or none."""
    return certificate_chain(file) if file else file


def optional_key(file: str) -> str:
    """The rule for a file with a private key, or none."""
    return private_key(file) if file else file


def private_key(file: str) -> str:
    """The rule for a file with a private key."""
    _read_key(file)
    return file


def authorities(file: str) -> str:
    """The rule for a file with certificates of authorities, or none."""
    if file:
        read_certificates(file)
    return file


def revocation_lists(file: str) -> str:
    """The rule for a file with revocation lists, or none."""
    if file:
        read_revocation_lists(file)
    return file


def check_pair(chain: str, key: str) -> None:
    """See that a key is that of the certificate; raises :class:`Wrong`, which is about the key's file."""
    if _spki(read_certificates(chain)[0].public_key()) != _spki(_read_key(key).public_key()):
        raise Wrong(f"{show(key)} is the key of another certificate", f"the one of {show(chain)} would be right")


def read_certificates(file: str) -> Sequence[Certificate]:
    """Return the certificates of a PEM file, at least one."""
    from cryptography.x509 import load_pem_x509_certificates

    data = _read(file)
    try:
        return load_pem_x509_certificates(data)
    except ValueError:
        raise Wrong(f"{show(file)} holds no certificate", _PEM) from None


def read_revocation_lists(file: str) -> Sequence[CertificateRevocationList]:
    """Return the revocation lists of a PEM file, at least one."""
    from cryptography.x509 import load_pem_x509_crl

    end = b"-----END X509 CRL-----"
    parts = _read(file).split(end)[:-1]
    try:
        lists = [load_pem_x509_crl(part + end) for part in parts]
    except ValueError:
        lists = []
    if not lists:
        raise Wrong(f"{show(file)} holds no revocation list", _PEM)
    return lists


def _read_key(file: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(file)
    try:
        return load_pem_private_key(data, None)
    except TypeError:
        raise Wrong(f"{show(file)} is locked by a passphrase", "a key without one would be right") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Wrong(f"{show(file)} holds no private key", _PEM) from None


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read(MOST_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Wrong(
            f"{show(file)} is an unreachable file ({reason})", "a file that can be read would be right"
        ) from None


def _names(certificate: Certificate) -> tuple[str, ...]:
    from cryptography.x509 import DNSName, ExtensionNotFound, IPAddress, SubjectAlternativeName

    try:
        found = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return ()
    dns = [name.lower() for name in found.get_values_for_type(DNSName)]
    return (*dns, *map(str, found.get_values_for_type(IPAddress)))


def _kind(key: object) -> str:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    return "RSA" if isinstance(key, RSAPublicKey) else "EC" if isinstance(key, EllipticCurvePublicKey) else "Ed"


def _spki(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    spki: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return spki
