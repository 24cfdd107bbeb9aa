"""TLS to a Redis: only to a server whose certificate is valid, for its name, and vouched for; never in clear."""

from __future__ import annotations

import datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import ssl
from twisted.internet.protocol import Factory, Protocol

from tests.process_kit import freePort
from tests.redis_kit import RealRedis, RedisTestCase, debian_binary
from tracseq_gateway.config.redis_url import Tcp
from tracseq_gateway.redis.endpoint import server_endpoint

Key = ec.EllipticCurvePrivateKey


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, name: str) -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(self._name, self._key, 1)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = builder.sign(self._key, hashes.SHA256())

    def _builder(self, subject: x509.Name, key: Key, days: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        return builder.not_valid_before(now - datetime.timedelta(days=9)).not_valid_after(
            now + datetime.timedelta(days=days)
        )

    def issue(self, directory: Path, *names: str, days: int = 1) -> tuple[str, str]:
        """Make a key and a certificate for names and addresses; return their files."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        alternatives = [x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
        builder = self._builder(subject, key, days)
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        files = str(directory / "server.key"), str(directory / "server.pem")
        pem = serialization.Encoding.PEM
        plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        Path(files[0]).write_bytes(key.private_bytes(pem, *plain))
        Path(files[1]).write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(pem))
        return files

    def write(self, path: Path, *before: Authority) -> str:
        """Write its own certificate into a file, after those of others, for those who trust them."""
        pem = serialization.Encoding.PEM
        path.write_bytes(b"".join(one.certificate.public_bytes(pem) for one in (*before, self)))
        return str(path)


class TlsTestCase(RedisTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.authority = Authority("ours")
        self.ca = self.authority.write(self.directory / "ca.pem")


class RedisTlsTests(TlsTestCase):
    async def tls_server(self, *names: str, days: int = 1) -> int:
        """Start a Redis that speaks TLS only; return its port."""
        key, certificate = self.authority.issue(self.directory, *names, days=days)
        port = freePort()
        files = "--tls-key-file", key, "--tls-cert-file", certificate, "--tls-ca-cert-file", self.ca
        binary = debian_binary()
        await self.serving("--tls-port", str(port), *files, "--tls-auth-clients", "no", binary=binary)
        return port

    async def refused(self, url: str, ca: str) -> str:
        """Give the reason for which a link is not ready."""
        link = self.link_to(url, ca)
        await self.until(lambda: len(self.watch.told) and sum(link.errors.values()) >= 2)
        self.assertEqual([ready for ready, _ in self.watch.told], [False])
        return link.reason

    async def test_verified(self) -> None:
        """A server with a certificate for its name, from an authority that is trusted, is spoken to."""
        port = await self.tls_server("localhost")
        link = await self.ready(f"rediss://localhost:{port}", ca=self.ca)
        value = b"x" * 1_000_000
        await link.call("SET", "k", value)
        self.assertEqual(await link.call("GET", "k"), value)

    async def test_address(self) -> None:
        """A certificate may be for an address."""
        port = await self.tls_server("127.0.0.1")
        await self.ready(f"rediss://127.0.0.1:{port}", ca=self.ca)

    async def test_several_authorities(self) -> None:
        """The file of authorities may hold several."""
        both = self.authority.write(self.directory / "both.pem", Authority("other"))
        port = await self.tls_server("localhost")
        await self.ready(f"rediss://localhost:{port}", ca=both)

    async def test_other_name(self) -> None:
        """A certificate for another name is refused, and the reason says so."""
        port = await self.tls_server("other.example")
        reason = await self.refused(f"rediss://localhost:{port}", self.ca)
        self.assertEqual(reason, "TLS: the certificate is not for this name")

    async def test_other_authority(self) -> None:
        """A certificate of an unknown authority is refused; that of the system's do not know ours."""
        port = await self.tls_server("localhost")
        other = Authority("other").write(self.directory / "other.pem")
        for ca in (other, ""):
            self.watch.told.clear()
            self.assertIn("certificate verify failed", await self.refused(f"rediss://localhost:{port}", ca))

    async def test_expired(self) -> None:
        """A certificate that has expired is refused."""
        port = await self.tls_server("localhost", days=-1)
        self.assertIn("certificate verify failed", await self.refused(f"rediss://localhost:{port}", self.ca))

    async def test_clear_server(self) -> None:
        """A server that speaks no TLS is not spoken to in clear."""
        redis: RealRedis = await self.serving(port=freePort())
        self.assertTrue(await self.refused(f"rediss://localhost:{redis.port}", self.ca))


class Recorder(Protocol):
    """Writes down what clients send."""

    def __init__(self, heard: list[bytes]) -> None:
        self._heard = heard

    def dataReceived(self, data: bytes) -> None:
        self._heard.append(data)


class SecretTests(TlsTestCase):
    async def test_nothing_said(self) -> None:
        """A server with the wrong name does not hear the password, though it could read it."""
        heard: list[bytes] = []
        key, certificate = self.authority.issue(self.directory, "other.example")
        context = ssl.DefaultOpenSSLContextFactory(key, certificate)
        factory = Factory.forProtocol(lambda: Recorder(heard))
        port = self.reactor.listenSSL(0, factory, context, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        link = self.link_to(f"rediss://:hush@localhost:{port.getHost().port}", self.ca)
        await self.until(lambda: link.errors.get("connection", 0) >= 2)
        await link.stop()
        self.assertEqual(heard, [])


class FileTests(TlsTestCase):
    def test_unusable(self) -> None:
        """A file of authorities that cannot be used is refused when the link is made, by its name."""
        place = Tcp("h", tls=True)
        broken = self.directory / "broken.pem"
        broken.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
        empty = self.directory / "empty.pem"
        empty.write_text("")
        for path in (broken, empty):
            with self.assertRaises(ValueError) as raised:
                server_endpoint(self.reactor, place, str(path), 1.0)
            self.assertIn(str(path), str(raised.exception))
        with self.assertRaises(OSError):
            server_endpoint(self.reactor, place, str(self.directory / "missing.pem"), 1.0)
