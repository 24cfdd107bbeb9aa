"""Errors as values, and the one table that turns them into responses.

An error knows where it arose (``source``), whether the request may be sent again (``retry``) and the status that the
client sees. Rooms raise or pass errors; only :func:`problem` makes a response of one.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Literal

from attrs import field, frozen

Source = Literal["client", "gateway", "upstream"]

Retry = Literal["never", "idempotent", "reused", "unsent"]
"""Whether a request that met this error may be sent again.

``never``: the answer has begun, or there is no time left. ``unsent``: nothing of it reached the instance.
``idempotent``: it may have acted, so only if acting twice does no harm (RFC 9110 section 9.2.2). ``reused``: the same;
the connection had served before and was closed without a byte of an answer, so it may go once more on a new connection
to the same instance (RFC 9112 section 9.3.1).
"""


_REASONS = {413: "Content Too Large", 414: "URI Too Long", 460: "Checksum Mismatch"}
"""Where the standard library has the phrases of an earlier RFC, depending on its version; and the status of tus."""


@frozen
class Kind:
    """One row of the error table."""

    slug: str
    status: int
    title: str
    source: Source
    retry: Retry = "never"
    proxy_status: str | None = None
    """The error type of RFC 9209 section 2.3; None for what is the client's own."""
    registered: str | None = None
    """The problem type that somebody else has registered for it; None: it is ours, by its slug."""

    @property
    def reason(self) -> bytes:
        """The reason phrase of the status line, as RFC 9110 has it."""
        return (_REASONS.get(self.status) or HTTPStatus(self.status).phrase).encode("ascii")


# What a client did.
BAD_REQUEST = Kind("bad-request", 400, "Bad Request", "client")
BAD_TARGET = Kind("bad-target", 400, "Bad Request Target", "client")
NOT_FOUND = Kind("no-route", 404, "No Route", "client")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "Method Not Allowed", "client")
DIGEST_MISMATCH = Kind("digest-mismatch", 400, "Digest Mismatch", "client")
REQUEST_TIMEOUT = Kind("request-timeout", 408, "Request Timeout", "client")
BODY_TOO_LARGE = Kind("body-too-large", 413, "Content Too Large", "client")
TARGET_TOO_LONG = Kind("target-too-long", 414, "URI Too Long", "client")
UPGRADE_REQUIRED = Kind("upgrade-required", 426, "Upgrade Required", "client")
EXPECTATION_FAILED = Kind("expectation-failed", 417, "Expectation Failed", "client")
HEAD_TOO_LARGE = Kind("head-too-large", 431, "Request Header Fields Too Large", "client")
NOT_IMPLEMENTED = Kind("not-implemented", 501, "Not Implemented", "client")
VERSION_NOT_SUPPORTED = Kind("version-not-supported", 505, "HTTP Version Not Supported", "client")

# Who the client is, what it may do and how often.
UNAUTHENTICATED = Kind("unauthenticated", 401, "Authentication Required", "client")
FORBIDDEN = Kind("forbidden", 403, "Forbidden", "client")
ORIGIN_DENIED = Kind("origin-denied", 403, "Forbidden", "client")
ADDRESS_DENIED = Kind("address-denied", 403, "Forbidden", "client")
TLS_REQUIRED = Kind("tls-required", 403, "TLS Required", "client")
UNSUPPORTED_MEDIA_TYPE = Kind("unsupported-media-type", 415, "Unsupported Media Type", "client")
QUOTA_EXCEEDED = Kind(
    "quota-exceeded",
    429,
    "Too Many Requests",
    "client",
    registered="https://iana.org/assignments/http-problem-types#quota-exceeded",
)
TOO_MANY_AT_ONCE = Kind("too-many-at-once", 429, "Too Many Requests", "client")
NOT_KEPT = Kind("not-kept", 504, "Gateway Timeout", "client")

# What a client of a resumable upload did.
UPLOAD_NOT_FOUND = Kind("upload-not-found", 404, "No Such Upload", "client")
UPLOAD_NOT_DELIVERED = Kind("upload-not-delivered", 409, "Upload Not Delivered", "client")
UPLOAD_OFFSET = Kind("upload-offset-mismatch", 409, "Offset Mismatch", "client")
UPLOAD_EXPIRED = Kind("upload-expired", 410, "Upload Expired", "client")
TUS_VERSION = Kind("tus-version", 412, "Unsupported Protocol Version", "client")
UPLOAD_UNKNOWN = Kind("upload-outcome-unknown", 423, "Outcome of the Upload Unknown", "client")
UPLOAD_LOCKED = Kind("upload-locked", 423, "Upload Locked", "client")
CHECKSUM_MISMATCH = Kind("checksum-mismatch", 460, "Checksum Mismatch", "client")

# What the gateway itself ran into.
NO_SPACE = Kind("no-space", 507, "Insufficient Storage", "gateway", proxy_status="proxy_internal_error")
LIMITER_UNAVAILABLE = Kind(
    "limiter-unavailable", 503, "Service Unavailable", "gateway", proxy_status="destination_unavailable"
)
AUTH_UNAVAILABLE = Kind(
    "auth-unavailable", 503, "Service Unavailable", "gateway", proxy_status="destination_unavailable"
)
INTERNAL = Kind("internal-error", 500, "Internal Server Error", "gateway", proxy_status="proxy_internal_error")
OVERLOADED = Kind("overloaded", 503, "Gateway Overloaded", "gateway", proxy_status="connection_limit_reached")
LOOP_DETECTED = Kind("loop-detected", 508, "Loop Detected", "gateway", proxy_status="proxy_loop_detected")

# What a service did.
NO_INSTANCE = Kind(
    "no-instance", 503, "Service Unavailable", "upstream", retry="unsent", proxy_status="destination_unavailable"
)
QUEUE_FULL = Kind("queue-full", 503, "Service Overloaded", "upstream", "unsent", "connection_limit_reached")
QUEUE_TIMEOUT = Kind("queue-timeout", 503, "Service Overloaded", "upstream", "unsent", "connection_limit_reached")
CONNECT_REFUSED = Kind("connect-refused", 502, "Bad Gateway", "upstream", "unsent", "connection_refused")
CONNECT_TIMEOUT = Kind("connect-timeout", 504, "Gateway Timeout", "upstream", "unsent", "connection_timeout")
CONNECT_FAILED = Kind("connect-failed", 502, "Bad Gateway", "upstream", "unsent", "destination_ip_unroutable")
NAME_ERROR = Kind("name-error", 502, "Bad Gateway", "upstream", "unsent", "dns_error")
TLS_CERTIFICATE = Kind("tls-certificate", 502, "Bad Gateway", "upstream", "unsent", "tls_certificate_error")
TLS_ALERT = Kind("tls-alert", 502, "Bad Gateway", "upstream", "unsent", "tls_alert_received")
TLS_PROTOCOL = Kind("tls-protocol", 502, "Bad Gateway", "upstream", "unsent", "tls_protocol_error")
CIRCUIT_OPEN = Kind(
    "circuit-open", 503, "Service Unavailable", "upstream", "never", proxy_status="destination_unavailable"
)
NOT_ADMITTED = Kind(
    "not-admitted", 503, "Service Unavailable", "upstream", "never", proxy_status="destination_unavailable"
)
CLOSED_EARLY = Kind("closed-early", 502, "Bad Gateway", "upstream", "idempotent", "connection_terminated")
STALE_CONNECTION = Kind("stale-connection", 502, "Bad Gateway", "upstream", "reused", "connection_terminated")
BAD_ANSWER = Kind("bad-answer", 502, "Bad Gateway", "upstream", "idempotent", "http_protocol_error")
ANSWER_TOO_LARGE = Kind(
    "answer-head-too-large", 502, "Bad Gateway", "upstream", "idempotent", "http_response_header_section_size"
)
INCOMPLETE_ANSWER = Kind("incomplete-answer", 502, "Bad Gateway", "upstream", "idempotent", "http_response_incomplete")
RESPONSE_TIMEOUT = Kind("response-timeout", 504, "Gateway Timeout", "upstream", "idempotent", "http_response_timeout")
IDLE_TIMEOUT = Kind("idle-timeout", 504, "Gateway Timeout", "upstream", proxy_status="connection_read_timeout")
WRITE_TIMEOUT = Kind("write-timeout", 504, "Gateway Timeout", "upstream", "idempotent", "connection_write_timeout")
TOTAL_TIMEOUT = Kind("total-timeout", 504, "Gateway Timeout", "upstream", proxy_status="http_response_timeout")


@frozen
class GatewayError:
    """An error that one request met."""

    kind: Kind
    detail: str = ""
    """One sentence for the caller; says nothing of hosts behind the gateway."""
    retry_after: int | None = None
    """Seconds, for 429 and 503."""
    allow: tuple[str, ...] = ()
    """The methods that a 405 names."""
    challenge: str = ""
    """WWW-Authenticate, for 401."""
    members: tuple[tuple[str, object], ...] = ()
    """Further members of the problem document."""
    note: str = field(default="", eq=False)
    """Why, for the records alone."""
    written: list[tuple[str, object, bytes]] = field(factory=list, init=False, eq=False, repr=False)
    """What an answer to it looks like, once it was written; kept here by who writes it, for errors that come again."""


class RequestRefused(Exception):
    """A request's bytes break a rule; the connection cannot be used further."""

    def __init__(self, kind: Kind, detail: str, allow: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.error = GatewayError(kind, detail, allow=allow)


class AnswerRefused(Exception):
    """A service's bytes break a rule; its connection cannot be used further."""

    def __init__(self, detail: str, kind: Kind = BAD_ANSWER) -> None:
        super().__init__(detail)
        self.error = GatewayError(kind, detail)


def problem(error: GatewayError, request_id: bytes, via: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Turn an error into a response: fields (without framing) and an RFC 9457 body.

    ``via`` is the gateway's pseudonym, the member of ``Proxy-Status`` (RFC 9209).
    """
    return problem_fields(error, via), problem_body(problem_document(error), request_id)


def problem_body(document: bytes, request_id: bytes) -> bytes:
    """The body for one request: its id is made of characters that stand for themselves in JSON."""
    return b'%b"request_id": "%b"}\n' % (document, request_id)


def problem_document(error: GatewayError) -> bytes:
    """The body up to its last member, which is the request's id."""
    kind = error.kind
    document: dict[str, object] = {
        "type": kind.registered or f"urn:tracseq:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
    }
    if error.detail:
        document["detail"] = error.detail
    document.update(error.members)
    return json.dumps(document).encode("utf-8")[:-1] + b", "


def problem_fields(error: GatewayError, via: str) -> list[tuple[bytes, bytes]]:
    """The fields of the response, without framing."""
    kind = error.kind
    fields = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    if kind.proxy_status is not None:
        fields.append((b"proxy-status", f"{via}; error={kind.proxy_status}".encode("ascii")))
    if error.retry_after is not None:
        fields.append((b"retry-after", b"%d" % error.retry_after))
    if error.challenge:
        fields.append((b"www-authenticate", error.challenge.encode("ascii")))
    if error.allow:
        fields.append((b"allow", ", ".join(error.allow).encode("ascii")))
    return fields
