"""What lines of the access log tell of a request's way, and how the operator chooses from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.kit import MemoryGateway
from tests.kit_client import request
from tests.test_access_log import FIELD_BYTES, ended
from tests.test_journal import parsed
from tracseq_gateway.access_log.entries import journal_entries
from tracseq_gateway.access_log.lines import json_lines, template_lines
from tracseq_gateway.access_log.values import LONGEST_KNOWN, MOST_KNOWN, KnownTexts
from tracseq_gateway.config.keys import Seconds
from tracseq_gateway.config.log_line import FIELDS
from tracseq_gateway.config.logs import AccessLog
from tracseq_gateway.errors import RESPONSE_TIMEOUT, GatewayError
from tracseq_gateway.http.trace_context import TraceContext
from tracseq_gateway.interfaces import Identity, Request, TlsFacts

ROUTES = {"samples": "/api/samples"}
HEAD = (
    b"GET /samples/1?mrn=12 HTTP/1.1\r\nHost: gateway\r\nX-Lab-Site: Basel\r\nReferer: http://lab/?token=s3cr3t\r\n\r\n"
)


def document(request: Request, settings: AccessLog = AccessLog(), seconds: float = 0.1) -> dict[str, Any]:  # noqa: B008
    """The line of a request as JSON."""
    said: dict[str, Any] = json.loads(json_lines(settings, ROUTES)(request, 0.0, seconds))
    return said


def passed_on() -> Request:
    """A request that was retried, and answered."""
    return ended(
        HEAD,
        began=10.0,
        admitted=10.25,
        passed_on=10.5,
        answered=11.0,
        instance="http://127.0.0.1:8081",
        attempts=2,
        limit="admitted",
        cache="miss",
        trace=TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "", True),
    )


class WholeLineTests(SynchronousTestCase):
    def test_same(self) -> None:
        """The usual line is made in fewer steps than others, and is the same line, byte for byte."""
        usual, longer = json_lines(AccessLog(), ROUTES), json_lines(AccessLog(headers=("x-none",)), ROUTES)
        for changes in (
            {},
            {"trace": None},
            {"limit": "", "cache": "", "instance": "", "service": "", "attempts": 0},
            {"identity": Identity("user", "u-1", "guest")},
            {"identity": Identity("key", 'a "owner"', "guest", key_name="s7")},
            {"head": ended(HEAD.replace(b"mrn=12", b"token=secret&x=%ff")).head},
            {"status": 101},
            {"tls": TlsFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256", "gw.test")},
            {"answered": 0.0},
        ):
            one = passed_on()
            for name, value in changes.items():
                setattr(one, name, value)
            for seconds in (0.00125, 1.5):
                said = longer(one, 1_780_000_000.25, seconds)
                self.assertEqual(usual(one, 1_780_000_000.25, seconds), said.replace(',"http_x_none":null', ""))


class WayTests(SynchronousTestCase):
    def test_phases(self) -> None:
        """The times of the phases add up to when the answer began; what it did not come to is null."""
        names = ("doors_ms", "connect_ms", "upstream_ms")
        for changes, expected in (
            ({}, (250.0, 250.0, 500.0)),
            ({"answered": 0.0}, (250.0, 250.0, None)),
            ({"answered": 0.0, "passed_on": 0.0}, (250.0, None, None)),
            ({"answered": 0.0, "passed_on": 0.0, "admitted": 0.0}, (None, None, None)),
        ):
            one = passed_on()
            for name, value in changes.items():
                setattr(one, name, value)
            said = document(one)
            self.assertEqual(expected, tuple(said[name] for name in names))

    def test_place(self) -> None:
        """A line says where the request went, how often it was tried, what limiter and cache said, and its trace."""
        said = document(passed_on())
        expected = {
            "service": "samples",
            "route": "/api/samples",
            "instance": "http://127.0.0.1:8081",
            "attempts": 2,
            "limit": "admitted",
            "cache": "miss",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        }
        self.assertEqual(expected, {name: said[name] for name in expected})

    def test_slow(self) -> None:
        """A request is slow from the configured time on; without one, none is."""
        for limit, seconds, slow in ((1.0, 0.999, False), (1.0, 1.0, True), (0.25, 0.3, True), (0.0, 1e6, False)):
            self.assertIs(
                slow, document(passed_on(), AccessLog(slow_seconds=Seconds(limit)), seconds)["slow"], (limit, seconds)
            )

    def test_fields(self) -> None:
        """A line has the fields that the table names, in its order; the journal has them under its own names."""
        one = passed_on()
        one.identity = Identity("key", "sequencer", "guest", key_name="novaseq-1")
        one.error = GatewayError(RESPONSE_TIMEOUT, note="late")
        cast(Any, one).tls = TlsFacts("TLSv1.3", "", "")
        self.assertEqual(list(FIELDS), list(document(one)))
        names = [name for name, _ in parsed(journal_entries(AccessLog(), ROUTES)(one, 0.0, 0.1))]
        absent = {"user_agent"}
        self.assertEqual([f"TRACSEQ_{name.upper()}" for name in FIELDS if name not in absent], names[3:])
        self.assertEqual(["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"], names[:3])

    def test_journal(self) -> None:
        """An entry's message is short, or the line of another format; its priority says how bad it was."""
        late = {"status": 504, "error": GatewayError(RESPONSE_TIMEOUT)}
        template = AccessLog(format="template", template="$status $user")
        cases: Sequence[tuple[AccessLog, dict[str, Any], float, bytes, bytes]] = (
            (AccessLog(), {}, 0.1, b"GET /samples/1 200 in 100.0 ms", b"6"),
            (AccessLog(), {}, 1.0, b"GET /samples/1 200 in 1000.0 ms", b"5"),
            (AccessLog(), late, 2.0, b"GET /samples/1 504 in 2000.0 ms: response-timeout", b"4"),
            (template, {}, 0.1, b"200 -", b"6"),
        )
        for chosen, changes, seconds, message, priority in cases:
            one = passed_on()
            for name, value in changes.items():
                setattr(one, name, value)
            fields = dict(parsed(journal_entries(chosen, ROUTES)(one, 0.0, seconds)))
            self.assertEqual((message, priority), (fields["MESSAGE"], fields["PRIORITY"]))

    def test_forged(self) -> None:
        """A line feed in a value makes no field of its own."""
        one = passed_on()
        one.identity = Identity("user", "x\nTRACSEQ_STATUS=200\n", "guest")
        fields = parsed(journal_entries(AccessLog())(one, 0.0, 0.1))
        self.assertIn(("TRACSEQ_USER", b"x\nTRACSEQ_STATUS=200\n"), fields)
        self.assertEqual(1, [name for name, _ in fields].count("TRACSEQ_STATUS"))

    def test_bounded(self) -> None:
        """What is kept of texts, callers and places is bounded, whatever comes."""
        texts = KnownTexts(str)
        for number in range(MOST_KNOWN + 10):
            self.assertEqual(str(b"%d" % number), texts[b"%d" % number])
        self.assertEqual(10, len(texts))
        self.assertIn("x", texts[b"x" * (LONGEST_KNOWN + 1)])
        self.assertEqual(10, len(texts))


class ChoiceTests(SynchronousTestCase):
    def test_omit(self) -> None:
        """Fields that are left out are not there, whichever they are."""
        for omit in (("user_agent", "client"), tuple(FIELDS)[1:], tuple(FIELDS)):
            self.assertEqual(
                [name for name in FIELDS if name not in omit], list(document(passed_on(), AccessLog(omit=omit)))
            )

    def test_headers(self) -> None:
        """Header fields follow, null where they are missing; a Referer has no secrets in its query."""
        said = document(passed_on(), AccessLog(headers=("X-Lab-Site", "X-Nothing", "Referer")))
        self.assertEqual(
            [("http_x_lab_site", "Basel"), ("http_x_nothing", None), ("http_referer", "http://lab/?token=[redacted]")],
            list(said.items())[len(FIELDS) :],
        )

    def test_redact(self) -> None:
        """Parameters that the operator names are redacted in every format."""
        settings = AccessLog(redact=("MRN",), template="$query", headers=("Referer",))
        self.assertEqual("?mrn=[redacted]", document(passed_on(), settings)["query"])
        self.assertEqual("?mrn=[redacted]\n", template_lines(settings, ROUTES)(passed_on(), 0.0, 0.0))
        self.assertIn(b"TRACSEQ_QUERY=?mrn=[redacted]\n", journal_entries(settings)(passed_on(), 0.0, 0.0))


class TemplateTests(SynchronousTestCase):
    def line(self, template: str, request: Request) -> str:
        return template_lines(AccessLog(format="template", template=template), ROUTES)(request, 1767323045.5, 0.00125)

    def test_plain(self) -> None:
        """A template is filled with the fields that it names; what there is not is a hyphen."""
        self.assertEqual(
            '100% of $1: 2026-01-02T03:04:05.500Z "GET /samples/1" 200 1.250 Basel - -\n',
            self.line(
                '100% of $$1: $time "$method ${path}" $status $duration_ms $http_x_lab_site $user $http_x', passed_on()
            ),
        )
        for template, expected in (("$status", "200\n"), ("$status $status", "200 200\n"), ("no field", "no field\n")):
            self.assertEqual(expected, self.line(template, passed_on()))

    def test_every_field(self) -> None:
        """Every field of the table can stand in a template."""
        line = self.line("|".join(f"${name}" for name in FIELDS), passed_on())
        self.assertEqual(len(FIELDS), len(line.split("|")))

    @given(FIELD_BYTES, st.binary(max_size=20), st.text(max_size=20), st.text(max_size=20))
    @example(b'"\\\xff', b"\n\r\x00%s", "\ud800\x7f\u2028", "\n%d")
    @settings(max_examples=100, deadline=None)
    def test_injection(self, agent: bytes, path: bytes, client: str, user: str) -> None:
        """Nothing that a client sends ends a quoted field or the line."""
        one = ended(b"GET / HTTP/1.1\r\nHost: gateway\r\nUser-Agent: " + agent + b"\r\n\r\n")
        one.head.path = path
        one.client = client
        one.error = GatewayError(RESPONSE_TIMEOUT, note=user)
        line = self.line('"$http_user_agent" "$path" "$client" "$reason"', one)
        self.assertTrue(line.isascii() and line.endswith("\n") and line.count("\n") == 1, line)
        self.assertEqual(8, line.count('"'))


class JourneyTests(SynchronousTestCase):
    def test_gateway(self) -> None:
        """A gateway that only logs takes the times for its lines, and knows the service's prefix."""
        gateway = MemoryGateway(tables={"access_log": AccessLog("/dev/null")})
        log = gateway.worker.records._log
        assert log is not None
        lines: list[str] = []
        self.patch(log._writer, "write", lines.append)
        gateway.service.answer = None
        gateway.exchange(request(b"/"))
        gateway.clock.advance(0.2)
        gateway.service.connections[0].answer(b"HTTP/1.1 204 No Content\r\n\r\n")
        (said,) = [json.loads(line) for line in lines]
        self.assertAlmostEqual(said["upstream_ms"], 200)
        self.assertEqual((said["route"], said["attempts"], said["status"]), ("/", 1, 204))
        self.assertTrue(said["instance"].startswith("http://"))
