"""How a server is reached: endpoints of Twisted whose connections write at once.

A ``rediss://`` server is spoken to over TLS, when its certificate is valid, is for its name and is vouched for; or not
at all.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates

from tracseq_gateway.config.redis_url import Tcp, Unix
from tracseq_gateway.net.eager_connections import EagerConnections

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def server_endpoint(reactor: Any, place: Tcp | Unix, ca: str, seconds: float) -> IStreamClientEndpoint:
    """Give the endpoint of one server; ``seconds`` is how long an attempt to connect may take.

    ``ca`` names the file of the certificates that a TLS server's is verified by; empty: those of the system. Raises
    ValueError or OSError for a file that cannot be used; it is read now.
    """
    eager = EagerConnections(reactor)
    if isinstance(place, Unix):
        return UNIXClientEndpoint(eager, place.path, timeout=seconds)
    endpoint = HostnameEndpoint(eager, place.host, place.port, timeout=seconds)
    if not place.tls:
        return endpoint
    return wrapClientTLS(optionsForClientTLS(place.host, trustRoot=_trust(ca)), endpoint, reactor)


def _trust(ca: str) -> Any:
    if not ca:
        return platformTrust()
    blocks = _CERTIFICATE.findall(Path(ca).read_bytes())
    if not blocks:
        raise ValueError(f"{ca} has no certificate in it (PEM)")
    try:
        return trustRootFromCertificates([Certificate.loadPEM(block) for block in blocks])
    except Exception as error:  # OpenSSL's, of several kinds
        raise ValueError(f"{ca} has a certificate that cannot be read: {error}") from error
