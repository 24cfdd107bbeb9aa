"""What OpenSSL is told for connections of clients: certificates by name, versions, ciphers, and whom to believe.

The choice is that of Mozilla's intermediate profile without its finite-field groups: TLS 1.2 with forward secrecy and
authenticated encryption, and TLS 1.3. Sessions are resumed by tickets; nothing of them is kept here. The keys of the
tickets are each worker's own and end with it, so that nothing outlives a reload.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from OpenSSL import SSL
from OpenSSL._util import lib as openssl
from OpenSSL.crypto import X509StoreFlags

from tracseq_gateway.config.certificates import CertificateFacts, certificate_facts, read_revocation_lists
from tracseq_gateway.config.tls import Certificate, Tls

CIPHERS = b":".join(
    (
        b"ECDHE-ECDSA-AES128-GCM-SHA256",
        b"ECDHE-RSA-AES128-GCM-SHA256",
        b"ECDHE-ECDSA-AES256-GCM-SHA384",
        b"ECDHE-RSA-AES256-GCM-SHA384",
        b"ECDHE-ECDSA-CHACHA20-POLY1305",
        b"ECDHE-RSA-CHACHA20-POLY1305",
    )
)
"""For TLS 1.2. The client's order decides: it knows whether it has AES in hardware."""
GROUPS = (b"X25519MLKEM768:X25519:prime256v1:secp384r1", b"X25519:prime256v1:secp384r1")
"""For the exchange of keys; the second where OpenSSL does not know the first of them, which came with 3.5."""
TICKET_SECONDS = 3600
"""How long a session can be resumed. A client's certificate is not verified anew by then."""

_VERIFY = {
    "off": SSL.VERIFY_NONE,
    "optional": SSL.VERIFY_PEER,
    "required": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}
_SESSIONS = b"tracseq-gateway"
"""The context of sessions (SSL_CTX_set_session_id_context(3)): the same for all names of one worker."""
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


FAILURES = ("no_protocol", "refused", "left", "timeout")
"""No protocol in common by ALPN; OpenSSL said no, ours or the client's; the client left; it took too long."""


class NoCommonProtocol(SSL.Error):
    """The client offers protocols by ALPN, and none that is spoken here (RFC 7301 section 3.2)."""


class ServerContexts:
    """The certificates of one worker. What is wrong with a file is found when it is made."""

    def __init__(self, settings: Tls, protocols: Collection[bytes]) -> None:
        """Read the certificates; ``protocols`` are the names for ALPN, in the order of our preference.

        :raises ValueError: when a file is not what it should be.
        """
        self._settings = settings
        self.handshakes: Counter[str] = Counter({"TLSv1.2": 0, "TLSv1.3": 0})
        """Those that were completed, by the version of TLS."""
        self.failures: Counter[str] = Counter(dict.fromkeys(FAILURES, 0))
        """Those that were not, by the cause: one of :data:`FAILURES`."""
        self._protocols = protocols
        groups = _by_names(settings.certificates)
        self.certificates = [facts for facts, _ in groups]
        """What is known of them; of two for the same names, of the first."""
        contexts = [(facts, self._context(pairs)) for facts, pairs in groups]
        self._by_name: dict[bytes, SSL.Context] = {}
        for facts, context in contexts:
            for name in facts.names:
                self._by_name.setdefault(name.encode("idna" if not name.isascii() else "ascii"), context)
        # OpenSSL begins with this one, and keeps to its keys of tickets.
        self._first = self._context(()) if settings.strict_sni else contexts[0][1]
        self._first.set_tlsext_servername_callback(self._choose)

    def connection(self) -> SSL.Connection:
        """The server's side of a new connection, over memory."""
        connection = SSL.Connection(self._first, None)
        connection.set_accept_state()
        return connection

    def _context(self, pairs: Sequence[Certificate]) -> SSL.Context:
        settings = self._settings
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(_VERSIONS[settings.minimum])
        context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_cipher_list(CIPHERS)
        _limit_groups(context)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_session_id(_SESSIONS)
        context.set_timeout(TICKET_SECONDS)
        context.set_alpn_select_callback(self._select_protocol)
        for pair in pairs:
            try:
                context.use_certificate_chain_file(pair.file)
                context.use_privatekey_file(pair.key_file)
            except SSL.Error as error:
                raise ValueError(f"OpenSSL does not take the certificate {pair.file}: {_reason(error)}") from None
        if settings.client_certificates != "off":
            self._ask_for_certificates(context)
        return context

    def _ask_for_certificates(self, context: SSL.Context) -> None:
        settings = self._settings
        context.set_verify(_VERIFY[settings.client_certificates])
        try:
            context.load_verify_locations(settings.client_ca)
            context.load_client_ca(settings.client_ca.encode())
        except SSL.Error as error:
            raise ValueError(f"OpenSSL does not take the authorities {settings.client_ca}: {_reason(error)}") from None
        store = context.get_cert_store()
        assert store is not None, "every context has one"
        # The operator's word makes an authority, whoever has signed it.
        store.set_flags(X509StoreFlags.PARTIAL_CHAIN)
        if settings.client_crl:
            for revocations in read_revocation_lists(settings.client_crl):
                store.add_crl(revocations)
            store.set_flags(X509StoreFlags.CRL_CHECK | X509StoreFlags.CRL_CHECK_ALL)

    def _choose(self, connection: SSL.Connection) -> None:
        """Take the certificate for the name that the client asks for (RFC 6066 section 3)."""
        name = (connection.get_servername() or b"").lower().removesuffix(b".")
        found = self._by_name.get(name) or self._by_name.get(b"*." + name.partition(b".")[2])
        if found is not None and found is not self._first:
            connection.set_context(found)

    def _select_protocol(self, connection: SSL.Connection, offered: list[bytes]) -> bytes:
        for name in self._protocols:
            if name in offered:
                return name
        # OpenSSL makes the alert no_application_protocol of any exception.
        raise NoCommonProtocol([("SSL routines", "", "no application protocol")])


def _limit_groups(context: SSL.Context) -> None:
    """Leave out the groups that are larger or older than anybody needs.

    pyOpenSSL names single curves only, so this is the one thing that is asked of its binding. Without it there would be
    OpenSSL's own choice, which has ours in it.
    """
    limit = getattr(openssl, "SSL_CTX_set1_curves_list", None)
    if limit is not None and not any(limit(context._context, groups) == 1 for groups in GROUPS):
        raise ValueError("OpenSSL knows none of the groups for the exchange of keys")


def check_certificates(settings: Tls) -> None:
    """See that OpenSSL takes what a configuration names; raises :class:`ValueError`, which says what it does not."""
    if settings.certificates:
        ServerContexts(settings, ())


def _reason(error: SSL.Error) -> str:
    """What OpenSSL complains of."""
    queue = error.args[0] if error.args else ()
    return str(queue[-1][-1]) if queue else "no reason given"


def _by_names(
    certificates: Sequence[Certificate],
) -> list[tuple[CertificateFacts, list[Certificate]]]:
    """Put together what is for the same names and differs in the kind of key."""
    groups: dict[tuple[str, ...], tuple[CertificateFacts, dict[str, Certificate]]] = {}
    for certificate in certificates:
        facts = certificate_facts(certificate.file)
        _, kinds = groups.setdefault(tuple(sorted(facts.names)), (facts, {}))
        kinds.setdefault(facts.kind, certificate)
    return [(facts, list(kinds.values())) for facts, kinds in groups.values()]
