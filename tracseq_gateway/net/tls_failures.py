"""Why a TLS connection to a service did not come about, in words for the log.

What they say is of the kind that an operator needs: an expired certificate, another name, an authority that is not
known, or what the other side objected to. Nothing of it is for clients.
"""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL
from service_identity.exceptions import CertificateError, VerificationError
from twisted.python.failure import Failure


class TLSFailure(Exception):
    """There is no TLS connection; ``str()`` says why, in a few words."""


class CertificateRefused(TLSFailure):
    """The certificate that was shown does not pass: expired, for another name, by nobody that is trusted."""


class AlertReceived(TLSFailure):
    """The other side gave up, and said why: it may not accept our certificate, or no version that we speak."""


class HandshakeBroken(TLSFailure):
    """What came was no TLS, or of a kind that is not spoken here; or the connection was closed."""


_CODES: Final = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is self-signed",
    19: "its certificate is of an unknown authority",
    20: "its certificate is of an unknown authority",
    21: "its certificate is of an unknown authority",
    23: "its certificate has been revoked",
    24: "its certificate is of who is no authority",
    26: "its certificate is not for servers",
    66: "the key of its certificate is too weak",
    67: "the key of an authority of its certificate is too weak",
    68: "the digest of its certificate is too weak",
}
"""The verdicts of OpenSSL that occur (x509_vfy.h: X509_V_ERR)."""

_REASONS: Final = (
    ("unsupported protocol", "it speaks no version of TLS that is spoken here"),
    ("wrong version number", "what it answers is not TLS"),
    ("http request", "what it answers is not TLS"),
    ("packet length too long", "what it answers is not TLS"),
    ("unexpected eof", "it closed the connection within the handshake"),
)
"""By what stands in OpenSSL's error, the first that fits."""


def certificate_words(code: int, depth: int) -> str:
    """Say why a chain does not pass, from OpenSSL's verdict on its member at ``depth`` (0: the server's own)."""
    words = _CODES.get(code, f"its certificate does not pass (OpenSSL's verdict {code})")
    return words if depth == 0 else words.replace("its certificate", "a certificate of its chain", 1)


def name_words(error: VerificationError | CertificateError | ValueError, name: str) -> str:
    """Say that a certificate is not for ``name``."""
    if isinstance(error, VerificationError):
        return f"its certificate is not for {name}"
    return f"its certificate has no names that could be read ({error})"


def handshake_failure(error: BaseException) -> TLSFailure:
    """Say why a handshake, or a connection after it, ended in ``error``: OpenSSL's or the connection's."""
    reason = _reason(error)
    if reason is None:
        return HandshakeBroken("it closed the connection within the handshake")
    if "alert" in reason:
        return AlertReceived(f"it refused: {reason}")
    return HandshakeBroken(next((words for part, words in _REASONS if part in reason), f"TLS failed: {reason}"))


def alert_words(reason: Failure | None) -> str:
    """Say what the other side objected to after the handshake; empty if it was not TLS that ended the connection."""
    if reason is None or not reason.check(SSL.Error):
        return ""
    return str(handshake_failure(reason.value)) if reason.value is not None else ""


def _reason(error: BaseException) -> str | None:
    if not isinstance(error, SSL.Error):
        return None
    if isinstance(error, SSL.SysCallError):
        return "unexpected eof"
    queue = error.args[0] if error.args else ()
    return queue[-1][2].lower() if queue else "unexpected eof"
