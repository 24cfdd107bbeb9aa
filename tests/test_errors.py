"""The table of errors: each row is a valid problem (RFC 9457), and its Proxy-Status is registered (RFC 9209)."""

from __future__ import annotations

import json
from http import HTTPStatus

from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway import errors
from tracseq_gateway.errors import AnswerRefused, GatewayError, Kind, RequestRefused, problem

KINDS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, Kind)}
# RFC 9209 section 2.3, with the status that each type recommends; None where it says "other".
REGISTERED = {
    "dns_timeout": 504, "dns_error": 502, "destination_not_found": 500, "destination_unavailable": 503,
    "destination_ip_prohibited": 502, "destination_ip_unroutable": 502, "connection_refused": 502,
    "connection_terminated": 502, "connection_timeout": 504, "connection_read_timeout": 504,
    "connection_write_timeout": 504, "connection_limit_reached": 503, "tls_protocol_error": 502,
    "tls_certificate_error": 502, "tls_alert_received": 502, "http_request_error": None, "http_request_denied": 403,
    "http_response_incomplete": 502, "http_response_header_section_size": 502, "http_response_header_size": 502,
    "http_response_body_size": 502, "http_response_trailer_section_size": 502, "http_response_trailer_size": 502,
    "http_response_transfer_coding": 502, "http_response_content_coding": 502, "http_response_timeout": 504,
    "http_upgrade_failed": 502, "http_protocol_error": 502, "proxy_internal_response": None,
    "proxy_internal_error": 500, "proxy_configuration_error": 500, "proxy_loop_detected": 502,
}  # fmt: skip
OURS_DIFFERS = {"LOOP_DETECTED": 508, "NO_SPACE": 507}
"""Where we answer something else than RFC 9209 recommends: these say it better."""


class KindTests(SynchronousTestCase):
    def test_there_are_some(self) -> None:
        """The table is found."""
        self.assertGreater(len(KINDS), 20)

    def test_slugs(self) -> None:
        """Each row has a name of its own, fit for a URN."""
        slugs = [kind.slug for kind in KINDS.values()]
        self.assertEqual(len(set(slugs)), len(slugs))
        for slug in slugs:
            self.assertRegex(slug, r"\A[a-z]+(-[a-z]+)*\Z")

    def test_statuses(self) -> None:
        """Clients' errors are 4xx, all others 5xx; each status has a reason.

        But for 501 and 505 for what we do not speak, and 504 to who wants nothing but a kept answer (RFC 9111 5.2.1.7).
        """
        for name, kind in KINDS.items():
            if kind.source == "client":
                self.assertTrue(400 <= kind.status < 500 or kind.status in (501, 504, 505), name)
            else:
                self.assertTrue(500 <= kind.status < 600, name)
            newer = {413: "Content Too Large", 414: "URI Too Long", 460: "Checksum Mismatch"}
            self.assertEqual(kind.reason, (newer.get(kind.status) or HTTPStatus(kind.status).phrase).encode())

    def test_proxy_status(self) -> None:
        """An error type is said of what is not the client's fault, is registered, and goes with its status."""
        for name, kind in KINDS.items():
            self.assertEqual(kind.proxy_status is None, kind.source == "client", name)
            if kind.proxy_status is not None:
                self.assertIn(kind.proxy_status, REGISTERED, name)
                recommended = OURS_DIFFERS.get(name, REGISTERED[kind.proxy_status])
                self.assertEqual(kind.status, recommended, name)

    def test_retries(self) -> None:
        """Only what a service did, or kept us from doing, may be repeated."""
        for name, kind in KINDS.items():
            self.assertIn(kind.retry, ("never", "idempotent", "reused", "unsent"), name)
            if kind.source != "upstream":
                self.assertEqual(kind.retry, "never", name)
        self.assertEqual([kind.slug for kind in KINDS.values() if kind.retry == "reused"], ["stale-connection"])


class ProblemTests(SynchronousTestCase):
    def test_every_kind(self) -> None:
        """Each row makes a document with type, title, status and request id, and the fields that go with it."""
        for name, kind in KINDS.items():
            pairs, body = problem(GatewayError(kind), b"id-1", "gw")
            fields = dict(pairs)
            self.assertEqual(len(fields), len(pairs), name)
            self.assertEqual(fields[b"content-type"], b"application/problem+json")
            self.assertEqual(fields[b"cache-control"], b"no-store")
            expected = {
                "type": kind.registered or f"urn:tracseq:problem:{kind.slug}",
                "title": kind.title,
                "status": kind.status,
                "request_id": "id-1",
            }
            self.assertEqual(json.loads(body), expected, name)
            said = None if kind.proxy_status is None else b"gw; error=" + kind.proxy_status.encode()
            self.assertEqual(fields.get(b"proxy-status"), said, name)
            for field, value in pairs:
                self.assertRegex(field, rb"\A[a-z-]+\Z")
                self.assertRegex(value, rb"\A[!-~]([ !-~]*[!-~])?\Z")

    def test_details(self) -> None:
        """A detail, a time to wait and the methods that are allowed are said where they are given."""
        error = GatewayError(errors.NO_INSTANCE, 'a "detail"\n\u00e9', retry_after=0, allow=("GET", "HEAD"))
        pairs, body = problem(error, b"id-1", "gw")
        fields = dict(pairs)
        self.assertEqual((fields[b"retry-after"], fields[b"allow"]), (b"0", b"GET, HEAD"))
        self.assertEqual(json.loads(body)["detail"], 'a "detail"\n\u00e9')
        plain = dict(problem(GatewayError(errors.NOT_FOUND), b"id-1", "gw")[0])
        self.assertNotIn(b"retry-after", plain)
        self.assertNotIn(b"allow", plain)

    def test_one_line(self) -> None:
        """The body is one line of JSON, so that a shell shows it as it should."""
        _, body = problem(GatewayError(errors.NOT_FOUND, "a\nb"), b"id-1", "gw")
        self.assertEqual((body.count(b"\n"), body[-1:]), (1, b"\n"))


class RaisedTests(SynchronousTestCase):
    def test_request_refused(self) -> None:
        """A refused request says why, and as what it is answered."""
        refused = RequestRefused(errors.METHOD_NOT_ALLOWED, "not here", ("GET",))
        self.assertEqual(str(refused), "not here")
        self.assertEqual(refused.error, GatewayError(errors.METHOD_NOT_ALLOWED, "not here", allow=("GET",)))

    def test_answer_refused(self) -> None:
        """A refused answer is a bad one unless it says something else."""
        self.assertEqual(AnswerRefused("odd").error, GatewayError(errors.BAD_ANSWER, "odd"))
        self.assertEqual(AnswerRefused("big", errors.ANSWER_TOO_LARGE).error.kind, errors.ANSWER_TOO_LARGE)
