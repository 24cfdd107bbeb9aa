"""Security headers: what the gateway's own answers have, and what becomes of what services say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config.policies import Security
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.security_headers import SecurityHeaders, is_telltale

HSTS = b"strict-transport-security"
FRAME = b"x-frame-options"
REFERRER = b"referrer-policy"
SNIFF = b"x-content-type-options"


def headers(**changed: Any) -> SecurityHeaders:
    """The headers of the default settings, but for these."""
    settings = Security()
    given: dict[str, Any] = {
        "hsts": settings.hsts,
        "frame": settings.frame,
        "referrer": settings.referrer,
        "permissions": settings.permissions,
        "content_policy": settings.content_policy,
    }
    return SecurityHeaders(**{**given, **changed})


def nothing(**changed: Any) -> SecurityHeaders:
    """No header but nosniff, and these."""
    empty: dict[str, Any] = dict.fromkeys(("hsts", "frame", "referrer", "permissions", "content_policy"), "")
    return headers(**{**empty, **changed})


class OwnTests(SynchronousTestCase):
    CLEAR = (
        b"x-content-type-options: nosniff\r\n"
        b"x-frame-options: DENY\r\n"
        b"referrer-policy: no-referrer\r\n"
        b"permissions-policy: camera=(), geolocation=(), microphone=()\r\n"
        b"content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
    )

    def test_clear(self) -> None:
        """Own answers carry all headers; over clear text without a promise of TLS."""
        self.assertEqual(headers().own_lines(False), self.CLEAR)

    def test_secure(self) -> None:
        """Over TLS the promise comes along."""
        hsts = b"strict-transport-security: max-age=31536000; includeSubDomains\r\n"
        self.assertEqual(headers().own_lines(True), self.CLEAR + hsts)

    def test_empty(self) -> None:
        """A header whose setting is empty is left out."""
        for secure in (False, True):
            self.assertEqual(nothing().own_lines(secure), b"x-content-type-options: nosniff\r\n")

    def test_values(self) -> None:
        """What would be more than one field is refused when it is configured."""
        for name in ("hsts", "frame", "referrer", "permissions", "content_policy"):
            for text in ("a\r\nset-cookie: b", "a\nb", "a\0", " a", "caf\u00e9"):
                error = self.assertRaises(ValueError, headers, **{name: text})
                self.assertIn(repr(text), str(error))


class CompleteTests(SynchronousTestCase):
    PAIRS: Fields = [(b"content-type", b"text/html"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]

    def test_missing(self) -> None:
        """What a service does not say is added behind its fields, which stay in their order."""
        self.assertEqual(
            headers().complete(self.PAIRS),
            [
                *self.PAIRS,
                (SNIFF, b"nosniff"),
                (FRAME, b"DENY"),
                (REFERRER, b"no-referrer"),
                (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
            ],
        )

    def test_input_unchanged(self) -> None:
        """The fields that are given are not changed."""
        pairs = [*self.PAIRS, (b"server", b"x"), (FRAME, b"ALLOWALL")]
        before = list(pairs)
        headers().complete(pairs)
        self.assertEqual(pairs, before)

    def test_policies_of_content_and_permissions(self) -> None:
        """A service's content policy is its own affair, and its permissions policy cannot be compared with ours."""
        pairs = [(b"content-security-policy", b"default-src *"), (b"permissions-policy", b"camera=*")]
        completed = headers().complete(pairs)
        self.assertEqual([pair for pair in completed if pair[0] in dict(pairs)], pairs)
        names = [name for name, _ in headers().complete([])]
        self.assertNotIn(b"content-security-policy", names)

    def check(self, rules: SecurityHeaders, name: bytes, values: list[bytes], kept: bool, own: bytes) -> None:
        """Check whether a service's values of one field are kept, or replaced by ours."""
        found = [value for key, value in rules.complete([(name, value) for value in values]) if key == name]
        self.assertEqual(found, values if kept else [own], values)

    def test_frames(self) -> None:
        """DENY is stricter than SAMEORIGIN, and both than what browsers do not know; ours replaces what is laxer."""
        table: list[tuple[str, list[bytes], bool]] = [
            ("DENY", [b"DENY"], True),
            ("DENY", [b"deny"], True),
            ("DENY", [b"SAMEORIGIN"], False),
            ("DENY", [b"ALLOW-FROM https://evil.test"], False),
            ("DENY", [b"ALLOWALL"], False),
            ("DENY", [b""], False),
            ("DENY", [b"SAMEORIGIN, ALLOWALL"], False),
            ("DENY", [b"SAMEORIGIN, DENY"], True),
            ("DENY", [b"SAMEORIGIN", b"DENY"], True),
            ("SAMEORIGIN", [b"DENY"], True),
            ("SAMEORIGIN", [b"sameorigin"], True),
            ("SAMEORIGIN", [b"ALLOWALL"], False),
            ("SAMEORIGIN", [b"DENY;"], False),
        ]
        for own, values, kept in table:
            self.check(headers(frame=own), FRAME, values, kept, own.encode())
        self.check(headers(frame=""), FRAME, [b"ALLOWALL"], True, b"")

    def test_referrers(self) -> None:
        """The policy that tells other origins more is replaced; of several the last that browsers know counts."""
        order = [
            b"no-referrer",
            b"same-origin",
            b"strict-origin",
            b"strict-origin-when-cross-origin",
            b"origin",
            b"origin-when-cross-origin",
            b"no-referrer-when-downgrade",
            b"unsafe-url",
        ]
        for place, own in enumerate(order):
            for other, theirs in enumerate(order):
                for value in (theirs, theirs.upper(), b"x, " + theirs, theirs + b", x", b"no-referrer, " + theirs):
                    self.check(headers(referrer=own.decode()), REFERRER, [value], other <= place, own)
        for value in (b"", b"x", b"never", b"no-referrer unsafe-url"):
            self.check(headers(), REFERRER, [value], False, b"no-referrer")
        self.check(headers(), REFERRER, [b"no-referrer", b"unsafe-url"], False, b"no-referrer")
        self.check(headers(), REFERRER, [b"unsafe-url", b"no-referrer"], True, b"no-referrer")
        self.check(headers(referrer="some-later-policy"), REFERRER, [b"unsafe-url"], True, b"")
        self.check(headers(referrer=""), REFERRER, [b"unsafe-url"], True, b"")

    def test_sniffing(self) -> None:
        """Whatever is not nosniff is replaced by it, also where all else is off."""
        for values in ([b"nosniff"], [b"NoSniff"], [b"nosniff, x"], [b"nosniff", b"x"]):
            self.check(nothing(), SNIFF, values, True, b"")
        for values in ([b"none"], [b""], [b"x, nosniff"], [b"x", b"nosniff"], [b"nosniff;"]):
            self.check(nothing(), SNIFF, values, False, b"nosniff")

    def test_telltale(self) -> None:
        """What tells what a service runs on is known by its name, and nothing else is taken for it."""
        for name in (b"server", b"x-powered-by", b"x-aspnet-version", b"x-aspnetmvc-version", b"x-runtime"):
            self.assertTrue(is_telltale(name), name)
        for name in (b"x-server", b"server-timing", b"via", b"x-powered-by-x", b"content-type"):
            self.assertFalse(is_telltale(name), name)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([FRAME, REFERRER, SNIFF, HSTS, b"permissions-policy", b"server", b"content-type"]),
                st.sampled_from([b"", b"DENY", b"nosniff", b"no-referrer", b"unsafe-url, x", b"max-age=9", b"x"]),
            ),
            max_size=6,
        )
    )
    def test_once(self, pairs: Fields) -> None:
        """What was completed is complete: doing it again changes nothing."""
        rules = headers()
        completed = rules.complete(pairs)
        self.assertEqual(rules.complete(completed), completed)
        self.assertLessEqual({SNIFF, FRAME, REFERRER, b"permissions-policy"}, {name for name, _ in completed})


class PromiseTests(SynchronousTestCase):
    OWN = "max-age=1000; includeSubDomains"

    def line(self, *values: bytes, own: str = OWN) -> bytes:
        """What a service's answer gets over TLS."""
        return headers(hsts=own).hsts_line([(HSTS, value) for value in values])

    def test_apart(self) -> None:
        """A service's promise never stays among its fields: over clear text there is none."""
        for value in (b"max-age=99999999", b"max-age=0", b"x"):
            self.assertNotIn(HSTS, dict(headers().complete([(HSTS, value)])))
            self.assertNotIn(HSTS, dict(nothing().complete([(HSTS, value)])))

    def test_kept(self) -> None:
        """A promise for longer, or as long and as wide, is the service's own."""
        for value in (
            b"max-age=1001",
            b"max-age=1000; includeSubDomains",
            b"MAX-AGE = 1000 ;INCLUDESUBDOMAINS",
            b'max-age="2000"',
            b"includeSubDomains; max-age=1000; preload",
        ):
            self.assertEqual(self.line(value), HSTS + b": " + value + b"\r\n")

    def test_replaced(self) -> None:
        """A shorter or narrower one is replaced, and so is what browsers would not understand."""
        ours = HSTS + b": " + self.OWN.encode() + b"\r\n"
        self.assertEqual(self.line(), ours)
        for value in (
            b"max-age=999; includeSubDomains",
            b"max-age=1000",
            b"max-age=0",
            b"",
            b"max-age",
            b"max-age=-5",
            b"max-age=1e9",
            b'max-age="2000',
            b"max-age=2000; max-age=2000",
            b"x-max-age=2000",
            b"max-age=2000, max-age=3000",
        ):
            self.assertEqual(self.line(value), ours, value)

    def test_first(self) -> None:
        """Of several, browsers take the first (RFC 6797 section 8.1), and so does the gateway."""
        self.assertEqual(self.line(b"max-age=5", b"max-age=9999"), self.line())
        self.assertEqual(self.line(b"max-age=9999", b"max-age=5"), HSTS + b": max-age=9999\r\n")

    def test_none(self) -> None:
        """Where the gateway promises nothing, the service's word stands; without either there is no line."""
        self.assertEqual(self.line(own=""), b"")
        self.assertEqual(self.line(b"max-age=5", own=""), HSTS + b": max-age=5\r\n")
