"""The spans of a request that is over, in the words of OpenTelemetry's conventions for HTTP (stable ones, 1.27).

House rules:

1. No query, no credential, nothing of who the user is: a path, an address and a User-Agent are what a collector learns
   of a client.
2. What a client sends is cut at a length, and is never the name of a span or of an attribute.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from tracseq_gateway.config.model import Service
from tracseq_gateway.config.url import parse_url
from tracseq_gateway.http.trace_context import TraceContext
from tracseq_gateway.interfaces import Request
from tracseq_gateway.tracing.otlp import CLIENT, SERVER, Span, attribute, event, number, text

_METHOD: Final = attribute("http.request.method")
_STATUS: Final = attribute("http.response.status_code")
_ROUTE: Final = attribute("http.route")
_RESENT: Final = attribute("http.request.resend_count")
_RECEIVED: Final = attribute("http.request.body.size")
_SENT: Final = attribute("http.response.body.size")
_SCHEME: Final = attribute("url.scheme")
_PATH: Final = attribute("url.path")
_URL: Final = attribute("url.full")
_SERVER: Final = attribute("server.address")
_PORT: Final = attribute("server.port")
_CLIENT: Final = attribute("client.address")
_PEER: Final = attribute("network.peer.address")
_VERSION: Final = attribute("network.protocol.version")
_AGENT: Final = attribute("user_agent.original")
_ERROR: Final = attribute("error.type")
_SERVICE: Final = attribute("tracseq.service")
_INSTANCE: Final = attribute("tracseq.instance")
_ATTEMPTS: Final = attribute("tracseq.attempts")
_LIMIT: Final = attribute("tracseq.limit")
_REQUEST_ID: Final = attribute("tracseq.request_id")

PASSED_ON: Final = "request passed on"
ANSWERED: Final = "answer began"
"""Events of the span of asking: the head went out in the last attempt, and the head of its answer came."""

MOST_USUAL: Final = 2048
"""Attributes that are kept as they were written."""

_BY_TLS: Final = b"x-forwarded-proto: https\r\n"
"""Stands in the lines for a service, which is where it is kept how the client came."""


class SpanMaker:
    """Makes the spans of one gateway's requests."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services
        self._usual = lru_cache(MOST_USUAL)(text)
        """Writes an attribute whose value is likely to come again."""

    def spans(self, request: Request, trace: TraceContext, ended: float, seconds: float) -> list[Span]:
        """Return the span of a request that ended at a time (seconds since the epoch) after so many ``seconds``.

        If an instance was asked, another span below it is that of asking: from the first attempt to the end, with what
        the last one came to.
        """
        end = int(ended * 1e9)
        begin = end - int(seconds * 1e9)
        spans = [self._of_request(request, trace, begin, end)]
        if request.admitted:
            spans.append(self._of_asking(request, trace, begin, end))
        return spans

    def _of_request(self, request: Request, trace: TraceContext, begin: int, end: int) -> Span:
        head, error, usual = request.head, request.error, self._usual
        method = head.method.decode("ascii")
        attributes = [
            usual(_METHOD, method),
            usual(_SCHEME, "https" if _BY_TLS in request.forwarded else "http"),
            text(_PATH, _readable(head.path)),
            usual(_SERVER, _host(head.host)),
            usual(_CLIENT, request.client),
            usual(_PEER, request.peer),
            usual(_VERSION, head.version),
            text(_REQUEST_ID, request.request_id.decode("ascii")),
            number(_STATUS, request.status),
            number(_RECEIVED, request.received),
            number(_SENT, request.sent),
        ]
        name = method
        if head.fields.agent is not None:
            attributes.append(usual(_AGENT, _readable(head.fields.agent)))
        if request.service:
            route = self._services[request.service].prefix
            name = f"{method} {route}"
            attributes += (usual(_ROUTE, route), usual(_SERVICE, request.service))
        if request.limit:
            attributes.append(usual(_LIMIT, request.limit))
        if request.attempts:
            attributes += (usual(_INSTANCE, request.instance), number(_ATTEMPTS, request.attempts))
        failed = None
        if error is not None:
            attributes.append(text(_ERROR, error.kind.slug))
            failed = error.note or error.detail if error.kind.status >= 500 else None
        elif request.status >= 500:
            attributes.append(text(_ERROR, str(request.status)))
            failed = ""
        return Span(
            trace.trace_id,
            trace.span_id,
            trace.parent,
            remote=bool(trace.parent),
            kind=SERVER,
            name=name,
            began=begin,
            ended=end,
            attributes=attributes,
            error=failed,
        )

    def _of_asking(self, request: Request, trace: TraceContext, begin: int, end: int) -> Span:
        head, error, usual = request.head, request.error, self._usual
        method = head.method.decode("ascii")
        place = parse_url(request.instance)
        attributes = [
            usual(_METHOD, method),
            usual(_SERVER, place.host),
            number(_PORT, place.port),
            text(_URL, request.instance + self._path_upstream(request)),
            usual(_VERSION, "1.1"),
            usual(_SERVICE, request.service),
        ]
        if request.attempts > 1:
            attributes.append(number(_RESENT, request.attempts - 1))
        failed = None
        if request.answered and request.begun:
            attributes.append(number(_STATUS, request.status))
            if request.status >= 400:
                attributes.append(text(_ERROR, str(request.status)))
                failed = ""
        if error is not None and failed is None:
            attributes.append(text(_ERROR, error.kind.slug))
            failed = error.note or error.detail

        def moment(seconds: float) -> int:
            return begin + int((seconds - request.began) * 1e9)

        events = [
            event(moment(seconds), name)
            for seconds, name in ((request.passed_on, PASSED_ON), (request.answered, ANSWERED))
            if seconds
        ]
        return Span(
            trace.trace_id,
            trace.upstream_id,
            trace.span_id,
            remote=False,
            kind=CLIENT,
            name=method,
            began=moment(request.admitted),
            ended=end,
            attributes=attributes,
            events=events,
            error=failed,
        )

    def _path_upstream(self, request: Request) -> str:
        """The path that the instance was asked for, as routing makes it."""
        service = self._services[request.service]
        below = request.head.path[len(service.prefix.rstrip("/")) :] or b"/"
        return service.rewrite.rstrip("/") + _readable(below)


def _host(host: bytes) -> str:
    """A Host field without its port, and without the brackets of an IPv6 address."""
    name, _, port = host.decode("ascii").rpartition(":")
    return (name if name and port.isdigit() else host.decode("ascii")).strip("[]")


def _readable(value: bytes) -> str:
    return value.decode("utf-8", "replace")
