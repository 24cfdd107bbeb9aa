"""Cross-origin requests: which origins are allowed, and what browsers are told."""

from __future__ import annotations

from typing import Any

from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import request, request_parser
from tracseq_gateway.config import policies
from tracseq_gateway.http.cors import LONGEST_ASKED, MOST_ASKED, OriginLines, OriginRules, Preflights, drops_cors
from tracseq_gateway.http.fields import Fields
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.middleware.chain import Answer
from tracseq_gateway.middleware.cors import Cors

VARY = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

ALLOWED: dict[str, list[bytes]] = {
    "https://tracseq.com": [
        b"https://tracseq.com",
        b"https://TracSeq.COM",
        b"HTTPS://tracseq.com",
        b"https://tracseq.com:443",
    ],
    "https://tracseq.com:443": [b"https://tracseq.com"],
    "http://localhost:3000": [b"http://localhost:3000"],
    "http://[::1]:3000": [b"http://[::1]:3000"],
    "capacitor://localhost": [b"capacitor://localhost"],
    "https://*.tracseq.com": [
        b"https://a.tracseq.com",
        b"https://A.TRACSEQ.COM",
        b"https://xn--bcher-kva.tracseq.com",
        b"https://a_b.tracseq.com",
        b"https://a.tracseq.com:443",
    ],
    "https://**.tracseq.com": [b"https://a.tracseq.com", b"https://b.a.tracseq.com", b"https://d.c.b.a.tracseq.com"],
    "https://*.tracseq.com:8443": [b"https://a.tracseq.com:8443"],
}

REFUSED: dict[str, list[bytes]] = {
    "https://tracseq.com": [
        b"http://tracseq.com",
        b"https://tracseq.com:444",
        b"https://tracseq.com:0443",
        b"https://tracseq.com:80",
        b"https://www.tracseq.com",
        b"https://tracseq.com.",
        b"wss://tracseq.com",
        b"tracseq.com",
        b"//tracseq.com",
    ],
    "http://localhost:3000": [b"http://localhost", b"http://localhost:30000", b"https://localhost:3000"],
    "https://*.tracseq.com": [
        b"https://tracseq.com",
        b"https://.tracseq.com",
        b"https://b.a.tracseq.com",
        b"https://a..tracseq.com",
        b"https://*.tracseq.com",
        b"https://eviltracseq.com",
        b"https://evil-tracseq.com",
        b"https://a.eviltracseq.com",
        b"https://tracseq.com.evil.test",
        b"https://a.tracseq.com.evil.test",
        b"https://a.tracseq.com@evil.test",
        b"https://a.tracseq.com:pass@evil.test",
        b"https://evil.test@a.tracseq.com",
        b"https://evil.test/.tracseq.com",
        b"https://evil.test?.tracseq.com",
        b"https://evil.test#.tracseq.com",
        b"https://evil.test\\.tracseq.com",
        b"https://evil.test%2f.tracseq.com",
        b"https://evil.test%00.tracseq.com",
        b"https://evil.test,.tracseq.com",
        b"https://a.tracseq.com:444",
        b"https://a.tracseq.com:",
        b"https://a.tracseq.com:443x",
        b"https://a.tracseq.com:99999",
        b"https://a.tracseq.com:+443",
        b"http://a.tracseq.com",
        b"http://a.tracseq.com:443",
        b"https:/a.tracseq.com",
        b"https:a.tracseq.com",
        b"https://a.tracseq.com/",
        b"https://a.tracseq.com/x",
        b"https://a.tracseq.com\n",
        b" https://a.tracseq.com",
        b"https://a.tracseq.com https://b.tracseq.com",
        b"https://a.tracseq.com, https://evil.test",
        b"https://b\xc3\xbccher.tracseq.com",
        b"https://a.tracseq\xe3\x80\x82com",
        b"https://a.trac\xc5\xbfeq.com",
        b"null",
        b"Null",
        b"*",
        b"",
        b"https://",
        b"https://" + b"a" * 5000 + b".tracseq.com",
        b"https://" + b"a." * 2500 + b"tracseq.com",
    ],
    "https://**.tracseq.com": [
        b"https://tracseq.com",
        b"https://.tracseq.com",
        b"https://a..tracseq.com",
        b"https://eviltracseq.com",
        b"https://a.eviltracseq.com",
        b"https://a.tracseq.com.evil.test",
        b"https://b.a.tracseq.com:444",
        b"http://b.a.tracseq.com",
    ],
}

NO_PATTERNS = [
    "",
    "null",
    "tracseq.com",
    "*.tracseq.com",
    "https://",
    "https://*",
    "https://**",
    "https://*.",
    "https://*.*.tracseq.com",
    "https://a.*.com",
    "https://a*.tracseq.com",
    "https://***.tracseq.com",
    "https://tracseq.com/",
    "https://tracseq.com/app",
    "https://user@tracseq.com",
    "https://tracseq.com:*",
    "https://tracseq.com:0",
    "https://tracseq.com:65536",
    "https://b\u00fccher.example",
    "https://trac seq.com",
    "https://*.[::1]",
]


class OriginTests(SynchronousTestCase):
    def test_allowed(self) -> None:
        """An origin is allowed by its scheme, host and port, whatever their case, with or without a default port."""
        for pattern, origins in ALLOWED.items():
            rules = OriginRules([pattern])
            for origin in origins:
                self.assertTrue(rules.allows(origin), (pattern, origin))

    def test_refused(self) -> None:
        """No prefix, suffix, user, port, path, encoding or length makes an origin out of another."""
        for pattern, origins in REFUSED.items():
            rules = OriginRules([pattern])
            for origin in origins:
                self.assertFalse(rules.allows(origin), (pattern, origin))

    def test_several(self) -> None:
        """Each pattern allows what it allows alone, and nothing that they would allow if they were mixed."""
        rules = OriginRules(["http://localhost:3000", "https://*.tracseq.com", "https://**.lab.test:8443"])
        for origin in (b"http://localhost:3000", b"https://a.tracseq.com", b"https://b.a.lab.test:8443"):
            self.assertTrue(rules.allows(origin), origin)
        for origin in (b"https://localhost:3000", b"https://a.tracseq.com:8443", b"https://b.a.lab.test"):
            self.assertFalse(rules.allows(origin), origin)
        self.assertFalse(OriginRules([]).allows(b"https://a.tracseq.com"))

    def test_any(self) -> None:
        """A star alone allows every origin, that of a sandboxed frame too."""
        rules = OriginRules(["*"])
        self.assertTrue(all(map(rules.allows, (b"https://evil.test", b"null", b"http://localhost:1"))))

    def test_no_patterns(self) -> None:
        """What is no pattern is refused when it is read, and named."""
        for pattern in NO_PATTERNS:
            error = self.assertRaises(ValueError, OriginRules, [pattern])
            self.assertIn(repr(pattern), str(error))

    @given(st.lists(st.sampled_from(["a", "b", "tracseq", "com", "evil", ""]), min_size=1, max_size=6))
    def test_labels(self, labels: list[str]) -> None:
        """A star is one whole label, two stars are one or more, and the rest of the host is the rest of the host."""
        host = ".".join(labels)
        whole = labels[-2:] == ["tracseq", "com"] and all(labels)
        for stars, most in (("*", 1), ("**", 4)):
            allowed = OriginRules([f"https://{stars}.tracseq.com"]).allows(f"https://{host}".encode())
            self.assertEqual(allowed, whole and 1 <= len(labels) - 2 <= most, host)


class LinesTests(SynchronousTestCase):
    def lines(self, *patterns: str, exposed: tuple[str, ...] = (), credentials: bool = False) -> OriginLines:
        return OriginLines(OriginRules(patterns), exposed, credentials=credentials)

    def test_allowed(self) -> None:
        """An allowed origin is named as it was sent, with what scripts may read, and the answer varies by it."""
        lines = self.lines("https://*.tracseq.com", exposed=("X-Request-Id", "RateLimit"), credentials=True)
        expected = (
            b"access-control-allow-origin: https://A.tracseq.com\r\n"
            b"access-control-allow-credentials: true\r\n"
            b"access-control-expose-headers: X-Request-Id, RateLimit\r\n"
            b"vary: Origin\r\n"
        )
        for _ in range(2):
            self.assertEqual(lines[b"https://A.tracseq.com"], expected)
        self.assertEqual(
            self.lines("https://a.test")[b"https://a.test"],
            b"access-control-allow-origin: https://a.test\r\nvary: Origin\r\n",
        )

    def test_refused_or_missing(self) -> None:
        """A refused origin, and none at all, gets nothing but the word that it matters."""
        lines = self.lines("https://a.test", exposed=("X-Request-Id",), credentials=True)
        self.assertEqual(lines.without, b"vary: Origin\r\n")
        for origin in (b"https://b.test", b"null", b"https://" + b"a" * 5000):
            self.assertEqual(lines[origin], b"vary: Origin\r\n")

    def test_any(self) -> None:
        """Where any origin is allowed, every answer says so alike, and varies by nothing."""
        lines = self.lines("*", "https://a.test", exposed=("RateLimit",))
        expected = b"access-control-allow-origin: *\r\naccess-control-expose-headers: RateLimit\r\n"
        self.assertEqual({lines.without, lines[b"https://a.test"], lines[b"null"], lines[b"\xff"]}, {expected})

    def test_any_with_credentials(self) -> None:
        """Any origin with credentials is refused when it is configured."""
        self.assertRaises(ValueError, self.lines, "*", credentials=True)

    def test_bounded(self) -> None:
        """However many origins come, and however long ones, few are remembered."""
        lines = self.lines("https://*.tracseq.com")
        most = 0
        for number in range(5000):
            lines[b"https://%d.tracseq.com" % number]
            most = max(most, len(lines))
        self.assertLessEqual(most, 1024)
        lines.clear()
        lines[b"https://" + b"a" * 5000 + b".tracseq.com"]
        self.assertEqual(len(lines), 0)
        open_lines = self.lines("*")
        open_lines[b"https://a.test"]
        self.assertEqual(len(open_lines), 0)

    def test_names(self) -> None:
        """What cannot be a field's name is refused when it is configured."""
        for name in ("", "X Y", "X:Y", "X\r\nY: Z", "caf\u00e9"):
            error = self.assertRaises(ValueError, self.lines, "https://a.test", exposed=(name,))
            self.assertIn(repr(name), str(error))

    def test_drops(self) -> None:
        """All that a service says of other origins is dropped, and nothing else."""
        for name in (b"access-control-allow-origin", b"access-control-allow-private-network", b"access-control-x"):
            self.assertTrue(drops_cors(name))
        for name in (b"access-control", b"vary", b"x-access-control-allow-origin", b"origin"):
            self.assertFalse(drops_cors(name))


REFUSAL: Fields = [(b"vary", VARY)]


class PreflightTests(SynchronousTestCase):
    def preflights(
        self,
        *patterns: str,
        methods: tuple[str, ...] = ("GET", "POST", "PATCH"),
        headers: tuple[str, ...] = ("*",),
        credentials: bool = False,
    ) -> Preflights:
        rules = OriginRules(patterns or ["https://*.tracseq.com"])
        return Preflights(rules, methods, headers, 600, credentials=credentials)

    def test_granted(self) -> None:
        """An allowed question is answered with the origin, all methods, the names asked for, and for how long."""
        asked = b"authorization,\tX-Request-Id , content-type"
        fields = self.preflights(credentials=True).answer(b"https://a.tracseq.com", b"PATCH", asked)
        self.assertEqual(
            fields,
            [
                (b"vary", VARY),
                (b"access-control-allow-origin", b"https://a.tracseq.com"),
                (b"access-control-allow-methods", b"GET, POST, PATCH"),
                (b"access-control-allow-headers", b"authorization, X-Request-Id, content-type"),
                (b"access-control-max-age", b"600"),
                (b"access-control-allow-credentials", b"true"),
            ],
        )

    def test_nothing_asked(self) -> None:
        """Where no names are asked for, none are allowed; empty elements of the list are none (RFC 9110, 5.6.1)."""
        for asked in (None, b"", b" , ,"):
            names = [name for name, _ in self.preflights().answer(b"https://a.tracseq.com", b"GET", asked)]
            self.assertNotIn(b"access-control-allow-headers", names)
            self.assertIn(b"access-control-allow-origin", names)

    def test_any(self) -> None:
        """Where any origin is allowed, the answer is a star for every origin."""
        for origin in (b"https://evil.test", b"null"):
            fields = self.preflights("*").answer(origin, b"GET", None)
            self.assertIn((b"access-control-allow-origin", b"*"), fields)

    def test_star_is_no_name(self) -> None:
        """Who asks for a field of the name ``*`` is refused: told back, it would mean any field."""
        for headers in (("*",), ("*", "Content-Type"), ("Content-Type",)):
            for asked in (b"*", b"content-type, *"):
                self.assertEqual(
                    len(self.preflights(headers=headers).answer(b"https://a.tracseq.com", b"GET", asked)), 1, asked
                )

    def test_named_headers(self) -> None:
        """Where names are configured, those may be asked for in any case, and no other."""
        preflights = self.preflights(headers=("Authorization", "Content-Type"))
        for asked in (b"authorization", b"CONTENT-TYPE,authorization", b""):
            fields = preflights.answer(b"https://a.tracseq.com", b"GET", asked)
            self.assertIn((b"access-control-allow-headers", b"Authorization, Content-Type"), fields)
        for asked in (b"x-other", b"authorization, x-other", b"author", b"*", b"authorization;"):
            self.assertEqual(preflights.answer(b"https://a.tracseq.com", b"GET", asked), REFUSAL, asked)

    def test_refused(self) -> None:
        """An origin or method that is not allowed, and names that are none, get no field but Vary."""
        preflights = self.preflights()
        questions: list[tuple[bytes, bytes, bytes | None]] = [
            (b"https://evil.test", b"GET", None),
            (b"null", b"GET", None),
            (b"", b"GET", None),
            (b"https://a.tracseq.com", b"DELETE", None),
            (b"https://a.tracseq.com", b"get", None),
            (b"https://a.tracseq.com", b"patch", None),
            (b"https://a.tracseq.com", b"GET, POST", None),
            (b"https://a.tracseq.com", b"", None),
            (b"https://a.tracseq.com", b"*", None),
            (b"https://a.tracseq.com", b"GET", b"x y"),
            (b"https://a.tracseq.com", b"GET", b"x:y"),
            (b"https://a.tracseq.com", b"GET", b"x\xff"),
            (b"https://a.tracseq.com", b"GET", b'"x"'),
            (b"https://a.tracseq.com", b"GET", b"x" * (LONGEST_ASKED + 1)),
            (b"https://a.tracseq.com", b"GET", b",".join([b"x"] * (MOST_ASKED + 1))),
        ]
        for question in questions:
            self.assertEqual(preflights.answer(*question), REFUSAL, question)

    def test_settings(self) -> None:
        """Methods must be named, and names must be names."""
        for settings in ({"methods": ("*",)}, {"methods": ("G T",)}, {"headers": ("X Y",)}, {"headers": ("",)}):
            error = self.assertRaises(ValueError, self.preflights, **settings)
            self.assertIn(repr(next(iter(settings.values()))[0]), str(error))


@define
class FakeRequest:
    """What the link looks at."""

    head: RequestHead
    answer_lines: bytes = b""


class LinkTests(SynchronousTestCase):
    SETTINGS = policies.Cors(
        enabled=True, allow_origins=("https://*.tracseq.com",), allow_credentials=True, expose_headers=("RateLimit",)
    )
    ORIGIN = b"Origin: https://a.tracseq.com"
    LINES = (
        b"access-control-allow-origin: https://a.tracseq.com\r\naccess-control-allow-credentials: true\r\n"
        b"access-control-expose-headers: RateLimit\r\nvary: Origin\r\n"
    )

    def visit(self, *fields: bytes, method: bytes = b"GET", settings: policies.Cors = SETTINGS) -> tuple[Any, bytes]:
        """Send a request through the link: return its verdict, and the lines that the answer gets."""
        fake: Any = FakeRequest(request_parser().parse(request(b"/samples", *fields, method=method)), b"a: b\r\n")
        return Cors(settings).link(fake), fake.answer_lines

    def test_actual_request(self) -> None:
        """A request goes on to its service, whatever its origin; its answer gets the lines of that origin."""
        for method in (b"GET", b"POST", b"DELETE", b"OPTIONS"):
            self.assertEqual(self.visit(self.ORIGIN, method=method), (None, b"a: b\r\n" + self.LINES))
            for fields in ([], [b"Origin: https://evil.test"], [b"Origin: null"], [b"Origin:"]):
                self.assertEqual(self.visit(*fields, method=method), (None, b"a: b\r\nvary: Origin\r\n"))

    def test_any(self) -> None:
        """Where any origin is allowed, answers to requests without one say so too: a cache may serve them to all."""
        settings = policies.Cors(enabled=True, allow_origins=("*",), expose_headers=())
        for fields in ([], [b"Origin: https://evil.test"]):
            self.assertEqual(
                self.visit(*fields, settings=settings), (None, b"a: b\r\naccess-control-allow-origin: *\r\n")
            )

    def test_preflight(self) -> None:
        """A preflight is answered here, with 204, and adds nothing that would come twice."""
        verdict, lines = self.visit(
            self.ORIGIN,
            b"Access-Control-Request-Method: DELETE",
            b"Access-Control-Request-Headers: authorization",
            method=b"OPTIONS",
        )
        assert isinstance(verdict, Answer)
        self.assertEqual((verdict.head.status, verdict.body, lines), (204, b"", b"a: b\r\n"))
        self.assertEqual(
            dict(verdict.head.pairs),
            {
                b"vary": VARY,
                b"access-control-allow-origin": b"https://a.tracseq.com",
                b"access-control-allow-methods": b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
                b"access-control-allow-headers": b"authorization",
                b"access-control-max-age": b"86400",
                b"access-control-allow-credentials": b"true",
            },
        )

    def test_refused_preflight(self) -> None:
        """A refused preflight is answered with 204 and no word of permission; no service hears of it."""
        cases = [
            [b"Origin: https://evil.test", b"Access-Control-Request-Method: GET"],
            [b"Origin: null", b"Access-Control-Request-Method: GET"],
            [b"Origin:", b"Access-Control-Request-Method: GET"],
            [self.ORIGIN, b"Access-Control-Request-Method: TRACE"],
            [self.ORIGIN, b"Access-Control-Request-Method:"],
            [self.ORIGIN, b"Access-Control-Request-Method: GET", b"Access-Control-Request-Headers: x y"],
        ]
        for fields in cases:
            verdict, _ = self.visit(*fields, method=b"OPTIONS")
            self.assertEqual((verdict.head.status, verdict.head.pairs), (204, REFUSAL), fields)

    def test_private_network(self) -> None:
        """A page from outside that asks for the private network is not told that it may have it."""
        verdict, _ = self.visit(
            self.ORIGIN,
            b"Access-Control-Request-Method: GET",
            b"Access-Control-Request-Private-Network: true",
            method=b"OPTIONS",
        )
        self.assertNotIn(b"access-control-allow-private-network", dict(verdict.head.pairs))

    def test_no_preflight(self) -> None:
        """Only OPTIONS with an Origin and a method that is asked for is a preflight."""
        for method, fields in (
            (b"OPTIONS", [b"Access-Control-Request-Method: GET"]),
            (b"OPTIONS", [self.ORIGIN]),
            (b"GET", [self.ORIGIN, b"Access-Control-Request-Method: GET"]),
        ):
            self.assertIsNone(self.visit(*fields, method=method)[0])

    def test_wrong_settings(self) -> None:
        """Settings that would open every door, or none, are refused when the gateway is built."""
        for wrong in (
            policies.Cors(allow_origins=("*",), allow_credentials=True),
            policies.Cors(allow_origins=("tracseq.com",)),
            policies.Cors(allow_methods=("*",)),
        ):
            self.assertRaises(ValueError, Cors, wrong)
