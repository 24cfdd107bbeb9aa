"""HTTP dates."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.http.dates import format_date, parse_date

NOW = 1_780_000_000.0


class DateTests(SynchronousTestCase):
    @given(st.integers(0, 4_000_000_000))
    def test_round(self, moment: int) -> None:
        """What is written is read as what it was."""
        self.assertEqual(moment, parse_date(format_date(moment), NOW))

    def test_forms(self) -> None:
        """All three forms of RFC 9110 are read, and nothing else is a date."""
        for value, expected in {
            b"Sun, 06 Nov 1994 08:49:37 GMT": 784111777,
            b"Sunday, 06-Nov-94 08:49:37 GMT": 784111777,
            b"Sun Nov  6 08:49:37 1994": 784111777,
            b"Friday, 06-Nov-76 08:49:37 GMT": 3371878177,  # not more than 50 years ahead of 2026
            b"Saturday, 06-Nov-77 08:49:37 GMT": 247653,
            b"Fri, 31 Dec 1999 23:59:60 GMT": 946684799,
            b"0": None,
            b"": None,
            b"Sun, 6 Nov 1994 08:49:37 GMT": None,
            b"Sun, 06 Nov 1994 8:49:37 GMT": None,
            b"Sun, 06 nov 1994 08:49:37 GMT": None,
            b"Sun, 06 Nov 1994 08:49:37 UTC": None,
            b"Sun, 06 Nov 1994 08:49:37 GMT ": None,
            b"Sun, 31 Feb 1994 08:49:37 GMT": None,
            b"Sun, 06 Nov 1994 24:00:00 GMT": None,
            b"Sun, 06 Nov 1994 08:49:61 GMT": None,
            b"Sun, 06 Nov 0000 08:49:37 GMT": None,
        }.items():
            if value.startswith(b"Saturday"):
                found = parse_date(value, NOW)
                assert found is not None
                self.assertEqual(b"Sun, 06 Nov 1977 08:49:37 GMT", format_date(found))
            else:
                self.assertEqual(expected, parse_date(value, NOW), value)
