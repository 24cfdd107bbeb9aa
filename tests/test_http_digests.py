"""Digest fields: how they are read, what they claim, and whether a body is what they say."""

from __future__ import annotations

import base64
from hashlib import sha256, sha512

from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import request_parser
from tracseq_gateway.errors import BAD_REQUEST, DIGEST_MISMATCH, RequestRefused
from tracseq_gateway.http.byte_sequences import byte_sequences
from tracseq_gateway.http.digest_fields import DigestCheck, claims_of
from tracseq_gateway.http.request_head import RequestHead

BODY = b'{"hello": "world"}'
SHA_256 = b":X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
"""As RFC 9530 has it for this body, without a line feed (appendix B)."""


def written(digest: bytes) -> bytes:
    return b":%b:" % base64.b64encode(digest)


def head(*lines: bytes, method: bytes = b"PUT") -> RequestHead:
    """A request's head with these lines."""
    return request_parser().parse(
        method + b" / HTTP/1.1\r\nHost: a\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    )


class DictionaryTests(SynchronousTestCase):
    def test_read(self) -> None:
        """Keys and bytes are read, with parameters and white space passed over; the last of a key holds."""
        for text, expected in (
            (b"", {}),
            (b"a=::", {b"a": b""}),
            (b"  a=:aGk=:  ", {b"a": b"hi"}),
            (b"a=:aGk=:,b=:aG8=:", {b"a": b"hi", b"b": b"ho"}),
            (b"a=:aGk=: \t,\t b=:aG8=:", {b"a": b"hi", b"b": b"ho"}),
            (b"a=:aGk=:, a=:aG8=:", {b"a": b"ho"}),
            (b"*-._9=:aGk=:", {b"*-._9": b"hi"}),
            (
                b'a=:aGk=:;q;r=1;s=-1.5;  t="x;\\"";u=tok/en:;v=:aa:;w=?1;x=@1;y=%"%c3%a4", b=:aG8=:',
                {b"a": b"hi", b"b": b"ho"},
            ),
        ):
            self.assertEqual(byte_sequences(text), expected, text)

    def test_malformed(self) -> None:
        """Anything else is an error, which says where."""
        for text in (
            b"a", b"a=", b"a=1", b'a="aGk="', b"a=token", b"a=?1", b"a=(:aGk=:)", b"a=aGk=", b"a=:aGk=", b"a=:a Gk=:",
            b"A=:aGk=:", b"1=:aGk=:", b"=:aGk=:", b"a =:aGk=:", b"a= :aGk=:", b"a=:aGk=:,", b",a=:aGk=:",
            b"a=:aGk=:, ,b=:aG8=:",
            b"a=:aGk=: b=:aG8=:", b"a=:aGk=:;", b"a=:aGk=: ;q", b"a=:aGk=:;Q", b"a=:aGk=:;q=", b'a=:aGk=:;q="',
            b"a=:aGk=:x",
            b"a=:aGk:", b"a=:=aGk:", b"a=:aGk==:", b"a=:aG-_:", b"a=:aGk=:\tb", b"\ta=:aGk=:",
            b"a=:aGk=:;q=1234567890123456",
            b"sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", b"\xc3\xa4=:aGk=:",
        ):  # fmt: skip
            with self.assertRaises(ValueError, msg=text):
                byte_sequences(text)

    def test_long(self) -> None:
        """A field as long as a head may be takes no more time than its length explains."""
        for text in (b"a=:" + b"A" * 60000, b"a=::;" + b" " * 60000, b"a=::" + b";a=1" * 15000 + b"!", b"a" * 60000):
            self.assertRaises(ValueError, byte_sequences, text)


class ClaimTests(SynchronousTestCase):
    def fields(self, *lines: bytes, method: bytes = b"PUT") -> list[tuple[str, str]]:
        return [(claim.field, claim.algorithm) for claim in claims_of(head(*lines, method=method))]

    def test_none(self) -> None:
        """Most heads claim nothing."""
        self.assertEqual(self.fields(), [])
        self.assertEqual(self.fields(b"Want-Content-Digest: sha-256=10", b"Want-Repr-Digest: sha-256=1"), [])

    def test_both(self) -> None:
        """Both fields and both algorithms are looked at, in whatever lines and spelling of their names they come."""
        long = written(bytes(64))
        self.assertEqual(
            self.fields(
                b"CONTENT-DIGEST: sha-256=" + SHA_256,
                b"Content-digest: sha-512=" + long,
                b"repr-digest: sha-512=" + long,
            ),
            [("Content-Digest", "sha-256"), ("Content-Digest", "sha-512"), ("Repr-Digest", "sha-512")],
        )

    def test_passed_over(self) -> None:
        """Obsolete and unknown algorithms say nothing here, nor do the fields of older times."""
        self.assertEqual(
            self.fields(b"Content-Digest: md5=:aGk=:, unixsum=:aGk=:, sha=:aGk=:, sha-384=:aGk=:, adler=:aGk=:"), []
        )
        self.assertEqual(self.fields(b"Digest: SHA-256=nonsense", b"Content-MD5: nonsense"), [])

    def test_representation(self) -> None:
        """Repr-Digest is of the content where that is a whole representation, and only there."""
        line = b"Repr-Digest: sha-256=" + SHA_256
        for method in (b"PUT", b"POST"):
            self.assertEqual(len(self.fields(line, method=method)), 1)
            for part in (b"Content-Range: bytes 0-9/20", b"Upload-Complete: ?0", b"Tus-Resumable: 1.0.0"):
                self.assertEqual(self.fields(line, part, method=method), [])
        for method in (b"PATCH", b"DELETE", b"GET"):
            self.assertEqual(self.fields(line, method=method), [])
            self.assertEqual(len(self.fields(line.replace(b"Repr", b"Content"), method=method)), 1)

    def test_refused(self) -> None:
        """A field that cannot be read, or has a digest of the wrong length, is refused with its name."""
        for value in (b"sha-256=nonsense", b"sha-256=:aGk=:", b"sha-512=" + SHA_256, b"md5=1", b"sha-256"):
            with self.assertRaises(RequestRefused) as caught:
                claims_of(head(b"Content-Digest: " + value))
            error = caught.exception.error
            self.assertEqual(error.kind, BAD_REQUEST)
            self.assertTrue(error.detail.startswith("Content-Digest: "), error.detail)


class CheckTests(SynchronousTestCase):
    def judge(self, *lines: bytes, pieces: tuple[bytes, ...] = (BODY[:7], BODY[7:])) -> tuple[object, ...]:
        check = DigestCheck(claims_of(head(*lines)))
        for piece in pieces:
            check.take(piece)
        error = check.end()
        return () if error is None else (error.kind, *(value for _, value in error.members))

    def test_right(self) -> None:
        """What is claimed is so, of pieces as of the whole."""
        both = b"Content-Digest: sha-256=%b, sha-512=%b" % (SHA_256, written(sha512(BODY).digest()))
        self.assertEqual(self.judge(both), ())
        self.assertEqual(self.judge(both, both.replace(b"Content", b"Repr"), pieces=(BODY,)), ())
        self.assertEqual(self.judge(b"Content-Digest: sha-256=" + written(sha256().digest()), pieces=()), ())

    def test_wrong(self) -> None:
        """What is not so is named: the field, the algorithm, and what would have been right."""
        right = SHA_256.decode("ascii")
        wrong = b"sha-256=" + written(bytes(32))
        self.assertEqual(self.judge(b"Content-Digest: " + wrong), (DIGEST_MISMATCH, "Content-Digest", "sha-256", right))
        self.assertEqual(
            self.judge(b"Content-Digest: sha-256=" + SHA_256, b"Repr-Digest: " + wrong),
            (DIGEST_MISMATCH, "Repr-Digest", "sha-256", right),
        )
        longer = b"Content-Digest: sha-256=%b, sha-512=%b" % (SHA_256, written(bytes(64)))
        self.assertEqual(self.judge(longer)[:3], (DIGEST_MISMATCH, "Content-Digest", "sha-512"))
