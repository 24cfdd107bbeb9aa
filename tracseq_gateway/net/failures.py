"""Why a request that the gateway made itself came to nothing, in a few words for the log and the status pages."""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL
from twisted.internet.error import ConnectionClosed, ConnectionRefusedError, DNSLookupError, NoRouteError
from twisted.web.client import ResponseFailed

from tracseq_gateway.net.tls_failures import TLSFailure, alert_words

_WORDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (DNSLookupError, "host not found"),
    (ConnectionRefusedError, "connection refused"),
    (NoRouteError, "no route to host"),
    (ConnectionClosed, "connection closed before the answer was complete"),
    (ResponseFailed, "not an HTTP answer"),
)
"""The first that fits."""


def describe(error: Exception) -> str:
    """An error in a few words."""
    if isinstance(error, TimeoutError):
        return str(error)
    if isinstance(error, TLSFailure):
        return f"no TLS connection: {error}"
    if isinstance(error, ResponseFailed):
        if any(reason.check(SSL.Error) for reason in error.reasons):
            words = next(filter(None, map(alert_words, error.reasons)))
            return f"no TLS connection: {words}; is the certificate one that this host trusts, and for that name?"
        if any(reason.check(ConnectionClosed) for reason in error.reasons):
            error = ConnectionClosed()
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    return f"{type(error).__name__}: {error}"
