"""What RFC 9111 says of answers and requests, as tables: directives, freshness, age, what may be kept and given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.http.caching.control import FOREVER, Directives, directives_of, directives_of_request
from tracseq_gateway.http.caching.freshness import initial_age, lifetime
from tracseq_gateway.http.caching.reuse import serves_while, use_of
from tracseq_gateway.http.caching.status import StatusMember
from tracseq_gateway.http.caching.storing import is_shared, why_not
from tracseq_gateway.http.caching.vary import MOST_NAMES, variant, varies_by
from tracseq_gateway.http.dates import format_date
from tracseq_gateway.http.fields import Fields

NOW = 1_780_000_000.0
TOKENS = st.from_regex(rb"[a-z][a-z0-9-]{0,8}", fullmatch=True)


def control(*values: bytes) -> Directives:
    return Directives(values)


class DirectivesTests(SynchronousTestCase):
    def test_read(self) -> None:
        """Names are read in any case, arguments as tokens or in quotes, over all lines."""
        found = control(b'Max-Age=5, , Private="a, b" ,x="\\"q\\""', b"no-store")
        self.assertEqual(5, found.seconds(b"max-age"))
        self.assertEqual(b"a, b", found.argument(b"private"))
        self.assertEqual(b'"q"', found.argument(b"x"))
        self.assertIn(b"no-store", found)
        self.assertNotIn(b"no-cache", found)

    def test_seconds(self) -> None:
        """Only digits are seconds, in quotes or not, and what is said twice in different ways is not said."""
        for value, expected in {
            b"": None,
            b"max-age=0": 0,
            b'max-age="60"': 60,
            b"max-age=060": 60,
            b"max-age=2147483648": FOREVER,
            b"max-age=99999999999999999999": FOREVER,
            b"max-age": -1,
            b"max-age=": None,
            b"max-age=-1": -1,
            b"max-age=1.5": -1,
            b"max-age='60'": -1,
            b"max-age=60a": -1,
            b"max-age=60, max-age=60": 60,
            b"max-age=60, max-age=61": -1,
            b"max-age=60, max-age": -1,
            b"max-age =60": None,
            b"max-age= 60": None,
        }.items():
            self.assertEqual(expected, control(value).seconds(b"max-age"), value)

    def test_malformed(self) -> None:
        """What cannot be read hides nothing that follows it."""
        for value in (b"max-age= 60, no-store", b'x="unclosed, no-store', b"(,no-store", b"=, no-store,"):
            self.assertIn(b"no-store", control(value), value)

    @given(st.binary(max_size=60))
    def test_any(self, value: bytes) -> None:
        """Whatever comes is read, and a no-store at the end is always seen."""
        self.assertIn(b"no-store", control(value, b"no-store"))

    @given(st.lists(st.tuples(TOKENS, TOKENS), max_size=5, unique_by=lambda pair: pair[0]))
    def test_round(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """What was written is read as what it was, in both forms."""
        for form in (b"%b=%b", b'%b="%b"'):
            found = control(b", ".join(form % pair for pair in pairs))
            self.assertEqual(pairs, [(name, found.argument(name)) for name, _ in pairs])

    def test_pragma(self) -> None:
        """Pragma counts in requests, and only where there is no Cache-Control."""
        self.assertIn(b"no-cache", directives_of_request([(b"pragma", b"No-Cache")]))
        self.assertNotIn(
            b"no-cache", directives_of_request([(b"pragma", b"no-cache"), (b"cache-control", b"max-age=1")])
        )
        self.assertNotIn(b"no-cache", directives_of_request([(b"pragma", b"other")]))
        self.assertNotIn(b"no-cache", directives_of([(b"pragma", b"no-cache")]))


def says(*pairs: tuple[bytes, bytes]) -> int | None:
    fields = list(pairs)
    return lifetime(fields, directives_of(fields), NOW)


class FreshnessTests(SynchronousTestCase):
    def test_lifetime(self) -> None:
        """What is for shared caches comes first, then max-age, then Expires; what is malformed is stale."""
        date, later = (b"date", format_date(NOW - 100)), (b"expires", format_date(NOW))
        for pairs, expected in (
            ((), None),
            (((b"last-modified", format_date(0)),), None),
            (((b"cache-control", b"public"),), None),
            (((b"cache-control", b"max-age=5, s-maxage=9"), later), 9),
            (((b"cache-control", b"max-age=5"), later, date), 5),
            (((b"cache-control", b"max-age=x"), later, date), 0),
            (((b"cache-control", b"s-maxage=x, max-age=5"),), 0),
            ((later, date), 100),
            ((later,), 0),
            ((date, (b"expires", b"0")), 0),
            ((date, later, (b"expires", format_date(NOW + 1))), 0),
            ((date, later, later), 100),
        ):
            self.assertEqual(expected, says(*pairs), pairs)

    def test_age(self) -> None:
        """An answer is as old as the worst of what is known says (RFC 9111 section 4.2.3)."""
        date = (b"date", format_date(NOW - 30))
        for pairs, asked, expected in (
            ((), NOW, 0),
            ((), NOW - 2, 2),
            ((date,), NOW - 2, 30),
            ((date, (b"age", b"50")), NOW - 2, 52),
            (((b"date", format_date(NOW + 500)),), NOW, 0),
            (((b"date", b"nonsense"),), NOW, 0),
            (((b"age", b"-1"),), NOW, FOREVER),
            (((b"age", b"1"), (b"age", b"1")), NOW, FOREVER),
        ):
            self.assertEqual(expected, initial_age(list(pairs), asked, NOW), pairs)


def reason(
    said: bytes, *pairs: tuple[bytes, bytes], asked: bytes = b"", status: int = 200, personal: bool = False
) -> str | None:
    fields: Fields = [(b"cache-control", said), *pairs]
    found = directives_of(fields)
    return why_not(control(asked), status, fields, found, lifetime(fields, found, NOW), personal=personal)


class StoringTests(SynchronousTestCase):
    def test_table(self) -> None:
        """An answer is kept if it says so itself, and if nothing forbids it."""
        etag, cookie = (b"etag", b'"1"'), (b"set-cookie", b"a=b")
        self.assertIsNone(reason(b"max-age=60"))
        self.assertIsNone(reason(b"no-cache", etag))
        self.assertIsNone(reason(b"max-age=0", etag))
        self.assertIsNone(reason(b"max-age=60", status=404))
        self.assertIsNone(reason(b"must-understand, no-store, max-age=60"))
        for expected, found in (
            ("no-store", reason(b"max-age=60, no-store")),
            ("no-store", reason(b"max-age=60", asked=b"no-store")),
            ("private", reason(b"max-age=60, private")),
            ("private", reason(b'max-age=60, private="x"')),
            ("set-cookie", reason(b"max-age=60", cookie)),
            ("vary", reason(b"max-age=60", (b"vary", b"*"))),
            ("status 206", reason(b"max-age=60", status=206)),
            ("status 304", reason(b"max-age=60", status=304)),
            ("must-understand", reason(b"must-understand, max-age=60", status=599)),
            ("says nothing", reason(b"", etag)),
            ("stale at once", reason(b"no-cache")),
            ("stale at once", reason(b"max-age=0")),
            ("stale at once", reason(b"max-age=abc")),
        ):
            self.assertEqual(expected, found)

    def test_personal(self) -> None:
        """What was asked with a credential is kept only if it is said to be for all (section 3.5)."""
        for said, shared in (
            (b"max-age=60", False),
            (b"max-age=60, public", True),
            (b"s-maxage=60", True),
            (b"max-age=60, must-revalidate", True),
            (b"max-age=60, proxy-revalidate", False),
        ):
            self.assertEqual(shared, is_shared(control(said)), said)
            self.assertEqual(None if shared else "personal", reason(said, personal=True), said)


class ReuseTests(SynchronousTestCase):
    def test_table(self) -> None:
        """What is given, what is asked about, and why."""
        for asked, said, fresh_for, age, expected in (
            (b"", b"", 60, 59.5, "fresh"),
            (b"", b"", 60, 60, "expired"),
            (b"no-cache", b"", 60, 1, "asked"),
            (b"", b"no-cache", 60, 1, "expired"),
            (b"max-age=0", b"", 60, 1, "asked"),
            (b"max-age=x", b"", 60, 1, "asked"),
            (b"min-fresh=10", b"", 60, 50, "fresh"),
            (b"min-fresh=11", b"", 60, 50, "asked"),
            (b"min-fresh=x", b"", 60, 1, "asked"),
            (b"max-stale", b"", 60, 10_000, "stale"),
            (b"max-stale=10", b"", 60, 70, "stale"),
            (b"max-stale=9", b"", 60, 70, "expired"),
            (b"max-stale=x", b"", 60, 70, "expired"),
            (b"max-stale", b"must-revalidate", 60, 70, "expired"),
            (b"max-stale", b"proxy-revalidate", 60, 70, "expired"),
            (b"max-stale", b"s-maxage=60", 60, 70, "expired"),
            (b"max-stale, max-age=65", b"", 60, 70, "asked"),
        ):
            self.assertEqual(expected, use_of(control(asked), control(said), fresh_for, age), (asked, said, age))

    def test_stale(self) -> None:
        """RFC 5861 lets an answer be given for a while longer, unless it forbids that in another way."""
        for said, staleness, expected in (
            (b"stale-if-error=10", 10, True),
            (b"stale-if-error=10", 10.5, False),
            (b"stale-if-error", 0, False),
            (b"stale-while-revalidate=10", 1, False),
            (b"stale-if-error=10, must-revalidate", 1, False),
            (b"", 0, False),
        ):
            self.assertEqual(expected, serves_while(control(said), b"stale-if-error", staleness), said)


class VaryTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Names come from all lines, in any case; an answer that fits no other request has none."""
        self.assertEqual((), varies_by([(b"x", b"y")]))
        self.assertEqual((b"a", b"b"), varies_by([(b"vary", b"B, a ,"), (b"vary", b"A")]))
        for value in (b"*", b"a, *", b"X-Request-Id", b", ".join(b"f%d" % n for n in range(MOST_NAMES + 1))):
            self.assertIsNone(varies_by([(b"vary", value)]))

    def test_values(self) -> None:
        """Values that mean the same are the same; a missing field is no empty one, nor do fields run together."""
        names = (b"accept-encoding", b"x")

        def of(*seen: tuple[bytes, bytes]) -> bytes:
            return variant(names, list(seen))

        gzip = of((b"accept-encoding", b"gzip, br"))
        self.assertEqual(gzip, of((b"accept-encoding", b"BR"), (b"other", b"1"), (b"accept-encoding", b"gzip")))
        self.assertNotEqual(gzip, of((b"accept-encoding", b"gzip")))
        self.assertNotEqual(of(), of((b"x", b"")))
        self.assertNotEqual(of((b"x", b"a, b")), of((b"x", b"b, a")))
        self.assertEqual(of((b"x", b"a,b")), of((b"x", b"a"), (b"x", b" b")))
        self.assertEqual(16, len(gzip))

    @given(st.lists(st.tuples(st.sampled_from((b"a", b"b")), st.binary(max_size=4)), max_size=4))
    def test_others(self, seen: list[tuple[bytes, bytes]]) -> None:
        """Fields that are not named make no difference."""
        self.assertEqual(variant((b"x",), []), variant((b"x",), seen))


class StatusTests(SynchronousTestCase):
    def test_members(self) -> None:
        """The members of RFC 9211 as it has them: a hit, or why the request went on, never both."""
        member = StatusMember("gw")
        for expected, found in (
            (b"gw; hit; ttl=5", member.hit(5.9)),
            (b"gw; hit; ttl=-1", member.hit(-0.1)),
            (b"gw; fwd=uri-miss", member.passed("uri-miss")),
            (b"gw; fwd=stale; fwd-status=304", member.passed("stale", status=304)),
            (b"gw; fwd=vary-miss; stored", member.passed("vary-miss", stored=True)),
            (b"gw; fwd=uri-miss; collapsed", member.collapsed("uri-miss")),
        ):
            self.assertEqual(expected, found)
