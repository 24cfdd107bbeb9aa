"""TLS towards clients: what is agreed on, who is turned away, and what a request knows of it."""

from __future__ import annotations

import ssl
import warnings
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import byte_by_byte
from tests.kit_client import Visitor, Waiting, answer_whole, request
from tests.tls_kit import DAY, Authority, TlsClient, TlsVisitor, client_context, name_of, tls_server
from tracseq_gateway.config.tls import Tls
from tracseq_gateway.server.channel import HTTPChannel
from tracseq_gateway.server.request import GatewayRequest
from tracseq_gateway.server.tls_contexts import ServerContexts, check_certificates
from tracseq_gateway.server.tls_facts import facts_of


def say_tls(request: GatewayRequest) -> None:
    """Answer with what is known of the client's TLS."""
    facts = request.tls
    said = "clear" if facts is None else f"{facts.version} {facts.server_name}"
    if facts is not None and facts.certificate is not None:
        said += f" {facts.certificate.names}"
    answer_whole(request, said.encode())


class TlsTestCase(SynchronousTestCase):
    """A server with one certificate, for ``gw.test``."""

    def setUp(self) -> None:
        self.authority = Authority(Path(self.mktemp()))
        self.certificate = self.authority.issue("gw.test")
        self.context = client_context(self.authority)

    def server(self, root: Any = say_tls, limits: dict[str, Any] | None = None, **settings: Any) -> Any:
        settings.setdefault("certificates", (self.certificate,))
        return tls_server(root, Tls(**settings), **(limits or {}))

    def visit(
        self, server: Any, *pieces: bytes, context: ssl.SSLContext | None = None, name: str | None = "gw.test"
    ) -> TlsVisitor:
        visitor = TlsVisitor(server, TlsClient(context or self.context, name))
        visitor.send(*pieces)
        return visitor

    def refused(self, server: Any, context: ssl.SSLContext | None = None, name: str | None = "gw.test") -> str:
        """Try, in vain; return the alert that the client got."""
        visitor = TlsVisitor(server, TlsClient(context or self.context, name))
        self.assertFalse(visitor.client.established and visitor.connected)
        self.assertEqual(len(server.site.channels), 0)
        return visitor.client.alert


class HandshakeTests(TlsTestCase):
    """What client and gateway agree on."""

    def test_request(self) -> None:
        """A request by TLS knows the version and the name that was asked for, and is secure."""
        server = self.server()
        visitor = self.visit(server, request(b"/"), request(b"/"))
        self.assertEqual([answer.body for answer in visitor.answers()], [b"TLSv1.3 gw.test"] * 2)
        self.assertEqual(server.site.tls.handshakes["TLSv1.3"], 1)

    def test_forwarded(self) -> None:
        """A service hears that its client came by https."""
        root = Waiting()
        self.visit(self.server(root), request(b"/"))
        self.assertIn(b"x-forwarded-proto: https\r\n", root.requests[0].forwarded)
        self.assertTrue(root.requests[0].isSecure())

    def test_slow_handshake(self) -> None:
        """A handshake that comes byte by byte is as good as any."""
        server = self.server()
        client = TlsClient(self.context)
        plain = Visitor(server)
        carried, data = 0, client.take(b"")
        while data:
            plain.send(*byte_by_byte(data))
            came = plain.received[carried:]
            carried += len(came)
            data = client.take(came) if came else b""
        plain.send(*byte_by_byte(client.write(request(b"/"))))
        client.take(plain.received[carried:])
        self.assertIn(b"TLSv1.3 gw.test", client.received)

    def test_older_version(self) -> None:
        """TLS 1.2 is spoken, unless 1.3 is demanded; what is older never is."""
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        visitor = self.visit(self.server(), request(b"/"))
        self.assertEqual(visitor.answers()[0].body, b"TLSv1.2 gw.test")
        self.assertEqual(self.refused(self.server(minimum="1.3")), "protocol version")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.context.minimum_version = self.context.maximum_version = ssl.TLSVersion.TLSv1_1
        self.context.set_ciphers("ALL:@SECLEVEL=0")
        self.assertEqual(self.refused(self.server()), "protocol version")

    def test_weak_ciphers(self) -> None:
        """In TLS 1.2 there is no cipher without forward secrecy and authenticated encryption."""
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_ciphers("ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA")
        self.assertEqual(self.refused(self.server()), "handshake failure")
        self.context.set_ciphers("AES128-GCM-SHA256")
        self.assertEqual(self.refused(self.server()), "handshake failure")

    def test_groups(self) -> None:
        """Keys are exchanged by the groups that everybody has, and by no others."""
        for group, spoken in (("X25519", True), ("prime256v1", True), ("secp384r1", True), ("secp521r1", False)):
            context = client_context(self.authority)
            context.set_ecdh_curve(group)
            if spoken:
                self.assertEqual(self.visit(self.server(), request(b"/"), context=context).statuses(), [200])
            else:
                self.assertEqual(self.refused(self.server(), context), "handshake failure")

    def test_resumption(self) -> None:
        """A client comes back with its ticket and is spared a whole handshake, in both versions."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            server = self.server()
            self.context.maximum_version = version
            first = self.visit(server, request(b"/"))
            self.assertEqual((first.statuses(), first.client.tls.session_reused), ([200], False))
            again = TlsVisitor(server, TlsClient(self.context, session=first.client.tls.session))
            again.send(request(b"/"))
            self.assertEqual((again.statuses(), again.client.tls.session_reused), ([200], True))

    def test_too_slow(self) -> None:
        """A handshake that is not over in the time for a request's head is cut, and counted."""
        server = self.server(limits={"head_seconds": 5.0})
        visitor = Visitor(server)
        visitor.send(TlsClient(self.context).take(b"")[:100])
        server.pass_time(4.8)
        self.assertTrue(visitor.connected)
        server.pass_time(0.4)
        self.assertEqual((visitor.connected, server.site.tls.failures["timeout"]), (False, 1))
        self.assertEqual(server.site.channels, set())

    def test_time_for_both(self) -> None:
        """A request's head must come in what the handshake has left of the time."""
        server = self.server(limits={"head_seconds": 5.0})
        visitor = Visitor(server)
        server.pass_time(4.0)
        client = TlsClient(self.context)
        visitor.send(client.take(b""))
        visitor.send(client.take(visitor.received))
        server.pass_time(0.8)
        self.assertTrue(client.established and visitor.connected)
        server.pass_time(0.4)
        self.assertFalse(visitor.connected)

    def test_nonsense(self) -> None:
        """What begins like TLS and is none is closed and counted, without a word in the log."""
        for nonsense in (b"\x16\x03\x01\x00\x05hello", b"\x16" + bytes(200), b"\x16\x16\x16\x16\x16\x16\x16"):
            server = self.server()
            visitor = Visitor(server)
            visitor.send(nonsense)
            self.assertFalse(visitor.connected)
            self.assertEqual((server.site.tls.failures["refused"], len(server.site.channels)), (1, 0))

    def test_client_leaves(self) -> None:
        """A client that leaves within the handshake is counted out again."""
        server = self.server()
        visitor = Visitor(server)
        visitor.send(TlsClient(self.context).take(b""))
        self.assertEqual(len(server.site.channels), 1)
        visitor.leave()
        self.assertEqual((server.site.tls.failures["left"], len(server.site.channels)), (1, 0))

    def test_too_many(self) -> None:
        """A connection within its handshake counts like any other."""
        server = self.server(limits={"max_connections": 1})
        waiting = Visitor(server)
        waiting.send(TlsClient(self.context).take(b"")[:50])
        self.assertFalse(Visitor(server).connected)
        waiting.leave()
        self.assertEqual(self.visit(server, request(b"/")).statuses(), [200])

    def test_behind_a_proxy(self) -> None:
        """The PROXY header of a trusted proxy comes before TLS, and its address is the client's."""
        root = Waiting()
        server = self.server(root)
        server.site.proxied, server.site.trusted = True, (ip_network("192.0.2.7"),)
        visitor = Visitor(server)
        client = TlsClient(self.context)
        visitor.send(b"PROXY TCP4 198.51.100.9 192.0.2.1 50000 443\r\n" + client.take(b""))
        visitor.send(client.take(visitor.received) + client.write(request(b"/")))
        self.assertEqual(root.requests[0].client, "198.51.100.9")
        self.assertTrue(root.requests[0].isSecure())


class ProtocolTests(TlsTestCase):
    """What is spoken over TLS, as agreed on by ALPN (RFC 7301)."""

    def test_agreed(self) -> None:
        """Of what a client offers, what we speak is taken; a client that offers nothing speaks HTTP/1.1."""
        for offered, taken in ((["spdy/3", "http/1.1"], "http/1.1"), (["http/1.0"], "http/1.0"), ([], None)):
            context = client_context(self.authority, protocols=offered)
            visitor = self.visit(self.server(), request(b"/"), context=context)
            self.assertEqual((visitor.client.tls.selected_alpn_protocol(), visitor.statuses()), (taken, [200]))

    def test_none_in_common(self) -> None:
        """A client that offers only what is not spoken here gets the alert for that, and is counted."""
        server = self.server()
        context = client_context(self.authority, protocols=["acme-tls/1"])
        self.assertEqual(self.refused(server, context), "no application protocol")
        self.assertEqual(server.site.tls.failures["no_protocol"], 1)

    def test_another_channel(self) -> None:
        """The table of the site says which channel speaks what was agreed on; the first that both know is taken."""
        server = self.server()

        class Echo(HTTPChannel):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"echo of " + data)

        server.site.protocols = {b"echo": Echo, **server.site.protocols}
        server.site.tls = ServerContexts(Tls((self.certificate,)), server.site.protocols)
        context = client_context(self.authority, protocols=["http/1.1", "echo"])
        visitor = self.visit(server, b"bytes", context=context)
        self.assertEqual(visitor.received, b"echo of bytes")


class CertificateTests(TlsTestCase):
    """Which certificate a client is shown."""

    def shown(self, server: Any, name: str | None, context: ssl.SSLContext | None = None) -> str:
        """The common name of the certificate that a client of this name is shown."""
        context = context or client_context(self.authority)
        context.check_hostname = False
        client = TlsClient(context, name, checked=False)
        TlsVisitor(server, client)
        shown: Any = client.tls.getpeercert() if client.established else None
        return str(shown["subject"][0][0][1]) if shown else ""

    def test_by_name(self) -> None:
        """A client is shown the certificate for the name that it asks for, whatever its case; else the first one."""
        others = self.authority.issue("*.lab.test", "lab.test"), self.authority.issue("a.lab.test")
        server = self.server(certificates=(self.certificate, *others))
        for name, common in (
            ("gw.test", "gw.test"),
            ("GW.Test", "gw.test"),
            ("lab.test", "*.lab.test"),
            ("b.lab.test", "*.lab.test"),
            ("a.lab.test", "a.lab.test"),
            ("b.a.lab.test", "gw.test"),
            ("unknown.test", "gw.test"),
            (None, "gw.test"),
        ):
            self.assertEqual(self.shown(server, name), common, name)

    def test_strict(self) -> None:
        """With strict_sni a client that asks for an unknown name, or for none, is turned away and learns no other."""
        server = self.server(strict_sni=True)
        self.assertEqual(self.shown(server, "gw.test"), "gw.test")
        for name in ("unknown.test", None):
            self.assertEqual(self.shown(server, name), "")
        self.assertEqual(server.site.tls.failures["refused"], 2)

    def test_two_kinds(self) -> None:
        """Of two certificates for the same names a client gets the one whose key it knows."""
        both = (self.certificate, self.authority.issue("gw.test", kind="RSA", common="by RSA"))
        server = self.server(certificates=both)
        context = client_context(self.authority)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        for ciphers, common in (("ECDHE+ECDSA", "gw.test"), ("ECDHE+aRSA", "by RSA")):
            context.set_ciphers(ciphers)
            self.assertEqual(self.shown(server, "gw.test", context), common)


class ClientCertificateTests(TlsTestCase):
    """Certificates of clients."""

    def setUp(self) -> None:
        super().setUp()
        self.instrument = self.authority.issue("spiffe://lab/instruments/7", "seq-7.lab.test", common="seq-7")
        self.mutual = client_context(self.authority, self.instrument)

    def asking(self, need: str, **settings: Any) -> Any:
        return self.server(client_certificates=need, client_ca=str(self.authority.file), **settings)

    def alert(self, server: Any, context: ssl.SSLContext) -> str:
        """What a client hears that is turned away; in TLS 1.3 that comes behind its own handshake."""
        visitor = TlsVisitor(server, TlsClient(context))
        self.assertFalse(visitor.connected)
        self.assertEqual(server.site.tls.failures["refused"], 1)
        return visitor.client.alert

    def test_known(self) -> None:
        """The names in a certificate that passes are known to the request: from subjectAltName, and the subject."""
        said = str(("URI:spiffe://lab/instruments/7", "DNS:seq-7.lab.test", "CN:seq-7")).encode()
        for need in ("optional", "required"):
            visitor = self.visit(self.asking(need), request(b"/"), context=self.mutual)
            self.assertIn(said, visitor.answers()[0].body)

    def test_resumed(self) -> None:
        """They are still known when the session is resumed."""
        server = self.asking("required")
        first = self.visit(server, request(b"/"), context=self.mutual)
        self.assertEqual(first.statuses(), [200])
        again = TlsVisitor(server, TlsClient(self.mutual, session=first.client.tls.session))
        again.send(request(b"/"))
        self.assertTrue(again.client.tls.session_reused)
        self.assertIn(b"spiffe://lab/instruments/7", again.answers()[0].body)

    def test_none(self) -> None:
        """A client without one is turned away where it is required, and nobody special where it is optional."""
        self.assertEqual(self.visit(self.asking("optional"), request(b"/")).statuses(), [200])
        self.assertEqual(self.alert(self.asking("required"), self.context), "certificate required")

    def test_not_asked(self) -> None:
        """Where none is asked for, none is known."""
        visitor = self.visit(self.server(), request(b"/"), context=self.mutual)
        self.assertEqual(visitor.answers()[0].body, b"TLSv1.3 gw.test")

    def test_wrong(self) -> None:
        """A certificate of another authority, or one that is over, is turned away even where none is required."""
        stranger = Authority(Path(self.mktemp()), "Another").issue("spiffe://lab/instruments/7")
        old = self.authority.issue("spiffe://lab/instruments/7", begins=datetime.now(UTC) - 9 * DAY, lives=DAY)
        for certificate, alert in ((stranger, "unknown ca"), (old, "certificate expired")):
            context = client_context(self.authority, certificate)
            self.assertEqual(self.alert(self.asking("optional"), context), alert)

    def test_revoked(self) -> None:
        """One that is on its authority's revocation list is turned away; with a list that is too old, all are."""
        other = client_context(self.authority, self.authority.issue("spiffe://lab/instruments/8"))
        revoked = self.authority.revoke(self.instrument)
        server = self.asking("required", client_crl=revoked)
        self.assertEqual(self.visit(server, request(b"/"), context=other).statuses(), [200])
        self.assertEqual(self.alert(server, self.mutual), "certificate revoked")
        self.authority.revoke(lives=DAY)
        self.assertEqual(self.alert(self.asking("required", client_crl=revoked), other), "certificate expired")


class CheckTests(TlsTestCase):
    """What only OpenSSL can say of the files."""

    def test_good(self) -> None:
        """What can be served is."""
        check_certificates(Tls((self.certificate,)))
        check_certificates(Tls())

    def test_wrong(self) -> None:
        """What OpenSSL does not take is said, with the file and the reason."""
        weak = self.authority.issue("weak.test", key=ec.generate_private_key(ec.SECP192R1()))
        with self.assertRaises(ValueError) as caught:
            check_certificates(Tls((self.certificate, weak)))
        self.assertEqual(str(caught.exception), f"OpenSSL does not take the certificate {weak.file}: ee key too small")


class _Shown:
    """A connection whose client has shown a certificate, as far as :func:`facts_of` looks at it."""

    def __init__(self, certificate: x509.Certificate) -> None:
        self.certificate = certificate

    def get_protocol_version_name(self) -> str:
        return "TLSv1.3"

    def get_cipher_name(self) -> None:
        return None

    def get_servername(self) -> None:
        return None

    def get_peer_certificate(self, as_cryptography: bool) -> x509.Certificate:
        return self.certificate


class FactsTests(SynchronousTestCase):
    def test_odd_names(self) -> None:
        """A certificate with names of a kind that nobody can read is a ValueError, upon which the client is let go."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        an_x400_address = bytes.fromhex("3002a300")
        builder = x509.CertificateBuilder().subject_name(name_of("odd")).issuer_name(name_of("odd"))
        builder = builder.public_key(key.public_key()).serial_number(1).not_valid_before(now).not_valid_after(now + DAY)
        names = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, an_x400_address)
        shown: Any = _Shown(builder.add_extension(names, False).sign(key, hashes.SHA256()))
        self.assertRaises(ValueError, facts_of, shown)
