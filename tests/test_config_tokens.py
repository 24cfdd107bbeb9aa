from __future__ import annotations

from pathlib import Path

from tests.config_files import FULL, SERVICE, ConfigTestCase
from tracseq_gateway.config import Config, Jwt, JwtKey, Problem, load, missing_secrets

PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n"
VARIABLE = "AUTHENTICATION__JWT_SECRET_KEY"


class AlgorithmTests(ConfigTestCase):
    def test_known(self) -> None:
        """Algorithms are known ones, and at least one."""
        known = "ES256, ES384, ES512, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512"
        self.assertSaid(
            '[auth.jwt]\nalgorithms = ["HS256", "none"]',
            f'5: auth.jwt.algorithms[1]: "none" is not known, one of {known} would be right',
        )
        self.assertSaid(
            '[auth.jwt]\nalgorithms = ["hs256"]',
            '5: auth.jwt.algorithms[0]: "hs256" is not known, did you mean "HS256"?',
        )
        self.assertSaid(
            "[auth.jwt]\nalgorithms = []", '5: auth.jwt.algorithms: names no algorithm, ["HS256"] would be right'
        )

    def test_each_has_a_key(self) -> None:
        """An algorithm that no key is there for is refused: no token could ever pass."""
        self.assertSaid(
            '[auth.jwt]\nalgorithms = ["HS256", "RS256"]',
            "5: auth.jwt.algorithms[1]: there is no key for RS256, one in keys, or a jwks_url, would be right",
        )
        self.assertSaid(
            '[auth.jwt]\nsecret_env = ""',
            "5: auth.jwt.secret_env: is empty, and HS256 needs a secret, the name of its environment variable is",
        )
        self.assertSaid(
            '[auth.jwt]\njwks_url = "https://issuer/keys"',
            "5: auth.jwt.jwks_url: publishes no secrets, and HS256 needs one, "
            'an algorithm of public keys such as "RS256" in algorithms would be right',
        )

    def test_variable(self) -> None:
        """The name of a variable is one."""
        self.assertSaid(
            '[auth.jwt]\nsecret_env = "a b"',
            '5: auth.jwt.secret_env: "a b" cannot be an environment variable, '
            'a name such as "TRACSEQ_SECRET" would be right',
        )


class KeyTests(ConfigTestCase):
    def keys(self, keys: str) -> str:
        return f'[auth.jwt]\nalgorithms = ["RS256", "ES256"]\nkeys = [\n{keys}\n]\njwks_url = "https://issuer"'

    def pem(self, text: str = PUBLIC_KEY) -> str:
        """Write a file below the test's directory and return its name, which is short enough to be shown whole."""
        Path(file := f"{len(text)}.pem").write_text(text)
        return file

    def test_right(self) -> None:
        """A public key has a file, an algorithm and perhaps a kid."""
        file = self.pem()
        text = self.keys(
            f'{{ file = "{file}", algorithm = "RS256", kid = "1" }},\n{{ file = "{file}", algorithm = "ES256" }}'
        )
        self.assertEqual(
            self.config(SERVICE + text).auth.jwt,
            Jwt(
                algorithms=("RS256", "ES256"),
                keys=(JwtKey(file, "RS256", "1"), JwtKey(file, "ES256")),
                jwks_url="https://issuer",
            ),
        )

    def test_required(self) -> None:
        """A key without a file or an algorithm is none."""
        self.assertSaid(
            self.keys("{}"),
            '7: auth.jwt.keys[0]: a key without a file, file = "issuer.pem" would be right',
            '7: auth.jwt.keys[0]: a key without an algorithm, algorithm = "RS256" would be right',
        )

    def test_algorithm(self) -> None:
        """A key's algorithm is one of public keys, and is accepted."""
        file = self.pem()
        self.assertSaid(
            self.keys(f'{{ file = "{file}", algorithm = "EdDSA" }}'),
            "7: auth.jwt.keys[0].algorithm: EdDSA is not one of the algorithms that are accepted, "
            "in algorithms, too, it would be right",
        )
        [said] = self.said(SERVICE + self.keys(f'{{ file = "{file}", algorithm = "HS256" }}'))
        self.assertIn('"HS256" is not known', said)

    def test_twins(self) -> None:
        """Two keys of one algorithm and kid cannot be told apart."""
        key = f'{{ file = "{self.pem()}", algorithm = "RS256", kid = "k" }}'
        self.assertSaid(
            self.keys(f"{key},\n{key}"),
            "8: auth.jwt.keys[1]: is the second RS256 key with this kid, a kid of its own would be right",
        )

    def test_kid(self) -> None:
        """A kid is short and printable."""
        key = f'{{ file = "{self.pem()}", algorithm = "RS256", kid = "a\\nb" }}'
        self.assertSaid(
            self.keys(key),
            '7: auth.jwt.keys[0].kid: "a\\nb" is no kid, up to 128 printable characters would be right',
        )

    def test_files(self) -> None:
        """A file that is not there, or holds something else, is refused with the reason; a private key above all."""
        for file, words in (
            ("nowhere", "is an unreachable file (No such file or directory), a file that can be read would be right"),
            (self.pem("x"), "holds no public key, a file in PEM form would be right"),
            (self.pem("-----BEGIN PRIVATE KEY-----\n"), "holds a private key, the public key alone would be right"),
        ):
            self.assertSaid(
                self.keys(f'{{ file = "{file}", algorithm = "RS256" }}'),
                f'7: auth.jwt.keys[0].file: "{file}" {words}',
            )


class PublishedKeysTests(ConfigTestCase):
    def said_of(self, url: str) -> list[str]:
        return self.said(f'{SERVICE}[auth.jwt]\nalgorithms = ["RS256"]\njwks_url = "{url}"')

    def test_right(self) -> None:
        """Keys come by https from anywhere."""
        for url in (
            "https://issuer.example/.well-known/jwks.json?x=1",
            "https://issuer",
            "https://[2001:db8::1]:8443/",
        ):
            self.assertEqual(self.said_of(url), [], url)

    def test_in_clear(self) -> None:
        """They come by http from this host and private networks only, and that is warned of."""
        for host in (
            "127.0.0.1",
            "[::1]:8080",
            "10.1.2.3",
            "localhost",
            "auth-service",
            "auth.default.svc.cluster.local",
        ):
            self.assertEqual(
                self.said_of(f"http://{host}/jwks"),
                [
                    "6: auth.jwt.jwks_url: warning: fetches keys in clear: whoever sits between can make tokens, "
                    "https would be right"
                ],
                host,
            )
        for host in ("issuer.example", "8.8.8.8", "[2a00::1]"):
            self.assertEqual(
                self.said_of(f"http://{host}/jwks"),
                [
                    f'6: auth.jwt.jwks_url: "http://{host}/jwks" would fetch keys in clear from outside, '
                    'where anybody can change them, "https://issuer/.well-known/jwks.json" would be right'
                ],
            )

    def test_wrong(self) -> None:
        """What is no such URL is said, and a password in one is not shown."""
        for url, words in (
            ("file:///etc/jwks", "is not an https URL"),
            ("issuer", "is not an https URL"),
            ("https://h/a b", "is not an https URL"),
            ("https://h/#x", "is not an https URL"),
            ("https:///x", "has no valid host"),
            ("https://h:0/", "has no valid port"),
        ):
            [said] = self.said_of(url)
            self.assertIn(f'6: auth.jwt.jwks_url: "{url}" {words}, ', said)
        [said] = self.said_of("https://u:hunter2@h/")
        self.assertIn("6: auth.jwt.jwks_url: holds a user name or a password, ", said)
        self.assertNotIn("hunter2", said)


class SecretTests(ConfigTestCase):
    def under(self, **environ: str) -> list[Problem]:
        """Return what the full file lacks under an environment."""
        config = load(FULL, {}, {}).config
        assert config is not None
        return missing_secrets(config, environ)

    def test_nothing_without_authentication(self) -> None:
        """A gateway that anybody may call needs no secret."""
        self.assertEqual(missing_secrets(Config(), {}), [])

    def test_missing(self) -> None:
        """A secret that is not set is an error, under the name of its variable."""
        right = "the secret of the HS256 tokens, of at least 32 bytes, would be right"
        wanted = [Problem("environment", 0, VARIABLE, "is not set", right)]
        self.assertEqual(self.under(), wanted)
        self.assertEqual(self.under(**{VARIABLE: ""}), wanted)

    def test_sizes(self) -> None:
        """A secret is as long as the hash (RFC 7518 section 3.2), the longest that is accepted; it is never shown."""
        self.assertEqual(self.under(**{VARIABLE: "x" * 32}), [])
        [short] = self.under(**{VARIABLE: "hunter2"})
        self.assertEqual(short.wrong, "holds only 7 bytes")
        for algorithms, least in (('"HS256", "HS384"', 48), ('"HS512", "HS256"', 64)):
            config = self.config(
                '[auth]\nenabled = true\nservice_key = "k"\n'
                f'jwt = {{ algorithms = [{algorithms}], secret_env = "SECRET" }}'
            )
            self.assertEqual(missing_secrets(config, {"SECRET": "é" * (least // 2)}), [])
            [problem] = missing_secrets(config, {"SECRET": "x" * (least - 1)})
            self.assertIn(f"SECRET: holds only {least - 1} bytes, the secret of the HS{least * 8} tokens", str(problem))

    def test_public_keys_need_none(self) -> None:
        """Where public keys verify, there is no secret."""
        config = self.config(
            '[auth]\nenabled = true\njwt = { algorithms = ["RS256"], jwks_url = "https://issuer" }', {}
        )
        self.assertEqual(missing_secrets(config, {}), [])

    def test_identity_key(self) -> None:
        """The key of the identity headers may be missing; a short one is refused."""
        secret = {VARIABLE: "x" * 32}
        self.assertEqual(self.under(**secret, TRACSEQ_IDENTITY_KEY="y" * 32), [])
        self.assertEqual(
            [str(problem) for problem in self.under(**secret, TRACSEQ_IDENTITY_KEY="y" * 31)],
            [
                "environment:0: TRACSEQ_IDENTITY_KEY: holds only 31 bytes, "
                "a key of at least 32 bytes, or none, would be right"
            ],
        )

    def test_a_warning_when_loading(self) -> None:
        """Loading warns, for a file is checked on other machines, too."""
        loaded = load(FULL, {VARIABLE: "short"}, {})
        self.assertIsNotNone(loaded.config)
        last = loaded.problems[-1]
        self.assertEqual((last.key, last.level, last.wrong), (VARIABLE, "warning", "holds only 5 bytes"))
