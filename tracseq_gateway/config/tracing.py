"""The configuration of traces: which requests are kept, and where their spans are sent."""

from __future__ import annotations

import re
from urllib.parse import unquote

from attrs import Factory, frozen

from tracseq_gateway.config.keys import MOMENT, Network, Seconds, key
from tracseq_gateway.config.problem import Wrong, show
from tracseq_gateway.config.url import URL, is_host, is_port

HEADERS_VARIABLE = "OTEL_EXPORTER_OTLP_HEADERS"

_EXAMPLE = '"http://collector:4318/v1/traces" would be right'
_VISIBLE = re.compile(r'[!-"$-~]+')  # without "#": a fragment is never sent
_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FIELD_VALUE = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
_ATTRIBUTE = re.compile(r"[a-z][a-z0-9_.-]{0,127}")
_LONGEST_VALUE = 256


@frozen
class Tracing:
    """Traces, sent by OTLP over HTTP."""

    enabled: bool = key(False, "Whether requests get a place in a trace, and spans of some are sent.")
    endpoint: str = key(
        "http://127.0.0.1:4318/v1/traces",
        "Where an OpenTelemetry collector takes traces by OTLP over HTTP: http or https.",
    )
    ratio: float = key(
        0.01, "The share of requests whose spans are kept, where no caller of ``trusted_parents`` decides.", most=1
    )
    trusted_parents: tuple[Network, ...] = key(
        (),
        "Networks of peers that trace themselves, such as a load balancer: whether they keep a trace holds here too. "
        "Nobody belongs here who passes on what strangers send. The ids of a trace are continued from anybody.",
    )
    service_name: str = key("tracseq-gateway", "``service.name`` of the spans.")
    resource: dict[str, str] = key(
        Factory(dict), "Further attributes of the resource, such as ``deployment.environment.name``."
    )
    headers_env: str = key(
        HEADERS_VARIABLE,
        "Environment variable that holds fields for the collector, as ``NAME=VALUE,NAME=VALUE`` with the values "
        "percent-encoded; for example ``Authorization=Bearer%20SECRET``. If another than the usual one is named, it "
        "must be set.",
    )
    timeout: Seconds = key(Seconds(10.0), "How long one export may take.", least=MOMENT, most=60)
    batch_spans: int = key(512, "Most spans of one export.", least=1, most=8192)
    batch_seconds: Seconds = key(Seconds(5.0), "How long a span waits for others.", least=MOMENT, most=60)
    queue_spans: int = key(
        2048,
        "Most spans that wait in a worker, those under way not counted; beyond it they are dropped.",
        least=1,
        most=1 << 20,
    )


def collector_url(url: str) -> str:
    """An http or https URL with a path."""
    parts = URL.fullmatch(url)
    if parts is None or parts["scheme"] not in ("http", "https") or not _VISIBLE.fullmatch(url):
        raise Wrong(f"{show(url)} is not an http or https URL", _EXAMPLE)
    if parts["user"] is not None:
        raise Wrong("the URL holds a user name or a password", "fields in the variable of headers_env would be right")
    host = parts["host"]
    bare = host[1:-1] if host.startswith("[") else host
    if not is_host(bare) or (":" in bare) != host.startswith("["):
        raise Wrong(f"{show(url)} has no valid host", _EXAMPLE)
    if parts["port"] is not None and not is_port(parts["port"]):
        raise Wrong(f"{show(url)} has no valid port", "a port from 1 to 65535 would be right")
    if not (parts["rest"] or "").startswith("/"):
        raise Wrong(f"{show(url)} has no path", _EXAMPLE)
    return url


def shown_text(text: str) -> str:
    """What is shown beside the spans of others."""
    if not text or len(text) > _LONGEST_VALUE or not text.isprintable():
        raise Wrong(f"{show(text)} cannot be shown", f"1 to {_LONGEST_VALUE} printable characters would be right")
    return text


def resource_attributes(table: dict[str, str]) -> dict[str, str]:
    """Names and values of attributes."""
    for name, value in table.items():
        if not _ATTRIBUTE.fullmatch(name):
            right = "small letters, digits, dots, - and _ would be right"
            raise Wrong("is no name of an attribute", right, (name,))
        try:
            shown_text(value)
        except Wrong as fault:
            raise Wrong(fault.wrong, fault.right, (name,)) from None
    return table


def collector_fields(text: str) -> list[tuple[str, str]]:
    """Read what the variable of ``headers_env`` holds; raises :class:`Wrong`, which shows nothing of it."""
    fields = []
    for pair in filter(str.strip, text.split(",")):
        name, mark, value = (part.strip() for part in pair.partition("="))
        value = unquote(value, errors="replace")  # what is replaced is not ASCII, and so refused
        if not mark or not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
            raise Wrong("does not hold fields", "NAME=VALUE,NAME=VALUE with percent-encoded values would be right")
        fields.append((name, value))
    return fields
