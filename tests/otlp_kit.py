"""A collector for tests: it takes OTLP over HTTP and reads it with the published classes of OpenTelemetry."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, frozen
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@frozen
class ReceivedSpan:
    """One span as a collector sees it."""

    span: Span
    attributes: Mapping[str, str | int]
    resource: Mapping[str, str | int]
    scope: str

    @property
    def ids(self) -> tuple[str, str, str]:
        """Trace, span and parent in hex digits."""
        return self.span.trace_id.hex(), self.span.span_id.hex(), self.span.parent_span_id.hex()

    @property
    def events(self) -> list[str]:
        """The names of its events."""
        return [event.name for event in self.span.events]


def read_export(body: bytes) -> list[ReceivedSpan]:
    """Read the spans of an export; fails if it holds anything that this version of OTLP does not know."""
    message = ExportTraceServiceRequest.FromString(body)
    assert message.SerializeToString(deterministic=True) == body, "fields that are unknown or out of order"
    return [
        ReceivedSpan(span, _values(span.attributes), _values(of_resource.resource.attributes), of_scope.scope.name)
        for of_resource in message.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]


def _values(attributes: Any) -> dict[str, str | int]:
    pairs = {each.key: _value(each) for each in attributes}
    assert len(pairs) == len(attributes), "an attribute that is there twice"
    return pairs


def _value(attribute: KeyValue) -> str | int:
    kind = attribute.value.WhichOneof("value")
    assert kind in ("string_value", "int_value"), attribute
    value: str | int = getattr(attribute.value, kind)
    return value


@define
class Reply:
    """What the collector answers."""

    status: int = 200
    body: bytes = b""
    fields: Mapping[str, str] = {}
    seconds: float = 0.0
    """How long it takes its time."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: that a gateway waits no longer for an answer is no error."""


class RunningCollector:
    """A collector in a thread, with a socket of its own."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.spans: list[ReceivedSpan] = []
        self.requests: list[tuple[str, Mapping[str, str]]] = []
        self.reply = Reply()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                reply = collector.reply
                time.sleep(reply.seconds)
                if reply.status == 200:
                    collector.spans += read_export(body)
                collector.requests.append((self.path, {name.lower(): text for name, text in self.headers.items()}))
                self.send_response(reply.status)
                for name, text in {**reply.fields, "content-length": str(len(reply.body))}.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
