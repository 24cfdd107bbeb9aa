"""The keys that tokens are verified with: from the environment, from files, and as published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm
from twisted.trial.unittest import SynchronousTestCase

from tests.token_kit import (
    SECRET,
    VARIABLE,
    certificate,
    jwk,
    pem,
    private_key,
    public_key,
    segment,
    short_key,
    spellings,
)
from tracseq_gateway.config.policies import Jwt, JwtKey
from tracseq_gateway.identity.key_sets import ALGORITHMS, SECRET_ALGORITHMS, Key, KeySet
from tracseq_gateway.identity.key_sources import MOST_PUBLISHED, Published, configured_keys, published_keys


class ConfiguredKeysTests(SynchronousTestCase):
    """Keys of the configuration."""

    def problem(self, policy: Jwt, environment: Mapping[str, str] | None = None) -> str:
        return str(self.assertRaises(ValueError, configured_keys, policy, environment or {}))

    def file(self, content: bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(content)
        return str(path)

    def test_secret(self) -> None:
        """The secret serves each HS algorithm that is allowed."""
        keys = configured_keys(Jwt(algorithms=("HS256", "HS512")), {VARIABLE: SECRET})
        self.assertEqual({(key.algorithm, key.kid) for key in keys}, {("HS256", None), ("HS512", None)})
        self.assertNotIn(SECRET, repr(list(keys)))

    def test_shortSecret(self) -> None:
        """A secret that is shorter than the hash is refused, with the variable's name and never its value."""
        for algorithm, least in (("HS256", 32), ("HS384", 48), ("HS512", 64)):
            policy = Jwt(algorithms=(algorithm,))
            configured_keys(policy, {VARIABLE: SECRET[:least]})
            said = self.problem(policy, {VARIABLE: SECRET[: least - 1]})
            self.assertIn(VARIABLE, said)
            self.assertIn(f"at least {least} bytes", said)
            self.assertNotIn(SECRET[:8], said)
        self.assertIn(f"{VARIABLE} is not set", self.problem(Jwt()))
        self.assertIn("SECRET_B is not set", self.problem(Jwt(secret_env="SECRET_B"), {VARIABLE: SECRET}))

    def test_keyAsSecret(self) -> None:
        """A public key or certificate, however it is written, is no secret."""
        pems = [certificate(private_key("RS256")).public_bytes(Encoding.PEM), pem(public_key("RS256"))]
        for spelling in [*spellings(public_key("RS256")), *pems, *(text[:-40] for text in pems)]:
            said = self.problem(Jwt(), {VARIABLE: spelling.decode("utf-8", "surrogateescape")})
            self.assertIn(f"{VARIABLE} must hold a shared secret", said)

    def test_files(self) -> None:
        """A file holds a public key, or a certificate of which only the key counts."""
        private = private_key("RS256")
        for content in (
            pem(private.public_key()),
            spellings(private.public_key())[6],
            certificate(private).public_bytes(Encoding.PEM),
        ):
            policy = Jwt(algorithms=("RS256",), keys=(JwtKey(self.file(content), "RS256", "k1"),))
            self.assertEqual(configured_keys(policy, {}), KeySet([Key("RS256", "k1", private.public_key())]))

    def test_fit(self) -> None:
        """The type, curve and size of a key must fit its algorithm; what does is accepted."""
        for algorithm in ALGORITHMS - SECRET_ALGORITHMS:
            own = "RS256" if algorithm[:2] in ("RS", "PS") else algorithm
            for name in ("RS256", "ES256", "ES384", "ES512", "EdDSA"):
                file = self.file(pem(public_key(name)))
                policy = Jwt(algorithms=(algorithm,), keys=(JwtKey(file, algorithm),))
                if name == own:
                    self.assertEqual(len(configured_keys(policy, {})), 1)
                else:
                    self.assertIn(f"{file}: {algorithm} needs", self.problem(policy))
        short = self.file(pem(short_key()))
        self.assertIn("2048 bits", self.problem(Jwt(algorithms=("RS256",), keys=(JwtKey(short, "RS256"),))))

    def test_wrongFiles(self) -> None:
        """A file that cannot be used is named, with the reason."""
        private = private_key("RS256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        good = self.file(pem(public_key("RS256")))
        missing = self.mktemp()
        for key, words in (
            (JwtKey(self.file(private), "RS256"), "private key"),
            (JwtKey(self.file(b""), "RS256"), "auth.jwt.keys: "),
            (JwtKey(self.file(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "RS256"), ""),
            (JwtKey(missing, "RS256"), f"{missing}: cannot be read: No such file"),
            (JwtKey(good, "RS512"), "not in auth.jwt.algorithms"),
            (JwtKey(good, "HS256"), "shared secret"),
            (JwtKey(good, "RS256", "k" * 129), "kid"),
        ):
            policy = Jwt(algorithms=("RS256", "HS256"), keys=(key,))
            said = self.problem(policy, {VARIABLE: SECRET})
            self.assertIn(words, said)
            self.assertIn(key.file, said)

    def test_together(self) -> None:
        """Algorithms that do not exist, two keys of one name, or no key at all are refused."""
        for name in ("none", "ES256K", "HS1", ""):
            self.assertIn("auth.jwt.algorithms", self.problem(Jwt(algorithms=("HS256", name)), {VARIABLE: SECRET}))
        key = JwtKey(self.file(pem(public_key("RS256"))), "RS256", "k1")
        self.assertIn("same kid (k1)", self.problem(Jwt(algorithms=("RS256",), keys=(key, key))))
        self.assertIn("no key for RS256", self.problem(Jwt(algorithms=("RS256",))))
        self.assertEqual(len(configured_keys(Jwt(algorithms=("RS256",), jwks_url="http://issuer/keys"), {})), 0)


class PublishedKeysTests(SynchronousTestCase):
    """Keys of a JWK Set."""

    def read(self, *entries: object, allowed: tuple[str, ...] = ("RS256", "ES256", "EdDSA")) -> Published:
        return published_keys(json.dumps({"keys": entries}).encode(), allowed)

    def test_sound(self) -> None:
        """Keys are found by kid and algorithm, whether or not they say what they are for."""
        entries = [
            jwk(public_key("RS256"), kid="r", alg="RS256", use="sig", key_ops=["verify"]),
            jwk(public_key("ES256"), kid="e"),
            jwk(public_key("EdDSA")),
        ]
        entries[2].pop("key_ops", None)
        published = self.read(*entries)
        self.assertEqual(published.skipped, 0)
        names = {(key.algorithm, key.kid) for key in published.keys}
        self.assertEqual(names, {("RS256", "r"), ("ES256", "e"), ("EdDSA", None)})
        self.assertEqual(published.keys, self.read(*reversed(entries)).keys)

    def test_ambiguous(self) -> None:
        """A key without alg is used when exactly one allowed algorithm fits it, and never for two."""
        entry = jwk(public_key("RS256"), kid="r")
        self.assertIsNotNone(self.read(entry, allowed=("PS512", "ES256", "HS256")).keys.find("PS512", "r"))
        self.assertRaises(ValueError, self.read, entry, allowed=("RS256", "RS512"))

    def test_skipped(self) -> None:
        """What is not a sound public key for signatures of an allowed algorithm is skipped and counted."""
        public, curve = public_key("RS256"), public_key("ES256")
        good = jwk(public, kid="good")
        private = ECAlgorithm.to_jwk(private_key("ES256"), as_dict=True)
        bad: list[object] = [
            None, 1, "key", [], {}, {"kty": 1}, {"kty": ["RSA"]}, {"kty": "RSA"}, {"kty": "EC"}, {"kty": "OKP"},
            {"kty": "oct", "k": segment(SECRET.encode()).decode(), "alg": "HS256"},
            jwk(public, use="enc"), jwk(public, use=["sig"]), jwk(public, use=None),
            jwk(public, key_ops=["sign"]), jwk(public, key_ops=[]), jwk(public, key_ops="verify"),
            jwk(public, alg="RS512"), jwk(public, alg="ES256"), jwk(public, alg="HS256"), jwk(public, alg="none"),
            jwk(public, alg=None), jwk(public, alg=["RS256"]), jwk(public, alg={}),
            jwk(public, kid=1), jwk(public, kid=""), jwk(public, kid="\0"), jwk(public, kid=["good"]),
            jwk(public, n=5), jwk(public, n=""), jwk(public, n="!"), jwk(public, e="AQ"), jwk(public, e=None),
            jwk(short_key()), jwk(public_key("ES384")), jwk(curve, alg="ES384"),
            jwk(curve, x="AA"), jwk(curve, y=private["x"]), jwk(curve, crv="P-384"), jwk(curve, crv=1),
            jwk(public_key("EdDSA"), x="AA"), jwk(public_key("EdDSA"), crv="X25519"), private,
            jwk(public_key("EdDSA"), kid="good", alg="RS256"), good,
        ]  # fmt: skip
        published = self.read(good, *bad)
        self.assertEqual([(key.algorithm, key.kid) for key in published.keys], [("RS256", "good")])
        self.assertEqual(published.skipped, len(bad))

    def test_refused(self) -> None:
        """A document that is no JWK Set, has too many keys, or none of use is refused as a whole."""
        for document in (b"", b"<html>", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b'{"keys":[1]}', b"[" * 9999):
            self.assertRaises(ValueError, published_keys, document, ("RS256",))
        good = jwk(public_key("EdDSA"))
        many: list[object] = [good, *[{} for _ in range(MOST_PUBLISHED - 1)]]
        self.assertEqual(self.read(*many).skipped, MOST_PUBLISHED - 1)
        self.assertIn("more than 100", str(self.assertRaises(ValueError, self.read, *many, {})))

    def test_joined(self) -> None:
        """Configured keys win over published ones of the same name; the others are added."""
        ours = Key("RS256", "k1", public_key("RS256"))
        theirs = Key("RS256", "k1", public_key("RS256", "another"))
        more = Key("ES256", "k1", public_key("ES256"))
        joined = KeySet([ours]).joined(KeySet([theirs, more]))
        self.assertEqual(joined, KeySet([more, ours]))
        self.assertNotEqual(joined, KeySet([more, theirs]))
