"""TLS towards services, as a file of the configuration says it."""

from __future__ import annotations

from pathlib import Path

from tests.certificate_kit import Authority
from tests.config_files import ConfigTestCase
from tests.tls_service_kit import write
from tracseq_gateway.config.service_tls import ServiceTls
from tracseq_gateway.process.file_watch import files_of

HEAD = '[services.samples]\nprefix = "/samples"\n'


class ServiceTlsTests(ConfigTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.authority = Authority()
        self.ca = write(self.directory, "ca.pem", self.authority.certificate_pem)
        self.shown, self.key = self.authority.issue(["gateway"], client=True).write_to(self.directory)

    def assertRefused(self, text: str, *beginnings: str) -> None:
        """A service with these lines has these problems, each named as it begins."""
        lines = self.said(f"{HEAD}{text}\n")
        self.assertEqual(len(beginnings), len(lines), lines)
        for line, beginning in zip(lines, beginnings, strict=True):
            self.assertIn(beginning, line)

    def test_instances(self) -> None:
        """An https instance is enough; without a port it is 443. A table says the rest."""
        config = self.config(f'{HEAD}instances = ["https://samples"]')
        self.assertEqual((None, True), (config.services["samples"].tls, config.services["samples"].secure))
        text = f'{HEAD}instances = ["https://samples"]\ntls.ca = "{self.ca}"\ntls.name = "Samples.internal"'
        self.assertEqual(ServiceTls(ca=self.ca, name="samples.internal"), self.config(text).services["samples"].tls)
        self.assertFalse(self.config(f'{HEAD}instances = ["http://samples"]').services["samples"].secure)

    def test_never_mixed(self) -> None:
        """No instance of a service with TLS is spoken to in clear, whether others are not or it has a table."""
        self.assertRefused(
            'instances = ["https://a", "http://b:81"]',
            "services.samples.instances[1]: http://b:81 is spoken to in clear, and others are spoken to over TLS, "
            "https://b:81 would be right",
        )
        self.assertRefused(
            'instances = ["http://a"]\ntls = {}',
            "services.samples.instances[0]: http://a:80 is spoken to in clear, and it has a tls",
        )

    def test_discovered_addresses(self) -> None:
        """Where addresses are discovered, what their certificates are for must be said."""
        for discovery in ('dns = "samples.internal", port = 1', 'srv = "_https._tcp.samples"'):
            wrong = "finds addresses, and nothing says what their certificates are for"
            self.assertRefused(f"discovery = {{ {discovery} }}\ntls = {{}}", wrong)
            config = self.config(f'{HEAD}discovery = {{ {discovery} }}\ntls.name = "samples.internal"')
            self.assertTrue(config.services["samples"].secure)

    def test_defaults(self) -> None:
        """An authority for all services can stand in the defaults."""
        text = f'{HEAD}instances = ["https://a"]\ntls.name = "b"\n[defaults]\ntls.ca = "{self.ca}"'
        self.assertEqual(ServiceTls(ca=self.ca, name="b"), self.config(text).services["samples"].tls)

    def test_files(self) -> None:
        """Files are looked into before anything is started, and followed when they are watched."""
        instances = 'instances = ["https://a"]\n'
        good = f'{instances}tls = {{ ca = "{self.ca}", certificate = "{self.shown}", certificate_key = "{self.key}" }}'
        self.assertEqual([self.ca, self.shown, self.key], files_of(self.config(f"{HEAD}{good}")))
        self.assertRefused(f'{instances}tls.ca = "/no/such"', 'services.samples.tls.ca: "/no/such" is an unreachable')
        self.assertRefused(f'{instances}tls.ca = "{self.key}"', "holds no certificate")
        self.assertRefused(f'{instances}tls.certificate = "{self.shown}"', "a certificate without a key")
        self.assertRefused(f'{instances}tls.certificate_key = "{self.key}"', "a key without a certificate")
        pair = f'{instances}tls = {{ certificate = "{self.shown}", certificate_key = "%s" }}'
        self.assertRefused(pair % self.shown, "holds no private key")
        _, other = self.authority.issue(["other"], client=True).write_to(self.directory, "other")
        self.assertRefused(pair % other, "is the key of another certificate")

    def test_values(self) -> None:
        """Names that no certificate can be for, and versions that are not spoken, are refused."""
        instances = 'instances = ["https://a"]\n'
        for name in ("a b", "https://a", "a:443", "[::1]"):
            self.assertRefused(f'{instances}tls.name = "{name}"', "services.samples.tls.name:")
        self.assertRefused(f'{instances}tls.minimum = "1.1"', "services.samples.tls.minimum:")
        self.assertRefused(f"{instances}tls.verify = false", "services.samples.tls.verify: unknown key")
