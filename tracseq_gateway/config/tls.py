"""The configuration of TLS towards clients: what the gateway shows them, and what it asks of them."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from tracseq_gateway.config.keys import key


@frozen
class Certificate:
    """A certificate that is shown to clients, with its private key."""

    file: str = key(
        "", "Required. PEM file with the certificate and, behind it, those of the authorities between it and a root."
    )
    key_file: str = key("", "Required. PEM file with its private key, without a passphrase.")


@frozen
class Tls:
    """TLS towards clients."""

    certificates: tuple[Certificate, ...] = key(
        (),
        "What is shown to clients. Each is for the names that stand in it (subjectAltName; ``*`` is one label); the "
        "first is for clients that ask for none of them, too. Of two for the same names, one with an RSA and one with "
        "an EC key, each client gets the one that it knows. Empty: no TLS.",
    )
    strict_sni: bool = key(
        False, "Whether a client that asks for a name which no certificate has, or for none, is turned away."
    )
    minimum: Literal["1.2", "1.3"] = key("1.2", "The oldest version of TLS that is spoken; older ones never are.")
    client_certificates: Literal["off", "optional", "required"] = key(
        "off",
        "Whether clients are asked for a certificate, and whether one that shows none is turned away. One that does "
        "not pass always is. Who such a client is: ``auth.client_certificates``.",
    )
    client_ca: str = key(
        "",
        "PEM file with the authorities whose clients' certificates pass. They are not the system's: anybody has those.",
    )
    client_crl: str = key(
        "",
        "PEM file with revocation lists, one of each authority in a client's chain: a certificate on them does not "
        "pass, nor does any of an authority whose list is missing or too old. Empty: nothing is looked up.",
    )
    clear: Literal["redirect", "refuse", "serve"] = key(
        "redirect",
        "What becomes of HTTP in clear once there are certificates: 308 to the same place by https, 403, or it is "
        "served like any other. ``/health`` and what is below it is answered in any case.",
    )
    public_port: int = key(0, "The port that redirects name. 0: ``gateway.port``.", most=65535)
    redirect_port: int = key(
        0, "A further port to listen on, usually 80 or 8080, for clients that begin in clear. 0: none.", most=65535
    )
