"""What compression makes of the head of an answer, and which answers it leaves alone."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.compression_kit import JSON
from tracseq_gateway.compression.heads import encoded, is_encodable, not_modified, varied
from tracseq_gateway.compression.media_types import MediaTypes
from tracseq_gateway.config.compression import Compression
from tracseq_gateway.http.outgoing import OutgoingHead

TYPES = MediaTypes(Compression().types)


def head(*pairs: tuple[bytes, bytes], status: int = 200) -> OutgoingHead:
    """The head of an answer of a service."""
    return OutgoingHead(status, b"Fine", [JSON, *pairs], 5000, dated=True, of_service=True, over_tls=b"x: y\r\n")


class TypeTests(SynchronousTestCase):
    def test_types(self) -> None:
        """Text, JSON, XML, scripts and vector images are compressed; images, archives and event streams are not."""
        for kind in (
            b"text/html; charset=utf-8",
            b"TEXT/CSV",
            b"application/json",
            b"application/json;charset=utf-8",
            b"application/problem+json",
            b"application/atom+xml",
            b"image/svg+xml",
            b"application/javascript ; x",
            b"application/wasm",
        ):
            for _ in range(2):
                self.assertIn(kind, TYPES)
        for kind in (b"", b"image/png", b"application/zip", b"x/json", b"application/jsonp", b"text", b"font/woff2"):
            self.assertNotIn(kind, TYPES)

    def test_eventStreams(self) -> None:
        """A stream of events is compressed only when it is named itself."""
        self.assertNotIn(b"text/event-stream", TYPES)
        self.assertNotIn(b"text/event-stream;charset=utf-8", TYPES)
        self.assertIn(b"text/event-stream", MediaTypes(["text/*", "text/event-stream"]))

    def test_bounded(self) -> None:
        """However many different fields come, few are kept, and none that is long."""
        types = MediaTypes(["text/*"])
        for number in range(1000):
            self.assertIn(b"text/x%d" % number, types)
        self.assertIn(b"text/" + b"x" * 1000, types)
        self.assertLessEqual(len(types._known), 256)


class EncodableTests(SynchronousTestCase):
    def test_statuses(self) -> None:
        """Only successes with a body of their own are encoded."""
        encodable = [status for status in range(100, 600) if is_encodable(head(status=status), TYPES)]
        self.assertEqual([200, 201, 202, 203, *range(207, 300)], encodable)

    def test_leftAlone(self) -> None:
        """What is encoded already, in part, or not to be transformed stays as it is."""
        for pair in (
            (b"content-encoding", b"br"),
            (b"content-encoding", b"identity"),
            (b"content-range", b"bytes 0-4/10"),
            (b"cache-control", b"public, No-Transform"),
        ):
            self.assertFalse(is_encodable(head(pair), TYPES), pair)
        self.assertTrue(is_encodable(head((b"cache-control", b"public, max-age=5")), TYPES))
        self.assertFalse(is_encodable(OutgoingHead(200, b"", []), TYPES))


class HeadTests(SynchronousTestCase):
    def test_encoded(self) -> None:
        """The coding and Vary are said; the tag is weak; what describes other bytes is gone; the rest stays."""
        given = head(
            (b"etag", b'"a"'),
            (b"accept-ranges", b"bytes"),
            (b"repr-digest", b"sha-256=:YQ==:"),
            (b"content-digest", b"sha-256=:YQ==:"),
            (b"digest", b"x"),
            (b"content-md5", b"x"),
            (b"link", b"</x>"),
        )
        made = encoded(given, b"br", 70)
        vary = (b"vary", b"accept-encoding")
        self.assertEqual(
            [JSON, (b"etag", b'W/"a"'), (b"link", b"</x>"), (b"content-encoding", b"br"), vary], made.pairs
        )
        self.assertEqual((200, b"Fine", 70), (made.status, made.reason, made.length))
        self.assertEqual((True, True, b"x: y\r\n"), (made.dated, made.of_service, made.over_tls))
        self.assertEqual((8, 5000), (len(given.pairs), given.length))

    def test_vary(self) -> None:
        """Accept-Encoding stands in Vary once, beside what the service says, and not beside a star."""
        for theirs, added in (
            ([], [b"accept-encoding"]),
            ([b"Origin"], [b"accept-encoding"]),
            ([b"Origin, Accept-Encoding"], []),
            ([b"origin", b"accept-encoding"], []),
            ([b"*"], []),
            ([b"X-Accept-Encoding"], [b"accept-encoding"]),
        ):
            made = varied(head(*[(b"vary", value) for value in theirs]))
            self.assertEqual([*theirs, *added], [value for name, value in made.pairs if name == b"vary"])
            self.assertEqual(5000, made.length)

    def test_notModified(self) -> None:
        """Who asked with the weak tag of an encoded answer gets that tag back; everybody else the service's."""
        strong = OutgoingHead(304, b"", [(b"etag", b'"a"')], dated=True)
        made = not_modified(strong, b'"b", W/"a"')
        self.assertEqual([(b"etag", b'W/"a"'), (b"vary", b"accept-encoding")], made.pairs)
        for condition in (b"", b"*", b'"a"', b'"a", W/"a"', b'W/"b"'):
            self.assertIs(strong, not_modified(strong, condition))
        weak = OutgoingHead(304, b"", [(b"etag", b'W/"a"')])
        self.assertIs(weak, not_modified(weak, b'W/"a"'))
