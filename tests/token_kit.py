"""Keys of all kinds for tests of tokens, the ways to write them, and tokens that nobody would issue."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from datetime import datetime
from functools import cache
from ipaddress import IPv4Address
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tracseq_gateway.config.policies import Jwt
from tracseq_gateway.identity.key_sets import SECRET_ALGORITHMS

SECRET = "0123456789abcdef" * 4
VARIABLE = Jwt().secret_env
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


def private_key(algorithm: str, name: str = "") -> Any:
    """A private key for an algorithm; another one for each name, except for secrets."""
    return _made(algorithm, name)


@cache
def _made(algorithm: str, name: str) -> Any:
    if algorithm in SECRET_ALGORITHMS:
        return SECRET
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("ES"):
        return ec.generate_private_key(CURVES[algorithm])
    return rsa.generate_private_key(65537, 2048)


@cache
def short_key() -> rsa.RSAPublicKey:
    """An RSA key that is too short for any algorithm."""
    return rsa.generate_private_key(65537, 1024).public_key()


def public_key(algorithm: str, name: str = "") -> Any:
    """What verifies the signatures of :func:`private_key`."""
    key = private_key(algorithm, name)
    return key.encode() if isinstance(key, str) else key.public_key()


def pem(key: Any) -> bytes:
    """A public key as PEM, as OpenSSL writes it."""
    text: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text


def jwk(key: Any, **members: object) -> dict[str, Any]:
    """A public key as JWK."""
    family = {rsa.RSAPublicKey: RSAAlgorithm, ec.EllipticCurvePublicKey: ECAlgorithm}
    made: type[Any] = next((one for kind, one in family.items() if isinstance(key, kind)), OKPAlgorithm)
    return {**made.to_jwk(key, as_dict=True), **members}


def segment(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def signed(header: bytes, claims: bytes, secret: bytes = SECRET.encode()) -> bytes:
    """A token of any two texts, with an honest HS256 signature, whatever the header says."""
    both = segment(header) + b"." + segment(claims)
    algorithm = jwt.get_algorithm_by_name("HS256")
    return both + b"." + segment(algorithm.sign(both, secret))


def spellings(public: rsa.RSAPublicKey) -> list[bytes]:
    """A public key in all the ways that people write one."""
    usual = pem(public)
    pkcs1 = public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    return [
        usual,
        usual.strip(),
        b"\n  " + usual + b"\n\n",
        usual.replace(b"\n", b"\r\n"),
        usual.replace(b"\n", b"\\n"),
        usual.replace(b"\n", b""),
        pkcs1,
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.PKCS1),
        public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        json.dumps(jwk(public)).encode(),
    ]


def certificate(key: rsa.RSAPrivateKey, until: datetime = datetime(2021, 1, 1)) -> x509.Certificate:
    """A self-signed certificate of 127.0.0.1; one that has expired, unless it is said how long it holds."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, datetime(2020, 1, 1), until)
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    return made.add_extension(address, critical=False).sign(key, SHA256())
