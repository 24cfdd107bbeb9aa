"""Conditional requests, to services and by clients."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.http.conditional import fields_of_304, freshened, holds, is_unmodified, question

MONDAY, TUESDAY = b"Mon, 01 Jun 2026 00:00:00 GMT", b"Tue, 02 Jun 2026 00:00:00 GMT"
NOW = 1_790_000_000.0


class QuestionTests(SynchronousTestCase):
    def test_question(self) -> None:
        """A service is asked by all the validators that it gave, as far as they are well formed."""
        for kept, expected in (
            ([(b"etag", b'W/"1"')], b'if-none-match: W/"1"\r\n'),
            ([(b"last-modified", MONDAY)], b"if-modified-since: %b\r\n" % MONDAY),
            (
                [(b"etag", b'"a,b"'), (b"last-modified", MONDAY)],
                b'if-none-match: "a,b"\r\nif-modified-since: %b\r\n' % MONDAY,
            ),
            ([(b"etag", b"unquoted"), (b"last-modified", b"yesterday")], b""),
            ([], b""),
        ):
            self.assertEqual(expected, question(kept))

    def test_holds(self) -> None:
        """A 304 is about what is kept unless it names another entity."""
        for theirs, expected in ((b'"1"', True), (b'W/"1"', True), (b'"2"', False)):
            self.assertEqual(expected, holds([(b"etag", b'"1"')], [(b"etag", theirs)]))
        self.assertTrue(holds([(b"etag", b'"1"')], []))
        self.assertTrue(holds([], [(b"etag", b'"1"')]))

    def test_freshened(self) -> None:
        """The fields of a 304 take the place of those that are kept, but for what describes the body."""
        kept = [(b"x", b"1"), (b"x", b"2"), (b"y", b"1"), (b"age", b"9"), (b"content-encoding", b"gzip")]
        news = [(b"x", b"3"), (b"content-encoding", b"br"), (b"content-length", b"0"), (b"date", MONDAY)]
        expected = [(b"y", b"1"), (b"content-encoding", b"gzip"), (b"x", b"3"), (b"date", MONDAY)]
        self.assertEqual(expected, freshened(kept, news))


class ClientTests(SynchronousTestCase):
    def test_none_match(self) -> None:
        """An entity tag matches weakly, in any place of the list; a field without any tag matches nothing."""
        kept = [(b"etag", b'"1,2"'), (b"last-modified", MONDAY)]
        for value, expected in (
            (b'"1,2"', True),
            (b'W/"1,2"', True),
            (b'"x", W/"1,2"', True),
            (b"*", True),
            (b'"1"', False),
            (b"1,2", False),
            (b"", False),
        ):
            self.assertEqual(expected, is_unmodified([(b"if-none-match", value)], kept, NOW), value)
        several = [(b"if-none-match", b'"x"'), (b"if-none-match", b'"1,2"')]
        self.assertTrue(is_unmodified(several, kept, NOW))
        self.assertFalse(is_unmodified([(b"if-none-match", b'"1"')], [], NOW))

    def test_precedence(self) -> None:
        """If-Modified-Since says nothing beside If-None-Match."""
        asked = [(b"if-none-match", b'"2"'), (b"if-modified-since", TUESDAY)]
        self.assertFalse(is_unmodified(asked, [(b"etag", b'"1"'), (b"last-modified", MONDAY)], NOW))

    def test_modified_since(self) -> None:
        """What has not changed since is not given again; what has no Last-Modified changed when it was made."""
        for kept in ([(b"last-modified", MONDAY)], [(b"date", MONDAY)]):
            self.assertTrue(is_unmodified([(b"if-modified-since", MONDAY)], kept, NOW))
            self.assertTrue(is_unmodified([(b"if-modified-since", TUESDAY)], kept, NOW))
            self.assertFalse(is_unmodified([(b"if-modified-since", b"yesterday")], kept, NOW))
        self.assertFalse(is_unmodified([(b"if-modified-since", MONDAY)], [(b"last-modified", TUESDAY)], NOW))
        self.assertFalse(is_unmodified([], [(b"last-modified", MONDAY)], NOW))

    def test_304(self) -> None:
        """A 304 repeats what tells answers apart and how fresh they are; Last-Modified only without an ETag."""
        kept = [(b"etag", b'"1"'), (b"last-modified", MONDAY), (b"content-type", b"a/b"), (b"vary", b"accept")]
        self.assertEqual([(b"etag", b'"1"'), (b"vary", b"accept")], fields_of_304(kept))
        self.assertEqual([(b"vary", b"accept"), (b"last-modified", MONDAY)], fields_of_304(kept[1:]))
