"""The configuration of TLS towards a service: whom the gateway believes, and what it shows of itself."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from tracseq_gateway.config.keys import key


@frozen
class ServiceTls:
    """TLS towards a service. Certificates are always verified: chain, time and name."""

    ca: str = key(
        "", "PEM file with the authorities, of which one has to vouch for the instances. Empty: those of the system."
    )
    name: str = key(
        "",
        "The host name or IP address that the certificate of every instance must be for, and which it is asked for "
        "(SNI). Empty: the host in the instance's URL.",
    )
    certificate: str = key(
        "", "PEM file with the gateway's own certificate, for services that ask for one, and its authorities behind it."
    )
    certificate_key: str = key("", "PEM file with the private key of ``certificate``, without a passphrase.")
    minimum: Literal["1.2", "1.3"] = key("1.2", "The oldest version of TLS that is spoken; older ones never are.")
