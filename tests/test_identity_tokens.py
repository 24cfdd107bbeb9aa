"""Tokens: what is accepted, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from attrs import evolve
from cryptography.hazmat.primitives.asymmetric import ed448
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.token_kit import (
    SECRET,
    VARIABLE,
    private_key,
    public_key,
    segment,
    signed,
    spellings,
)
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.policies import Jwt
from tracseq_gateway.identity.key_sets import ALGORITHMS, Key, KeySet
from tracseq_gateway.identity.key_sources import configured_keys, published_keys
from tracseq_gateway.identity.tokens import LAST_MOMENT, Claims, TokenRefused, TokenVerifier, UnknownKey

WIRE: dict[str, Any] = json.loads((Path(__file__).parent / "wire_cases" / "jwt.json").read_text())
NOW = 1_800_000_000.0
CLAIMS: dict[str, Any] = {
    "sub": "6f1c0a52",
    "email": "ada@lab.example",
    "role": "lab_technician",
    "jti": "s-1",
    "iss": "tracseq-auth",
    "aud": "tracseq",
    "iat": NOW - 60,
    "nbf": NOW - 60,
    "exp": NOW + 600,
}
STRICT = Jwt(issuer="tracseq-auth", audience="tracseq", leeway=Seconds(10.0))


def token(claims: Mapping[str, Any] = CLAIMS, header: Mapping[str, Any] | None = None) -> bytes:
    return signed(json.dumps({"alg": "HS256", "typ": "JWT", **(header or {})}).encode(), json.dumps(claims).encode())


def verifier(policy: Jwt = STRICT, keys: KeySet | None = None) -> TokenVerifier:
    """A verifier of HS256 tokens, unless other keys are given."""
    known = KeySet([Key("HS256", None, SECRET.encode())]) if keys is None else keys
    return TokenVerifier(policy, lambda: known)


class TokenCase(SynchronousTestCase):
    def refusal(self, raw: bytes, policy: Jwt = STRICT, keys: KeySet | None = None, now: float = NOW) -> str:
        """The reason why a token is refused."""
        refused: TokenRefused = self.assertRaises(TokenRefused, verifier(policy, keys).verify, raw, now)
        self.assertIs(type(refused), TokenRefused)
        return refused.reason

    def assertClaimRefused(self, name: str, *values: object) -> None:
        """With each of these values a claim refuses the token."""
        for value in values:
            self.refusal(token({**CLAIMS, name: value}))

    def assertHeaderRefused(self, name: str, *values: object) -> None:
        """With each of these values a header parameter refuses the token."""
        for value in values:
            self.refusal(token(header={name: value}))

    def assertHolds(self, claims: Mapping[str, Any], holds: bool) -> None:
        if holds:
            verifier().verify(token(claims), NOW)
        else:
            self.refusal(token(claims))


class WireTests(SynchronousTestCase):
    """The recorded attacks."""

    def test_cases(self) -> None:
        """Every recorded token gets its verdict, and none raises anything but a refusal."""
        keys = {
            "hs": configured_keys(Jwt(algorithms=("HS256",)), {VARIABLE: WIRE["hs_secret"]}),
            "rs": published_keys(json.dumps(WIRE["jwks"]).encode(), WIRE["algorithms"]).keys,
        }
        allowed = {"hs": ("HS256",), "rs": tuple(WIRE["algorithms"])}
        for case in WIRE["cases"]:
            which = case["verifier"]
            policy = Jwt(algorithms=allowed[which], issuer=WIRE["issuer"], audience=WIRE["audience"])
            try:
                verifier(policy, keys[which]).verify(case["token"].encode(), WIRE["now"])
                verdict = "accept"
            except TokenRefused:
                verdict = "reject"
            self.assertIn(case["expect"], (verdict, "either"), case["id"])


class SignatureTests(TokenCase):
    """Algorithms and their keys."""

    def test_everyAlgorithm(self) -> None:
        """Each algorithm is verified with its own key, and its tokens with nothing else."""
        keys = KeySet([Key(algorithm, "k", public_key(algorithm)) for algorithm in ALGORITHMS])
        for algorithm in ALGORITHMS:
            policy = evolve(STRICT, algorithms=(algorithm,))
            good = jwt.encode(CLAIMS, private_key(algorithm), algorithm, {"kid": "k"}).encode()
            self.assertEqual(verifier(policy, keys).verify(good, NOW).subject, CLAIMS["sub"], algorithm)
            others = evolve(STRICT, algorithms=tuple(ALGORITHMS - {algorithm}))
            self.assertIn("not allowed", self.refusal(good, others, keys))
            for other in ALGORITHMS - {algorithm}:
                head = segment(json.dumps({"alg": other, "kid": "k"}).encode())
                forged = head + good[good.index(b".") :]
                self.assertIn("signature", self.refusal(forged, evolve(STRICT, algorithms=tuple(ALGORITHMS)), keys))

    def test_ed448(self) -> None:
        """EdDSA is verified with an Ed448 key, too (RFC 8037)."""
        private = ed448.Ed448PrivateKey.generate()
        good = jwt.encode(CLAIMS, private, "EdDSA").encode()
        keys = KeySet([Key("EdDSA", None, private.public_key())])
        verifier(evolve(STRICT, algorithms=("EdDSA",)), keys).verify(good, NOW)

    def test_publicKeyAsSecret(self) -> None:
        """A token that is signed by HMAC with the public key, however that is spelled, is refused."""
        public = public_key("RS256")
        both = evolve(STRICT, algorithms=("RS256", "HS256"))
        keys = KeySet([Key("RS256", None, public), Key("HS256", None, SECRET.encode())])
        claims = json.dumps(CLAIMS).encode()
        for spelling in spellings(public):
            for algorithm in (b"HS256", b"RS256"):
                forged = signed(b'{"alg":"%b"}' % algorithm, claims, spelling)
                self.assertIn("signature", self.refusal(forged, both, keys))
            forged = signed(b'{"alg":"HS256"}', claims, spelling)
            self.assertIn("not allowed", self.refusal(forged, evolve(STRICT, algorithms=("RS256",)), keys))
            only = verifier(both, KeySet([Key("RS256", None, public)]))
            self.assertRaises(UnknownKey, only.verify, forged, NOW)

    def test_kid(self) -> None:
        """A kid is matched exactly; without one the key without one is taken, or else the only key of the algorithm."""
        anonymous, named = Key("HS256", None, b"a" * 32), Key("HS256", "k1", b"b" * 32)
        public = Key("RS256", "k1", public_key("RS256"))
        other = Key("RS256", "k2", public_key("RS256"))
        self.assertIs(KeySet([anonymous, named]).find("HS256", None), anonymous)
        self.assertIs(KeySet([anonymous, named]).find("HS256", "k1"), named)
        self.assertIs(KeySet([named, public]).find("HS256", None), named)
        self.assertIsNone(KeySet([public, other]).find("RS256", None))
        self.assertIsNone(KeySet([anonymous]).find("HS256", "k1"))
        self.assertIsNone(KeySet([named]).find("HS256", "K1"))
        self.assertIsNone(KeySet([public]).find("RS384", "k1"))

    def test_unknownKey(self) -> None:
        """A token of an unknown key says which one, so that a newer key set can be looked at."""
        unknown = self.assertRaises(UnknownKey, verifier().verify, token(header={"kid": "k9"}), NOW)
        self.assertEqual((unknown.algorithm, unknown.kid), ("HS256", "k9"))
        unknown = self.assertRaises(UnknownKey, verifier(keys=KeySet()).verify, token(), NOW)
        self.assertEqual((unknown.algorithm, unknown.kid), ("HS256", None))

    def test_otherSecret(self) -> None:
        """A signature by another secret is refused before the claims are looked at."""
        forged = signed(b'{"alg":"HS256"}', b"not even JSON", SECRET[::-1].encode())
        self.assertEqual(self.refusal(forged), "the signature is wrong")


class FormTests(TokenCase):
    """What comes before the signature, and how the token is written."""

    def test_length(self) -> None:
        """A token of 8192 bytes is read, a longer one is not."""
        head = b'{"alg":"HS256"}'
        letters = 8192 - len(signed(head, b""))
        claims = json.dumps({**CLAIMS, "pad": ""}).encode()
        longest = signed(head, claims[:-2] + b"x" * (letters * 3 // 4 - len(claims)) + claims[-2:])
        self.assertEqual(len(longest), 8192)
        verifier().verify(longest, NOW)
        self.assertIn("longer", self.refusal(longest + b"A"))
        self.assertIn("longer", self.refusal(b"." * 100_000))

    def test_parts(self) -> None:
        """A token has three parts, each in base64url without padding, white space or surplus bits."""
        good = token()
        head, claims, signature = good.split(b".")
        verifier().verify(good, NOW)
        for wrong in (
            b"",
            b".",
            b"..",
            b"....",
            head + b"." + claims,
            good + b".",
            good + b".x.y",
            b"." + claims + b"." + signature,
            head + b".." + signature,
            head + b"." + claims + b".",
            good + b"=",
            head + b"==." + claims + b"." + signature,
            good + b" ",
            b" " + good,
            good + b"\n",
            head + b"\r\n." + claims + b"." + signature,
            good + b"\0",
            good.replace(b"-", b"+").replace(b"_", b"/") + b"+",
            b"\xff" + good[1:],
            good[:-1] + bytes([good[-1] + 1]),  # the same bytes: 32 of them leave two bits of the last letter unused
            good.lower(),
            good + good,
        ):
            self.refusal(wrong)

    def test_header(self) -> None:
        """A header that asks for anything but a plain signed token is refused."""
        algorithms: tuple[object, ...] = (
            "none",
            "None",
            "hs256",
            "HS256 ",
            "",
            "HS384",
            "RS256",
            None,
            1,
            ["HS256"],
            {},
        )
        self.assertHeaderRefused("alg", *algorithms)
        for name in ("crit", "jku", "jwk", "x5u", "x5c", "zip", "enc", "b64"):
            self.assertHeaderRefused(name, None, [], "", False, True, {"kty": "oct"}, ["exp"], "https://evil.example/")
        self.assertHeaderRefused("kid", None, 1, True, [], ["k"], {}, "", "k\0", "k\n", "\x7f", "k" * 129, "\ud800")
        self.assertHeaderRefused("typ", None, 1, [], "", "JWE", "JOSE", "jwt ", "dpop+jwt", "at+jwt;v=1")
        self.assertHeaderRefused("pad", "x" * 1024, [[[[[[[[]]]]]]]])
        for header in ({"typ": "jwt"}, {"typ": "AT+JWT"}, {"cty": "x", "x5t": "y"}):
            verifier().verify(token(header=header), NOW)

    def test_headerIsAnObject(self) -> None:
        """A header that is no JSON object, or not in UTF-8, is refused."""
        for header in (b"", b"null", b"[]", b'"x"', b"1", b"{", b"{}", b"\xff\xfe", '{"alg":"HS256"}'.encode("utf-16")):
            self.refusal(signed(header, json.dumps(CLAIMS).encode()))

    def test_twice(self) -> None:
        """A member that comes twice refuses the token, in the header, in the claims, and within them."""
        claims = json.dumps(CLAIMS)
        self.assertIn("twice", self.refusal(signed(b'{"alg":"HS256","alg":"HS256"}', claims.encode())))
        self.assertIn("twice", self.refusal(signed(b'{"alg":"none","\\u0061lg":"HS256"}', claims.encode())))
        for more in ('"sub":"root"', '"exp":9e9', '"x":{"y":1,"y":2}'):
            text = claims[:-1] + "," + more + "}"
            self.assertIn("twice", self.refusal(signed(b'{"alg":"HS256"}', text.encode())))

    def test_notNumbers(self) -> None:
        """What some take for JSON numbers refuses the token, wherever it stands."""
        for text in (b"NaN", b"Infinity", b"-Infinity", b"0x1", b"01"):
            more = b',"x":' + text + b"}"
            self.refusal(signed(b'{"alg":"HS256"' + more, json.dumps(CLAIMS).encode()))
            self.refusal(signed(b'{"alg":"HS256"}', json.dumps(CLAIMS).encode()[:-1] + more))

    def test_bombs(self) -> None:
        """Deep JSON and endless numbers are refused, without any other exception."""
        for bomb in ("[" * 3000, "[" * 2000 + "]" * 2000, '{"a":' * 500, "1" * 4500, "9" * 4500):
            more = f',"x":{bomb}}}'.encode()
            self.refusal(signed(b'{"alg":"HS256"' + more, json.dumps(CLAIMS).encode()))
            self.refusal(signed(b'{"alg":"HS256"}', json.dumps(CLAIMS).encode()[:-1] + more))
        wide = json.dumps({**CLAIMS, "x": [[]] * 256}).encode()
        self.assertIn("opening brackets", self.refusal(signed(b'{"alg":"HS256"}', wide)))
        nested = {**CLAIMS, "resource_access": {f"client-{n}": {"roles": ["a", "b"]} for n in range(50)}}
        verifier().verify(token(nested), NOW)


class ClaimTests(TokenCase):
    """What a token with a good signature says."""

    def test_value(self) -> None:
        """The claims come out as they went in; what is missing is empty, 0, or the lowest role."""
        self.assertEqual(
            verifier().verify(token(), NOW),
            Claims("6f1c0a52", "lab_technician", "ada@lab.example", "s-1", NOW + 600, NOW - 60, NOW - 60),
        )
        least = token({"sub": "u", "exp": NOW + 1})
        self.assertEqual(verifier(Jwt()).verify(least, NOW), Claims("u", "guest", "", "", NOW + 1, 0.0, 0.0))

    def test_edges(self) -> None:
        """A token holds until just before exp, from nbf and iat on, each with the leeway of 10 s."""
        for moved, holds in ((-10.0, False), (-9.5, True), (0, True), (600, True)):
            self.assertHolds({**CLAIMS, "exp": NOW + moved}, holds)
        for name in ("nbf", "iat"):
            for moved, holds in ((-600, True), (0, True), (10, True), (10.5, False), (1e9, False)):
                self.assertHolds({**CLAIMS, name: NOW + moved}, holds)

    def test_kept(self) -> None:
        """Claims that are kept can be held against the clock again."""
        against = verifier(evolve(STRICT, leeway=Seconds(0.0)))
        claims = against.verify(token(), NOW)
        against.check_time(claims, NOW + 599.5)
        self.assertRaises(TokenRefused, against.check_time, claims, NOW + 600)
        self.assertRaises(TokenRefused, against.check_time, claims, NOW - 61)

    def test_times(self) -> None:
        """A time is a finite number; an absurd one is taken for the nearest that is not."""
        for name in ("exp", "nbf", "iat"):
            self.assertClaimRefused(name, None, True, "1", str(NOW), [], {}, [NOW + 600])
            for text in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999"):
                claims = json.dumps({**CLAIMS, name: 0}).replace(f'"{name}": 0', f'"{name}": {text}')
                self.refusal(signed(b'{"alg":"HS256"}', claims.encode()))
        for value in (10**30, 10**4000, 1e300, LAST_MOMENT + 1):
            self.assertEqual(verifier().verify(token({**CLAIMS, "exp": value}), NOW).expires, LAST_MOMENT)
            self.assertClaimRefused("nbf", value)
        for value in (-1, -(10**4000), -1e300):
            self.assertClaimRefused("exp", value)
            self.assertEqual(verifier().verify(token({**CLAIMS, "nbf": value}), NOW).not_before, 0.0)
        self.refusal(token({name: value for name, value in CLAIMS.items() if name != "exp"}))

    def test_issuer(self) -> None:
        """A configured issuer is matched exactly."""
        texts = ("", "tracseq", "tracseq-auth/", "TRACSEQ-AUTH")
        self.assertClaimRefused("iss", *texts, None, 1, ["tracseq-auth"], {"tracseq-auth": 1})
        self.refusal(token({name: value for name, value in CLAIMS.items() if name != "iss"}))

    def test_audience(self) -> None:
        """A configured audience is the token's, or one in its list of texts."""
        for audience in ("tracseq", ["tracseq"], ["x", "tracseq"]):
            verifier().verify(token({**CLAIMS, "aud": audience}), NOW)
        self.assertClaimRefused("aud", "", "trac", "tracseq-evil", None, 1, {"tracseq": 1})
        self.assertClaimRefused("aud", [], ["x"], [["tracseq"]], ["tracseq", 1])
        self.refusal(token({name: value for name, value in CLAIMS.items() if name != "aud"}))

    def test_texts(self) -> None:
        """What goes into header fields is text that can stand there; the subject is visible ASCII, and not empty."""
        for name in ("sub", "email", "jti"):
            self.assertClaimRefused(name, None, 1, True, [], {}, "x" * 257)
            self.assertClaimRefused(name, "a\r\nb", "a\nb", "a\0b", "\ud800", " a", "a ", "a\x7f", "\u2028")
            self.assertHolds({**CLAIMS, name: "x" * 256}, True)
        self.assertClaimRefused("sub", "", "a b", "ä")
        self.refusal(token({name: value for name, value in CLAIMS.items() if name != "sub"}))

    def test_role(self) -> None:
        """An unknown role refuses the token: it does not fall back to the lowest."""
        self.assertClaimRefused("role", None, "", "admin", "Guest", "guest ", 0, [], ["guest"], {})


GOOD = [
    (algorithm, jwt.encode(CLAIMS, private_key(algorithm), algorithm, {"kid": "k"}).encode())
    for algorithm in ("HS256", "ES256", "EdDSA")
]
ALL = evolve(STRICT, algorithms=tuple(ALGORITHMS))
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
EDITS = st.lists(
    st.tuples(st.sampled_from(["set", "insert", "delete", "cut", "repeat"]), st.integers(0), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


def edited(raw: bytes, edits: list[tuple[str, int, int]]) -> bytes:
    """A token after some edits at some places."""
    for kind, place, byte in edits:
        at = place % (len(raw) + 1)
        if kind == "set":
            raw = raw[:at] + bytes([byte]) + raw[at + 1 :]
        elif kind == "insert":
            raw = raw[:at] + bytes([byte]) + raw[at:]
        elif kind == "delete":
            raw = raw[:at] + raw[at + 1 :]
        elif kind == "cut":
            raw = raw[:at]
        else:
            raw = raw[:at] + raw[at : at + byte] + raw[at:]
    return raw


class AnythingTests(TokenCase):
    """Whatever comes, it is a verdict."""

    def verdict(self, raw: bytes) -> Claims | None:
        keys = KeySet([Key(algorithm, "k", public_key(algorithm)) for algorithm, _ in GOOD])
        try:
            return verifier(ALL, keys).verify(raw, NOW)
        except TokenRefused as refused:
            self.assertTrue(refused.reason.isprintable(), refused.reason)
            return None

    @settings(max_examples=400, deadline=None)
    @given(st.sampled_from(GOOD), EDITS)
    def test_edited(self, good: tuple[str, bytes], edits: list[tuple[str, int, int]]) -> None:
        """A good token with any byte changed is refused."""
        raw = edited(good[1], edits)
        self.assertEqual(self.verdict(raw) is not None, raw == good[1])

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=64) | st.lists(st.binary(max_size=24).map(segment), max_size=5).map(b".".join))
    def test_bytes(self, raw: bytes) -> None:
        """Any bytes are refused."""
        self.assertIsNone(self.verdict(raw))

    @settings(max_examples=200, deadline=None)
    @given(
        st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "b64"]) | st.text(), JSON_VALUES),
        st.dictionaries(st.sampled_from([*CLAIMS]) | st.text(), JSON_VALUES),
    )
    def test_values(self, header: dict[str, Any], claims: dict[str, Any]) -> None:
        """Any values, honestly signed, give claims or a refusal."""
        self.verdict(token({**CLAIMS, **claims}, {"kid": "k", **header}))
        self.verdict(token({**CLAIMS, **claims}, {"kid": "k"}))
