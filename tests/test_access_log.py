"""Lines of the access log: what is in them, and that nothing can break them."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.access_log.lines import combined_lines, json_lines
from tracseq_gateway.access_log.redaction import LONGEST_NAME, MOST_NAMES, Redactor
from tracseq_gateway.access_log.values import text
from tracseq_gateway.errors import RESPONSE_TIMEOUT, GatewayError
from tracseq_gateway.http.fields import KnownLines
from tracseq_gateway.http.request_head import REQUEST_SPECIAL, HeadLimits, RequestParser
from tracseq_gateway.interfaces import Identity, Request

redact = Redactor()
FIELD_BYTES = st.binary(max_size=40).map(lambda value: re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", value).strip(b" \t"))
"""Values that a header field may have (RFC 9110 section 5.5), obs-text among them."""


def ended(raw: bytes = b"GET /samples/1?page=2 HTTP/1.1\r\nHost: gateway\r\n\r\n", **changes: Any) -> Request:
    """A request that is over, with the head that ``raw`` is."""
    head = RequestParser(HeadLimits(), KnownLines(REQUEST_SPECIAL, lambda name: False)).parse(raw)
    values: dict[str, Any] = {
        "request_id": b"4bf92f3577b34da6a3ce929d0e0e4736",
        "client": "192.0.2.7",
        "service": "samples",
        "identity": None,
        "status": 200,
        "error": None,
        "reason": None,
        "trace": None,
        "tls": None,
        "limit": "",
        "cache": "",
        "instance": "",
        "attempts": 0,
        "began": 0.0,
        "admitted": 0.0,
        "passed_on": 0.0,
        "answered": 0.0,
        "received": 0,
        "sent": 138,
    }
    return cast(Request, SimpleNamespace(head=head, **values | changes))


class RedactionTests(SynchronousTestCase):
    """``Redactor``."""

    def test_sensitive(self) -> None:
        """The values of sensitive parameters are replaced, whatever the spelling of their names."""
        for name in (
            "token",
            "access_token",
            "ACCESS_TOKEN",
            "accessToken",
            "%74oken",
            "user[token]",
            "token[]",
            "api_key",
            "api-key",
            "apikey",
            "key",
            "password",
            "client_secret",
            "code",
            "sig",
            "X-Amz-Signature",
        ):
            found = redact(f"?a=1&{name}=s3cr3t&b=2".encode())
            self.assertEqual(f"?a=1&{name}=[redacted]&b=2".encode(), found)

    def test_others(self) -> None:
        """Everything else stays byte for byte, also without a name, and when it only looks like a secret."""
        for query in (
            b"",
            b"?",
            b"?barcode=42",
            b"?keyword=a&sort_key=b",
            b"?page=2&&=x&%zz=%41",
            b"?token",
            b"?a=b=c",
        ):
            self.assertEqual(query, redact(query))

    def test_semicolon(self) -> None:
        """A sensitive name behind a semicolon is seen, and a semicolon in a value ends no redaction."""
        self.assertEqual(b"?a=1;token=[redacted]&b=2", redact(b"?a=1;token=s3;cr3t&b=2"))

    def test_url(self) -> None:
        """In a URL, only the query is touched."""
        self.assertEqual(
            b"https://lab/reset/token=1?token=[redacted]", redact.url(b"https://lab/reset/token=1?token=2")
        )
        self.assertEqual(b"https://lab/", redact.url(b"https://lab/"))

    def test_named(self) -> None:
        """Names that the operator adds are sensitive as a whole, in any case and however they are spelled."""
        named = Redactor(("patient", "MRN"))
        self.assertEqual(
            b"?Patient=[redacted]&m%72n=[redacted]&patients=3&token=[redacted]",
            named(b"?Patient=1&m%72n=2&patients=3&token=4"),
        )

    def test_bounded(self) -> None:
        """What is remembered of names is bounded, in number and in length."""
        bounded = Redactor()
        for number in range(MOST_NAMES + 10):
            bounded(b"?%d=1" % number)
        bounded(b"?" + b"x" * (LONGEST_NAME + 1) + b"=1")
        self.assertLessEqual(len(bounded._known), MOST_NAMES)
        self.assertLessEqual(max(map(len, bounded._known)), LONGEST_NAME)

    @given(st.binary(max_size=60))
    @example(b"&token=s3cr3t;&;token=s3cr3t")
    @settings(max_examples=100, deadline=None)
    def test_nothingSlips(self, around: bytes) -> None:
        """Whatever stands around it, a parameter of its own that is called token shows no value."""
        self.assertNotIn(b"s3cr3t", redact(b"?" + around.replace(b"s3cr3t", b"") + b"&token=s3cr3t"))


class JsonTests(SynchronousTestCase):
    """``json_lines``."""

    def document(self, request: Request, ended: float = 1767323045.5, seconds: float = 0.00125) -> dict[str, Any]:
        line = json_lines()(request, ended, seconds)
        self.assertTrue(line.isascii() and line.endswith("\n") and line.count("\n") == 1, line)
        document: dict[str, Any] = json.loads(line)
        return document

    def test_plain(self) -> None:
        """A line says when, who, what, how it ended, how long it took and how much went either way."""
        request = ended(
            b"POST /samples?page=2 HTTP/1.1\r\nHost: gateway\r\nUser-Agent: curl/8\r\nContent-Length: 5\r\n\r\n"
        )
        request.received = 5
        self.assertEqual(
            {
                "time": "2026-01-02T03:04:05.500Z",
                "request_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                "trace_id": None,
                "client": "192.0.2.7",
                "user": None,
                "key": None,
                "method": "POST",
                "path": "/samples",
                "query": "?page=2",
                "protocol": "HTTP/1.1",
                "tls_version": None,
                "status": 200,
                "duration_ms": 1.25,
                "doors_ms": None,
                "connect_ms": None,
                "upstream_ms": None,
                "service": "samples",
                "route": None,
                "instance": None,
                "limit": None,
                "cache": None,
                "attempts": 0,
                "received": 5,
                "sent": 138,
                "user_agent": "curl/8",
                "error": None,
                "reason": None,
                "slow": False,
            },
            self.document(request),
        )

    def test_identity(self) -> None:
        """A user is named by id, an API key by its own name and its owner's."""
        user = self.document(ended(identity=Identity("user", "6f1c", "guest")))
        self.assertEqual(("6f1c", None), (user["user"], user["key"]))
        key = self.document(ended(identity=Identity("key", "sequencer", "guest", key_name="novaseq-1")))
        self.assertEqual(("sequencer", "novaseq-1"), (key["user"], key["key"]))

    def test_error(self) -> None:
        """When the gateway itself answered, the line says why; when no service was found, it names none."""
        error = GatewayError(RESPONSE_TIMEOUT)
        document = self.document(ended(status=504, error=error, service=""))
        self.assertEqual((504, "response-timeout", None), (document["status"], document["error"], document["service"]))

    def test_noSecrets(self) -> None:
        """No credential of the request is in its line."""
        fields = ("Authorization: Bearer", "Cookie: session=", "X-API-Key:", "Proxy-Authorization: Basic")
        lines = "".join(f"{field} s3cr3t\r\n" for field in fields)
        request = ended(f"GET /a?access_token=s3cr3t HTTP/1.1\r\nHost: gateway\r\n{lines}\r\n".encode())
        self.assertNotIn("s3cr3t", json_lines()(request, 0.0, 0.0))
        self.assertNotIn("s3cr3t", combined_lines()(request, 0.0, 0.0))

    @given(FIELD_BYTES, st.binary(max_size=20), st.text(max_size=20), st.text(max_size=20))
    @example(b'a"b\\c\xff\xe2\x80\xa8', b"\n\r\x00", "\ud800\x7f\u2028", '"},{"user":"root')
    @settings(max_examples=200, deadline=None)
    def test_anything(self, agent: bytes, path: bytes, client: str, user: str) -> None:
        """Every line is one JSON document in ASCII that gives the values back."""
        request = ended(b"GET / HTTP/1.1\r\nHost: gateway\r\nUser-Agent: " + agent + b"\r\n\r\n")
        request.head.path = path
        request.client = client
        request.identity = Identity("user", user, "guest")
        document = self.document(request)
        self.assertEqual(
            [text(agent), text(path), client, user],
            [document[name] for name in ("user_agent", "path", "client", "user")],
        )

    def test_milliseconds(self) -> None:
        """The time of day is right across seconds, and is cut to milliseconds, never rounded into the next second."""
        line = json_lines()
        times = [json.loads(line(ended(), at, 0.0))["time"] for at in (0.9999, 1.0, 1.0005, 61.25)]
        expected = ["00:00:00.999Z", "00:00:01.000Z", "00:00:01.000Z", "00:01:01.250Z"]
        self.assertEqual([f"1970-01-01T{moment}" for moment in expected], times)


class CombinedTests(SynchronousTestCase):
    """``combined_lines``."""

    LINE = re.compile(r'(\S+) - (\S+) \[([^\]]+)\] "([^"]*)" (\d{3}) (\d+) "([^"]*)" "([^"]*)"\n').fullmatch

    def test_plain(self) -> None:
        """A line is what the readers of Apache's and nginx's logs expect."""
        request = ended(
            b"GET /samples?token=a HTTP/1.0\r\nUser-Agent: curl/8\r\nReferer: http://lab/?token=b\r\n\r\n",
            identity=Identity("user", "6f1c", "guest"),
        )
        self.assertEqual(
            '192.0.2.7 - 6f1c [02/Jan/2026:03:04:05 +0000] "GET /samples?token=[redacted] HTTP/1.0" 200 138 '
            '"http://lab/?token=[redacted]" "curl/8"\n',
            combined_lines()(request, 1767323045.5, 0.1),
        )

    @given(FIELD_BYTES, st.binary(max_size=20), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
    @example(b'" 200 0 "-" "-"\\', b"\n1.2.3.4 - root", "root] \n")
    @settings(max_examples=200, deadline=None)
    def test_injection(self, agent: bytes, path: bytes, user: str) -> None:
        """Nothing that a client sends ends a field or the line."""
        request = ended(b"GET / HTTP/1.1\r\nHost: gateway\r\nUser-Agent: " + agent + b"\r\n\r\n")
        request.head.path = path
        request.identity = Identity("user", user, "guest")
        line = combined_lines()(request, 0.0, 0.0)
        self.assertTrue(line.isascii())
        self.assertIsNotNone(self.LINE(line), line)
