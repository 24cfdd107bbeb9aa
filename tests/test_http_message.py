"""Request heads: what is refused with which status, and what a good one means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.kit_client import request_parser
from tracseq_gateway.errors import RequestRefused
from tracseq_gateway.http.request_head import METHODS, RequestHead

LINE_LIMIT, HEAD_LIMIT, FIELD_LIMIT = 8192, 65536, 100


def raw(line: bytes = b"GET / HTTP/1.1", *fields: bytes, host: bytes | None = b"gw.test") -> bytes:
    """Write a head from its request line and its field lines, with a Host unless ``host`` is None."""
    return b"\r\n".join([line, *([] if host is None else [b"Host: " + host]), *fields, b"", b""])


class HeadTestCase(SynchronousTestCase):
    def head(self, line: bytes = b"GET / HTTP/1.1", *fields: bytes, host: bytes | None = b"gw.test") -> RequestHead:
        """Read a head that is good."""
        return request_parser().parse(raw(line, *fields, host=host))

    def status(self, data: bytes, **limits: Any) -> int:
        """The status with which a head is refused; 0 if it is good."""
        try:
            request_parser(**limits).parse(data)
        except RequestRefused as refusal:
            return refusal.error.kind.status
        return 0

    def assertRefused(self, status: int, heads: Sequence[bytes]) -> None:
        """Each of these heads is refused with this status."""
        self.assertEqual({data[:200]: self.status(data) for data in heads}, {data[:200]: status for data in heads})


class LineTests(HeadTestCase):
    def test_parts(self) -> None:
        """Method, path, query and version are told apart; the query keeps every byte."""
        head = self.head(b'DELETE /a/./b?x=/../y&z=%2F?\\" HTTP/1.0')
        self.assertEqual((head.method, head.path, head.minor), (b"DELETE", b"/a/b", 0))
        self.assertEqual(head.query, b'?x=/../y&z=%2F?\\"')
        self.assertEqual(self.head(b"GET /? HTTP/1.1").query, b"?")
        self.assertEqual(self.head().query, b"")

    def test_methods(self) -> None:
        """Seven methods are forwarded; others are 501, TRACE is 405 with Allow, and what is no method is 400."""
        for method in METHODS:
            self.assertEqual(self.head(method + b" / HTTP/1.1").method, method)
        others = [b"CONNECT", b"TRACK", b"PROPFIND", b"M-SEARCH", b"VERSION_CONTROL", b"X" * 300, b"GETX", b"G"]
        self.assertRefused(501, [raw(method + b" / HTTP/1.1") for method in others])
        self.assertRefused(501, [raw(b"CONNECT gw.test:443 HTTP/1.1")])
        for method in (b"get", b"Get", b"GE T", b"", b"-GET", b"G\xc9T", b"GET,", b"\x16\x03\x01"):
            self.assertRefused(400, [raw(method + b" / HTTP/1.1")])
        refusal = self.assertRaises(RequestRefused, request_parser().parse, raw(b"TRACE / HTTP/1.1"))
        self.assertEqual(refusal.error.kind.status, 405)
        self.assertEqual(refusal.error.allow, tuple(sorted(method.decode() for method in METHODS)))

    def test_versions(self) -> None:
        """Another well-formed major version is 505; anything else that is not HTTP/1.0 or 1.1 is 400."""
        self.assertRefused(505, [raw(b"GET / HTTP/" + version) for version in (b"0.9", b"2.0", b"3.0", b"9.9")])
        self.assertRefused(505, [b"PRI * HTTP/2.0\r\n\r\n"])
        bad = [b"HTTP/1.2", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1", b"HTTP/2", b"HTTP/11.0", b"http/1.1", b"HTTP1.1",
               b"HTTP /1.1", b"RTSP/1.0", b"HTTP/1.1 ", b"HTTP/1.1 x", b"HTTP/1,1", b"", b"ICE/1.0"]  # fmt: skip
        self.assertRefused(400, [raw(b"GET / " + version) for version in bad])
        self.assertRefused(400, [b"GET /\r\n\r\n", b"GET # HTTP/2.0\r\n\r\n"])

    def test_white_space(self) -> None:
        """Exactly one space stands between the parts of a request line, and CRLF ends it."""
        bad = [b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET /\tHTTP/1.1", b" GET / HTTP/1.1",
               b"GET / a HTTP/1.1", b"GET / HTTP/1.1\t", b"GET /a\x0bb HTTP/1.1", b"GET /\r HTTP/1.1"]  # fmt: skip
        self.assertRefused(400, [raw(line) for line in bad])
        self.assertRefused(400, [b"GET / HTTP/1.1\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"])

    def test_targets(self) -> None:
        """A target is a path, an http URL, or ``*`` with OPTIONS; no fragment, nothing outside of ASCII."""
        bad = [b"/a#b", b"#", b"*", b"*/x", b"a", b"gw.test:80", b"?x", b"/a\xc3\xa9", b"/a\x7f", b"/a\x00", b"",
               b"ftp://gw.test/", b"file:///etc/passwd", b"http:/a", b"http://", b"http:///a", b"http://?x",
               b"http://u@gw.test/", b"http://u:p@gw.test/", b"http://a b/", b"http://a,b/", b"http://a\\b/",
               b"http://[::1/", b"http://a:b/", b"javascript:x", b"/\\"]  # fmt: skip
        self.assertRefused(400, [raw(b"GET %b HTTP/1.1" % target) for target in bad])
        self.assertEqual(self.head(b"OPTIONS * HTTP/1.1").path, b"*")
        self.assertRefused(
            400, [raw(b"OPTIONS *x HTTP/1.1"), raw(b"OPTIONS ** HTTP/1.1"), raw(b"OPTIONS *?a HTTP/1.1")]
        )

    def test_absolute_form(self) -> None:
        """The authority of an absolute target takes the place of Host, which must be there all the same."""
        for target, path, query in [
            (b"http://other.test/a/../b?c", b"/b", b"?c"),
            (b"HTTPS://other.test", b"/", b""),
            (b"http://other.test?x=/y", b"/", b"?x=/y"),
            (b"http://other.test/?", b"/", b"?"),
            (b"http://other.test//a//b", b"/a/b", b""),
        ]:
            head = self.head(b"GET %b HTTP/1.1" % target)
            self.assertEqual((head.host, head.path, head.query), (b"other.test", path, query))
        self.assertEqual(self.head(b"GET http://[2001:db8::1]:81/ HTTP/1.1").host, b"[2001:db8::1]:81")
        self.assertEqual(self.head(b"GET http://169.254.169.254/ HTTP/1.1").path, b"/")
        self.assertRefused(400, [raw(b"GET http://other.test/ HTTP/1.1", host=None)])


class HostTests(HeadTestCase):
    def test_good(self) -> None:
        """A name or an address, with or without a port, comes out as it came in."""
        for host in (
            b"gw.test",
            b"gw.test:8000",
            b"gw.test:",
            b"192.0.2.1",
            b"[::1]",
            b"[2001:db8::1]:80",
            b"GW_1.Test",
        ):
            self.assertEqual(self.head(host=host).host, host)

    def test_bad(self) -> None:
        """Lists, paths, user names, bad ports, backslashes, spaces and 8-bit names are refused."""
        bad = [b"", b"a,b", b"a, b", b"a/b", b"a?b", b"a#b", b"u@a", b"a\\b", b"a b", b"a:b", b"a:80:80", b"a:-1",
               b"::1", b"[::1", b"::1]", b"[::1]x", b"[gw]", b"a\xe9", b"http://a", b"a;b", b'"a"', b"a\x00", b"a\tb",
               b":80"]  # fmt: skip
        self.assertRefused(400, [raw(host=host) for host in bad])

    def test_ports(self) -> None:
        """A port is digits, as RFC 3986 has it, but not more of them than any port needs."""
        self.assertEqual(self.status(raw(host=b"gw.test:999999")), 0)
        self.assertRefused(400, [raw(host=b"gw.test:" + b"9" * 300)])

    def test_count(self) -> None:
        """HTTP/1.1 has one Host, not none and not two, however they are spelt; HTTP/1.0 may have none."""
        self.assertRefused(
            400, [raw(host=None), raw(b"GET / HTTP/1.1", b"Host: gw.test"), raw(b"GET / HTTP/1.1", b"hOST:")]
        )
        self.assertRefused(400, [raw(b"GET / HTTP/1.0", b"Host: b")])
        self.assertEqual(self.head(b"GET / HTTP/1.0", host=None).host, b"")


class LimitTests(HeadTestCase):
    def test_request_line(self) -> None:
        """A request line of exactly the limit is read; one byte more is 414."""
        fixed = len(b"GET / HTTP/1.1")
        for limits, limit in (({}, LINE_LIMIT), ({"request_line": 200}, 200)):
            for path in (b"/" + b"a" * (limit - fixed), b"/?" + b"a" * (limit - fixed - 1)):
                self.assertEqual(self.status(raw(b"GET %b HTTP/1.1" % path), **limits), 0)
                self.assertEqual(self.status(raw(b"GET %ba HTTP/1.1" % path), **limits), 414)
        self.assertRefused(414, [raw(b"GET /%b HTTP/1.1" % (b"a" * 70_000)), raw(b"GET " + b"a" * 9000)])

    def test_head(self) -> None:
        """A head of exactly the limit, its empty line included, is read; one byte more is 431."""
        for limits, limit in (({}, HEAD_LIMIT), ({"head": 1024}, 1024)):
            missing = limit - len(raw(b"GET / HTTP/1.1", b"X: "))
            self.assertEqual(self.status(raw(b"GET / HTTP/1.1", b"X: " + b"a" * missing), **limits), 0)
            self.assertEqual(self.status(raw(b"GET / HTTP/1.1", b"X: " + b"a" * (missing + 1)), **limits), 431)
        self.assertRefused(431, [raw(b"GET / HTTP/1.1", b"X: " + b"a" * 70_000)])

    def test_fields(self) -> None:
        """As many fields as the limit says are read, whatever their names; one more is 431."""
        for limits, limit in (({}, FIELD_LIMIT), ({"headers": 5}, 5)):
            for name in (b"X", b"X-%d", b"Cookie"):
                fields = [(name % n if b"%" in name else name) + b": y" for n in range(limit)]
                self.assertEqual(self.status(raw(b"GET / HTTP/1.1", *fields[1:]), **limits), 0)
                self.assertEqual(self.status(raw(b"GET / HTTP/1.1", *fields), **limits), 431)

    def test_line_before_head(self) -> None:
        """A line that is too long is 414, though the head is too large as well."""
        self.assertRefused(414, [raw(b"GET /%b HTTP/1.1" % (b"a" * 9000), b"X: " + b"a" * 70_000)])


class FieldTests(HeadTestCase):
    def test_syntax(self) -> None:
        """Folds, spaces before a colon, names that are no tokens, and control characters are refused."""
        bad = [b"X : y", b"X\t: y", b" X: y", b"\tX: y", b"X: y\r\n z", b"X: y\r\n\tz", b"no colon", b": y", b"X(: y",
               b"X\xe9: y", b"X\x85: y", b"X\x00: y", b"X: \x00", b"X: \x0b", b"X: \x7f", b"X: a\rb", b"X: a\nb",
               b"X: y\n"]  # fmt: skip
        self.assertRefused(400, [raw(b"GET / HTTP/1.1", line) for line in bad])

    def test_pairs(self) -> None:
        """Fields keep their order; names come out in lower case, values without white space around them."""
        head = self.head(b"GET / HTTP/1.1", b"B:  1 \t", b"a:2", b"b:", b"C: \xe9 \t \xff", b"d: a:b, c")
        pairs = [
            (b"host", b"gw.test"),
            (b"b", b"1"),
            (b"a", b"2"),
            (b"b", b""),
            (b"c", b"\xe9 \t \xff"),
            (b"d", b"a:b, c"),
        ]
        self.assertEqual(head.fields.pairs, pairs)
        self.assertEqual([head.get(b"b"), head.get(b"d"), head.get(b"e")], [b"1", b"a:b, c", None])

    def test_persistence(self) -> None:
        """HTTP/1.1 stays open unless it says close, HTTP/1.0 only if it says keep-alive; close wins."""
        for minor, options, kept in [
            (1, [], True), (1, [b"close"], False), (1, [b"Close"], False), (1, [b"x, close"], False),
            (1, [b"keep-alive, close"], False), (1, [b"keep-alive", b"close"], False), (1, [b"keep-alive"], True),
            (1, [b"closed"], True), (1, [b"\tclose ,"], False), (1, [b""], True), (0, [], False),
            (0, [b"keep-alive"], True), (0, [b"Keep-Alive"], True), (0, [b"x", b"keep-alive"], True),
            (0, [b"keep-alive, close"], False), (0, [b"x"], False),
        ]:  # fmt: skip
            head = self.head(b"GET / HTTP/1.%d" % minor, *(b"Connection: " + value for value in options))
            self.assertEqual(head.fields.keep_alive, kept, (minor, options))

    def test_connection_names(self) -> None:
        """What Connection names comes out in lower case, from all its lines, without close and keep-alive."""
        fields = self.head(b"GET / HTTP/1.1", b"Connection: X-A, close", b"connection: TE,,x-b ,").fields
        self.assertEqual(fields.connection, {b"x-a", b"te", b"x-b"})

    def test_expect(self) -> None:
        """100-continue is understood in any case, and means nothing in HTTP/1.0; any other expectation is 417."""
        for value in (b"100-continue", b"100-Continue", b"\t100-CONTINUE "):
            self.assertTrue(self.head(b"GET / HTTP/1.1", b"Expect: " + value).fields.expects_continue)
            self.assertFalse(self.head(b"GET / HTTP/1.0", b"Expect: " + value).fields.expects_continue)
        self.assertFalse(self.head().fields.expects_continue)
        for value in (b"", b"200-ok", b"100-continue, x", b"100-continue;q=1", b"100"):
            self.assertRefused(417, [raw(b"GET / HTTP/1.1", b"Expect: " + value)])
        self.assertRefused(417, [raw(b"GET / HTTP/1.1", b"Expect: 100-continue", b"Expect: x")])

    def test_upgrade(self) -> None:
        """An upgrade is asked for when Connection names it, in HTTP/1.1; with a body it is refused."""
        asking = [b"Upgrade: WebSocket", b"Connection: keep-alive, Upgrade"]
        self.assertEqual(self.head(b"GET / HTTP/1.1", *asking).fields.upgrade, b"websocket")
        self.assertEqual(self.head(b"GET / HTTP/1.0", *asking).fields.upgrade, b"")
        self.assertEqual(self.head(b"GET / HTTP/1.1", asking[0]).fields.upgrade, b"")
        self.assertEqual(self.head(b"GET / HTTP/1.1", asking[1]).fields.upgrade, b"")
        for body in (b"Content-Length: 1", b"Transfer-Encoding: chunked"):
            self.assertRefused(400, [raw(b"POST / HTTP/1.1", *asking, body), raw(b"POST / HTTP/1.1", body, *asking)])
        self.assertEqual(self.head(b"GET / HTTP/1.1", *asking, b"Content-Length: 0").fields.length, 0)

    def test_request_id(self) -> None:
        """One X-Request-Id of 1 to 128 unreserved characters is taken over; any other is not."""
        for value in (b"a", b"A-Za.z0_9", b"x" * 128, b"0af7651916cd43dd8448eb211c80319c"):
            self.assertEqual(self.head(b"GET / HTTP/1.1", b"X-Request-ID: " + value).fields.request_id, value)
        for value in (b"", b"x" * 129, b"a b", b"a,b", b"a\xe9", b'"a"', b"a/b", b"a~b"):
            self.assertIsNone(self.head(b"GET / HTTP/1.1", b"X-Request-ID: " + value).fields.request_id)
        self.assertIsNone(self.head(b"GET / HTTP/1.1", b"X-Request-Id: a", b"x-request-id: a").fields.request_id)

    def test_max_forwards(self) -> None:
        """Max-Forwards is a number of at most nine digits; anything else is none."""
        for value, hops in {b"0": 0, b"10": 10, b"999999999": 999999999, b"-1": None, b"1, 2": None, b"": None}.items():
            self.assertEqual(self.head(b"OPTIONS * HTTP/1.1", b"Max-Forwards: " + value).fields.max_forwards, hops)
