"""The identity headers and their signature."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.config import Authentication
from tracseq_gateway.identity.signing import (
    MOST_KEPT,
    SIGNED_SECONDS,
    IdentitySigner,
    identity_lines,
    is_field_text,
    verify,
)
from tracseq_gateway.interfaces import Identity

NOW = 1_772_359_200.25
KEY = b"k" * 32


def user(**rest: Any) -> Identity:
    return Identity("user", **{"subject": "u-1", "role": "lab_technician", "email": "a@b.c", "session": "s-1", **rest})


def headers(lines: bytes) -> dict[bytes, bytes]:
    """The headers by name, as a service has them."""
    pairs = [line.partition(b": ") for line in lines.removesuffix(b"\r\n").split(b"\r\n")]
    named = {name: value for name, _, value in pairs}
    assert len(named) == len(pairs)
    return named


class LinesTests(SynchronousTestCase):
    """``identity_lines`` and what may stand in them."""

    def test_user(self) -> None:
        """A user has four lines, each with its CRLF."""
        self.assertEqual(
            b"x-user-id: u-1\r\nx-user-email: a@b.c\r\nx-user-role: lab_technician\r\nx-session-id: s-1\r\n",
            identity_lines(user()),
        )

    def test_empty(self) -> None:
        """What is empty has no line."""
        key = Identity("key", "sequencer-7", "guest", key_name="seq")
        self.assertEqual(b"x-user-id: sequencer-7\r\nx-user-role: guest\r\n", identity_lines(key))

    def test_utf8(self) -> None:
        """A letter beyond ASCII is UTF-8 on the wire."""
        self.assertIn("x-user-email: jürgen@lab.de\r\n".encode(), identity_lines(user(email="jürgen@lab.de")))

    def test_fieldText(self) -> None:
        """Control characters, line separators, outer spaces and long texts are not fit for a header."""
        for text in ("", "a", "a b", "ü", "x" * 256):
            self.assertTrue(is_field_text(text), text)
        for text in ("a\r\nb", "a\nb", "a\0", "\x7f", "a\x85b", "a\u2028b", " a", "a ", "\ud800", "x" * 257):
            self.assertFalse(is_field_text(text), repr(text))

    def test_invariant(self) -> None:
        """An identity that would write a header of its own is never written."""
        with self.assertRaises(AssertionError):
            identity_lines(user(email="a@b.c\r\nx-user-role: lab_administrator"))


class SignatureTests(SynchronousTestCase):
    """``IdentitySigner`` and ``verify``."""

    def setUp(self) -> None:
        self.now = NOW
        self.signer = IdentitySigner(KEY, lambda: self.now)

    def test_value(self) -> None:
        """The signature is as documented: computed once with openssl from the five lines, it is the same."""
        lines = self.signer.lines(user())
        self.assertEqual(
            b"t=1772359200,v1=08cb1d24b713f06fd046714e153df29f99f55773f74ef6ed1a8799ade4e43164",
            headers(lines)[b"x-identity-signature"],
        )

    def test_verified(self) -> None:
        """A service that has the key finds the signature good, with headers that are missing, too."""
        for identity in (user(), user(email="", session=""), user(email="jürgen@lab.de")):
            self.assertTrue(verify(headers(self.signer.lines(identity)), KEY, NOW))

    def test_forged(self) -> None:
        """Whatever is changed, added, removed or signed with another key is found out."""
        good = headers(self.signer.lines(user()))
        self.assertFalse(verify(good, b"K" * 32, NOW))
        for name in good:
            self.assertFalse(verify({**good, name: good[name] + b"x"}, KEY, NOW), name)
            self.assertFalse(verify({other: good[other] for other in good if other != name}, KEY, NOW), name)
        moved = {**good, b"x-user-id": good[b"x-user-email"], b"x-user-email": good[b"x-user-id"]}
        self.assertFalse(verify(moved, KEY, NOW))
        without = headers(self.signer.lines(user(email="")))
        self.assertFalse(verify({**without, b"x-user-email": b"a@b.c"}, KEY, NOW))

    def test_age(self) -> None:
        """An old signature is refused, and one from the future."""
        good = headers(self.signer.lines(user()))
        verdicts = [verify(good, KEY, NOW + seconds, tolerance=60) for seconds in (-62, -59, 59, 62)]
        self.assertEqual([False, True, True, False], verdicts)

    def test_kept(self) -> None:
        """A caller's lines are made anew after half a minute, and when the clock was set back."""
        identity = user()
        first = self.signer.lines(identity)
        self.now += SIGNED_SECONDS - 1
        self.assertIs(first, self.signer.lines(identity))
        self.now += 1
        second = self.signer.lines(identity)
        self.assertIn(b"t=%d," % self.now, second)
        self.now -= 3600
        self.assertIn(b"t=%d," % self.now, self.signer.lines(identity))

    def test_notMistaken(self) -> None:
        """Two callers never get each other's lines, even when one is gone and the other stands where it stood."""
        for number in range(100):
            self.assertIn(b"x-user-id: u-%d\r\n" % number, self.signer.lines(user(subject=f"u-{number}")))

    def test_bounded(self) -> None:
        """Lines are kept for a bounded number of callers."""
        signer = IdentitySigner(None, lambda: self.now)
        for number in range(MOST_KEPT + 10):
            signer.lines(user(subject=str(number)))
        self.assertLessEqual(len(signer._kept), MOST_KEPT)

    def test_unsigned(self) -> None:
        """Without a key there is no signature."""
        identity = user()
        self.assertEqual(identity_lines(identity), IdentitySigner(None, lambda: self.now).lines(identity))

    def test_key(self) -> None:
        """The key comes from the variable of the configuration; a short one is refused by the variable's name."""
        settings = Authentication(identity_key_env="LAB_KEY")

        def lines(environ: dict[str, str]) -> bytes:
            return IdentitySigner.of(settings, environ, lambda: NOW).lines(user())

        self.assertEqual(self.signer.lines(user()), lines({"LAB_KEY": KEY.decode()}))
        for environ in ({}, {"LAB_KEY": ""}, {"TRACSEQ_IDENTITY_KEY": KEY.decode()}):
            self.assertEqual(identity_lines(user()), lines(environ))
        with self.assertRaises(ValueError) as raised:
            lines({"LAB_KEY": "k" * 31})
        self.assertIn("LAB_KEY: 31 bytes are too short", str(raised.exception))
