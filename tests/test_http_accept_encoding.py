"""Which coding a client gets, by its Accept-Encoding field; and entity tags."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import request_parser
from tracseq_gateway.http.accept_encoding import CodingChoice, choose, weights
from tracseq_gateway.http.etag import tags, weakened

ALL = (b"zstd", b"br", b"gzip")

NAMES = st.sampled_from([b"gzip", b"x-gzip", b"br", b"zstd", b"deflate", b"identity", b"*", b"GZIP"])
WEIGHTS = st.sampled_from([b"", b";q=0", b";q=0.5", b"; Q=0.25", b";q=1", b";q=1.000", b";q=2", b";x=1"])
FIELDS = st.lists(st.builds(lambda name, weight: name + weight, NAMES, WEIGHTS), max_size=6).map(b", ".join)


class ChoiceTests(SynchronousTestCase):
    def test_choose(self) -> None:
        """The highest weight wins, then our own order; what is not named has the weight of the star."""
        for accepted, chosen in {
            b"": None,
            b" , ,": None,
            b"gzip": b"gzip",
            b"GZip": b"gzip",
            b"x-gzip": b"gzip",
            b"gzip, deflate": b"gzip",
            b"gzip, deflate, br, zstd": b"zstd",
            b"gzip;q=1.0, br;q=0.9": b"gzip",
            b"gzip;q=0.9 , br ; q=0.95": b"br",
            b"*": b"zstd",
            b"*;q=0.1": b"zstd",
            b"zstd;q=0, *": b"br",
            b"gzip;q=0.2, *;q=0.1": b"gzip",
            b"deflate, compress": None,
            b"gzip;q=0": None,
            b"gzip;q=0.000, br": b"br",
            b"*;q=0": None,
            b"identity": None,
            b"identity;q=1, *;q=0": None,
            b"identity, gzip": b"gzip",
            b"identity, gzip;q=0.5": None,
            b"identity;q=0.5, gzip": b"gzip",
            b"identity;q=0, gzip;q=0.001": b"gzip",
            b"identity;q=0": None,
            b"identity;q=0, deflate": None,
            b"gzip;q=2, br;q=0.1": b"br",
            b"gzip;q=0.1234": None,
            b"gzip;q=": None,
            b"gzip;q=0, gzip": None,
            b"gzipped, br7": None,
        }.items():
            self.assertEqual(chosen, choose(accepted, ALL), accepted)

    def test_star_stands_for_identity_too(self) -> None:
        """A star that wants anything else more than what there is wants the answer as it is."""
        self.assertIsNone(choose(b"gzip;q=0.1, *;q=0.5", (b"gzip",)))
        self.assertEqual(b"br", choose(b"gzip;q=0.1, *;q=0.5", (b"br", b"gzip")))

    @given(FIELDS)
    def test_neverWhatIsRefused(self, accepted: bytes) -> None:
        """What is chosen is offered, has a weight above nothing, and none that is offered has a higher one."""
        wanted, chosen = weights(accepted), choose(accepted, ALL)
        others = wanted.get(b"*", 0.0)
        if chosen is not None:
            weight = wanted.get(chosen, others)
            self.assertGreater(weight, 0)
            for name in (*ALL, b"identity"):
                self.assertLessEqual(wanted.get(name, others), weight)

    @given(st.lists(FIELDS, max_size=20))
    def test_kept(self, fields: list[bytes]) -> None:
        """A choice that is kept is the one that would be made."""
        choice = CodingChoice(ALL)
        for accepted in [*fields, *fields]:
            self.assertEqual(choose(accepted, ALL), choice(accepted))

    def test_bounded(self) -> None:
        """However many different fields come, few are kept, and none that is long."""
        choice = CodingChoice(ALL)
        for number in range(1000):
            self.assertEqual(b"gzip", choice(b"gzip, x%d" % number))
        self.assertEqual(b"gzip", choice(b"gzip" + b", x" * 1000))
        self.assertLessEqual(len(choice._known), 256)
        self.assertLess(max(map(len, choice._known)), 257)


class FieldTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """Several lines are one list; no line is an empty one."""
        head = b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n"
        lines = b"Accept-Encoding: br\r\nX: y\r\nACCEPT-ENCODING: gzip;q=0.5\r\n"
        self.assertEqual(b"br, gzip;q=0.5", request_parser().parse(head % lines).fields.accept_encoding)
        self.assertEqual(b"", request_parser().parse(head % b"").fields.accept_encoding)


class TagTests(SynchronousTestCase):
    def test_weakened(self) -> None:
        """A strong tag becomes a weak one; a weak one stays."""
        self.assertEqual([b'W/"a"', b'W/"a"'], [weakened(b'"a"'), weakened(b'W/"a"')])

    def test_tags(self) -> None:
        """A condition is taken apart as its grammar says, commas within tags or not."""
        self.assertEqual([b'"a"', b'W/"b,c"', b'""'], tags(b'"a", W/"b,c",""'))
        self.assertEqual([], tags(b"*"))
