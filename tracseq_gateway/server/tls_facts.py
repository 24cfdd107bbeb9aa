"""What a handshake that is complete says of the client."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import (
    DNSName,
    DuplicateExtension,
    ExtensionNotFound,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
    UnsupportedGeneralNameType,
)
from cryptography.x509.oid import NameOID
from OpenSSL.SSL import Connection

from tracseq_gateway.interfaces import ClientCertificate, TlsFacts


def facts_of(connection: Connection) -> TlsFacts:
    """Return what is known of a client.

    Raises :class:`ValueError` for a certificate that is verified and yet cannot be read.
    """
    return TlsFacts(
        connection.get_protocol_version_name(),
        connection.get_cipher_name() or "",
        (connection.get_servername() or b"").decode("ascii", "replace"),
        _client_certificate(connection),
    )


def _client_certificate(connection: Connection) -> ClientCertificate | None:
    certificate = connection.get_peer_certificate(as_cryptography=True)
    if certificate is None:
        return None
    names: list[str] = []
    try:
        alternatives = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        pass  # an old one, with a common name alone
    except (DuplicateExtension, UnsupportedGeneralNameType) as error:
        raise ValueError(f"the names in a client's certificate cannot be read: {error}") from error
    else:
        names += [f"URI:{name}" for name in alternatives.get_values_for_type(UniformResourceIdentifier)]
        names += [f"DNS:{name}" for name in alternatives.get_values_for_type(DNSName)]
        names += [f"email:{name}" for name in alternatives.get_values_for_type(RFC822Name)]
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return ClientCertificate(
        certificate.subject.rfc4514_string(),
        (*names, *(f"CN:{attribute.value!s}" for attribute in common)),
        certificate.fingerprint(SHA256()).hex(),
        certificate.not_valid_after_utc.timestamp(),
    )
