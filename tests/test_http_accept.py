"""What a client would rather have, by its Accept field."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.http.accept import prefers_html, quality

FIREFOX = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class AcceptTests(SynchronousTestCase):
    def test_quality(self) -> None:
        """The most specific range that takes a type in decides, by its weight; what is not named is not wanted."""
        for accept, expected in {
            b"": 1.0,
            b" ": 1.0,
            b"*/*": 1.0,
            b"text/*;q=0.5": 0.5,
            b"text/html;q=0.3, text/*;q=0.9, */*": 0.3,
            b"*/*;q=0.1, TEXT/HTML": 1.0,
            b"text/html ; Q=0.25": 0.25,
            b"text/html;level=1;q=0.7": 0.7,
            b"text/html;q=0": 0.0,
            b"application/json": 0.0,
            b"text/htmlx, text": 0.0,
            b",,": 0.0,
        }.items():
            self.assertEqual(expected, quality(accept, b"text/html"), accept)

    def test_browsers(self) -> None:
        """Browsers want HTML more than JSON; curl, programs, and who does not say do not."""
        for accept in (FIREFOX, b"text/html", b"text/*", b"application/json;q=0.9, text/html"):
            self.assertTrue(prefers_html(accept), accept)
        for accept in (b"", b"*/*", b"application/json", b"text/html, application/json", b"text/html;q=0.5, */*"):
            self.assertFalse(prefers_html(accept), accept)
