"""``[tls]`` and ``[auth.client_certificates]``: what is wrong with them, and with the files that they name."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tests.config_files import SECRET, SERVICE, ConfigTestCase
from tests.tls_kit import DAY, Authority
from tracseq_gateway.config.certificates import certificate_facts
from tracseq_gateway.config.tls import Certificate

AUTH = '[auth]\nenabled = true\nservice = ""\n'


class TlsConfigTestCase(ConfigTestCase):
    """Has an authority whose files are in a directory."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="tls-"))  # short enough to be shown whole
        self.addCleanup(shutil.rmtree, self.directory)
        self.authority = Authority(self.directory)

    def tls(self, *pairs: Certificate, more: str = "") -> str:
        """The table, one line for each pair and each further key, from line 5."""
        tables = "\n".join(f'  {{ file = "{pair.file}", key_file = "{pair.key_file}" }},' for pair in pairs)
        return f"[tls]\ncertificates = [\n{tables}\n]\n{more}"

    def today(self, days: float) -> str:
        return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


class CertificateTests(TlsConfigTestCase):
    """``tls.certificates``."""

    def test_good(self) -> None:
        """A certificate with its key is all that TLS needs."""
        self.assertEqual(self.said(SERVICE + self.tls(self.authority.issue("gw.test"))), [])
        self.assertEqual(self.said(SERVICE + self.tls(self.authority.issue("gw.test", kind="RSA"))), [])

    def test_another_key(self) -> None:
        """A key that is another certificate's is found, and named."""
        one, other = self.authority.issue("gw.test"), self.authority.issue("other.test")
        self.assertSaid(
            self.tls(one, Certificate(one.file, other.key_file)),
            f'7: tls.certificates[1].key_file: "{other.key_file}" is the key of another certificate, '
            f'the one of "{one.file}" would be right',
        )

    def test_files(self) -> None:
        """A file that is missing, or holds something else, is said to be so; nothing of a key is shown."""
        good = self.authority.issue("gw.test")
        locked = self.directory / "locked.key"
        locked.write_bytes(
            rsa.generate_private_key(65537, 2048).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
            )
        )
        weak = rsa.generate_private_key(65537, 1024)
        short = self.authority.issue("gw.test", file="short", key=weak)
        pem = "a file in PEM form would be right"
        for pair, key, said in (
            (
                Certificate("none.pem", good.key_file),
                "file",
                '"none.pem" is an unreachable file (No such file or directory), a file that can be read would be right',
            ),
            (Certificate(good.key_file, good.key_file), "file", f'"{good.key_file}" holds no certificate, {pem}'),
            (Certificate(good.file, good.file), "key_file", f'"{good.file}" holds no private key, {pem}'),
            (
                Certificate(good.file, str(locked)),
                "key_file",
                f'"{locked}" is locked by a passphrase, a key without one would be right',
            ),
            (short, "file", f'"{short.file}" is for an RSA key of 1024 bits, one of 2048 or more would be right'),
        ):
            self.assertSaid(self.tls(pair), f"6: tls.certificates[0].{key}: {said}")

    def test_twice(self) -> None:
        """Of two certificates that nobody could choose between, one is too many."""
        names = "gw.test", "www.gw.test"
        rsa, first, second = (self.authority.issue(*names, kind=kind) for kind in ("RSA", "EC", "EC"))
        self.assertSaid(
            self.tls(rsa, first, second),
            "8: tls.certificates[2].file: is for the names of certificates[1], and for a key of its kind, "
            "one of them would be right",
        )

    def test_incomplete(self) -> None:
        """A certificate without a file or a key is none."""
        good = self.authority.issue("gw.test")
        self.assertSaid(
            f'[tls]\ncertificates = [\n{{ file = "{good.file}" }},\n{{ key_file = "{good.key_file}" }},\n]',
            '6: tls.certificates[0]: a certificate without a key, key_file = "key.pem" would be right',
            '7: tls.certificates[1]: a certificate without a file, file = "chain.pem" would be right',
        )

    def test_times(self) -> None:
        """A certificate that is over, will be soon, or has not begun is warned of; it may be renewed by the reload."""
        now = datetime.now(UTC)
        over = self.authority.issue("a.test", begins=now - 9 * DAY, lives=2 * DAY)
        soon = self.authority.issue("b.test", begins=now - 9 * DAY, lives=12 * DAY)
        early = self.authority.issue("c.test", begins=now + 3 * DAY)
        self.assertSaid(
            self.tls(over, soon, early),
            f"6: tls.certificates[0].file: warning: expired on {self.today(-7)}: no client will believe it, "
            "a renewed one would be right",
            f"7: tls.certificates[1].file: warning: expires on {self.today(3)}, a renewed one would be right",
            f"8: tls.certificates[2].file: warning: is for a time that begins on {self.today(3)}, "
            "one that holds now would be right",
        )

    def test_facts(self) -> None:
        """The names of a certificate are those of subjectAltName; one without any is called after its file."""
        facts = certificate_facts(self.authority.issue("GW.test", "*.lab.test", "192.0.2.1", kind="RSA").file)
        self.assertEqual((facts.label, facts.kind), ("gw.test", "RSA"))
        self.assertEqual(facts.names, ("gw.test", "*.lab.test", "192.0.2.1"))
        nameless = certificate_facts(self.authority.issue(file="nameless").file)
        self.assertEqual((nameless.label, nameless.names, nameless.kind), ("nameless.pem", (), "EC"))


class AgreementTests(TlsConfigTestCase):
    """Keys that must fit each other."""

    def test_without_certificates(self) -> None:
        """What is of no use without certificates is not left without a word."""
        self.assertSaid(
            "[tls]\nstrict_sni = true\nredirect_port = 8080\npublic_port = 443",
            *(
                f"{line}: tls.{key}: is of no use without TLS, certificates would be right, or none of this"
                for line, key in ((5, "strict_sni"), (6, "redirect_port"), (7, "public_port"))
            ),
        )

    def test_ports(self) -> None:
        """The further port for clients in clear is another one."""
        self.assertSaid(
            self.tls(self.authority.issue("gw.test"), more="redirect_port = 8000"),
            "8: tls.redirect_port: is gateway.port, which tells TLS from clear HTTP itself, 0 would be right",
        )

    def test_clients(self) -> None:
        """Whoever asks for certificates says whose pass; whoever says whose pass asks for them."""
        pair = self.authority.issue("gw.test")
        self.assertSaid(
            self.tls(pair, more='client_certificates = "optional"'),
            "4: tls.client_ca: is empty, so no client's certificate could pass, "
            "a file with the authorities of the clients would be right",
        )
        self.assertSaid(
            self.tls(pair, more=f'client_ca = "{self.authority.file}"'),
            "8: tls.client_ca: verifies certificates that no client is asked for, "
            'client_certificates = "optional" or "required" would be right',
        )
        more = f'client_certificates = "required"\nclient_ca = "{self.authority.file}"'
        self.assertEqual(self.said(SERVICE + self.tls(pair, more=more)), [])

    def test_revocation_lists(self) -> None:
        """A list that cannot be read is a mistake, and one that is too old a warning: it keeps everybody out."""
        pair = self.authority.issue("gw.test")
        more = f'client_certificates = "required"\nclient_ca = "{self.authority.file}"\nclient_crl = '
        revoked = self.authority.revoke(pair)
        self.assertEqual(self.said(SERVICE + self.tls(pair, more=f'{more}"{revoked}"')), [])
        self.authority.revoke(lives=DAY)
        self.assertSaid(
            self.tls(pair, more=f'{more}"{revoked}"'),
            f"10: tls.client_crl: warning: was to be renewed by {self.today(-1)}: no client of that authority gets in, "
            "the authority's present list would be right",
        )
        self.assertSaid(
            self.tls(pair, more=f'{more}"{pair.file}"'),
            f'10: tls.client_crl: "{pair.file}" holds no revocation list, a file in PEM form would be right',
        )


class ClientCertificateTests(TlsConfigTestCase):
    """``auth.client_certificates``."""

    def known(self, *tables: str) -> list[str]:
        """What is said of these tables of a gateway that asks its clients for certificates."""
        more = f'client_certificates = "required"\nclient_ca = "{self.authority.file}"\n'
        text = self.tls(self.authority.issue("gw.test"), more=more) + AUTH
        text += "".join(f"[auth.client_certificates.{table}\n" for table in tables)
        return [said.partition(": ")[2] for said in self.said(SERVICE + text, SECRET)]

    def test_good(self) -> None:
        """A name with its kind, and a star at the end of a URI."""
        for match in ("URI:spiffe://lab/*", "URI:urn:lab:7", "DNS:seq-7.lab.test", "email:a@b.test", "CN:Any text: 7"):
            self.assertEqual(self.known(f'a]\nmatch = "{match}"'), [])

    def test_wrong(self) -> None:
        """Anything else is no name; a service must be there; and no two tables match the same."""
        right = '"URI:spiffe://lab/sequencer-7", "DNS:...", "email:..." or "CN:..." would be right'
        for match in ("spiffe://lab/7", "URI:*", "URI:spiffe://*/7", "DNS:*.lab.test", "CN:", "uri:a://b", "DNS:a b"):
            said = [f'auth.client_certificates.a.match: "{match}" is no name in a certificate, {right}']
            self.assertEqual(self.known(f'a]\nmatch = "{match}"'), said)
        self.assertEqual(
            self.known("a]"),
            [
                "auth.client_certificates.a: a certificate without a name, "
                'match = "URI:spiffe://lab/sequencer-7" would be right'
            ],
        )
        self.assertEqual(
            self.known('a]\nmatch = "CN:a"\nservices = ["sample"]'),
            ['auth.client_certificates.a.services[0]: there is no service "sample", did you mean "samples"?'],
        )
        self.assertEqual(
            self.known('a]\nmatch = "DNS:a.test"', 'b]\nmatch = "DNS:A.test"'),
            [
                "auth.client_certificates.b.match: is matched by auth.client_certificates.a, too, "
                "one of them would be right"
            ],
        )

    def test_nobody_asked(self) -> None:
        """Who is known by a certificate must be asked for one."""
        self.assertEqual(
            self.said(f'{SERVICE}{AUTH}[auth.client_certificates.a]\nmatch = "CN:a"', SECRET),
            [
                "7: auth.client_certificates: is about what no client is asked for, "
                'tls.client_certificates = "optional" or "required" would be right'
            ],
        )
