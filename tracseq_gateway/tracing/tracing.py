"""Traces as the configuration wants them."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from tracseq_gateway import __version__
from tracseq_gateway.config.model import Config
from tracseq_gateway.config.tracing import collector_fields
from tracseq_gateway.interfaces import Request
from tracseq_gateway.tracing.collector import Collector
from tracseq_gateway.tracing.exporter import SpanExporter
from tracseq_gateway.tracing.otlp import Envelope
from tracseq_gateway.tracing.spans import SpanMaker


class Tracing:
    """Makes the spans of sampled requests and has them exported."""

    def __init__(self, maker: SpanMaker, exporter: SpanExporter, collector: Collector) -> None:
        self._maker = maker
        self._exporter = exporter
        self._collector = collector

    @property
    def counts(self) -> Mapping[str, int]:
        """How many spans were ``exported``, ``dropped`` and ``failed`` so far."""
        return self._exporter.counts

    def record(self, request: Request, ended: float, seconds: float) -> None:
        """Make the spans of a request that ended at ``ended`` (seconds since the epoch) after ``seconds``. Never waits.

        The gateway's own pages have none, for they would mostly be those of probes and scrapes.
        """
        trace = request.trace
        if trace is None or not trace.sampled or not (request.service or request.error):
            return
        self._exporter.add([span.encode() for span in self._maker.spans(request, trace, ended, seconds)])
        if request.repeat is not None:
            request.trace = None  # a refusal that is given again is no span of its own

    def stop(self) -> Deferred[None]:
        """Send what waits; fires when that is done, or given up after a fraction of a second."""
        return self._exporter.stop().addCallback(lambda _: self._collector.close())


def open_tracing(config: Config, reactor: Any, environ: Mapping[str, str]) -> Tracing | None:
    """Make what exports traces; None if they are off. ``environ`` holds the fields for the collector, if any."""
    settings = config.tracing
    if not settings.enabled:
        return None
    fields = collector_fields(environ.get(settings.headers_env, ""))
    collector = Collector(reactor, settings.endpoint, fields, settings.timeout)
    envelope = Envelope(resource_of(config), "tracseq-gateway", __version__)
    exporter = SpanExporter(reactor, settings, envelope.seal, collector.export)
    return Tracing(SpanMaker(config.services), exporter, collector)


def resource_of(config: Config) -> dict[str, str | int]:
    """The attributes of this process; what the configuration says wins."""
    host, process = socket.gethostname(), os.getpid()
    return {
        "service.name": config.tracing.service_name,
        "service.version": __version__,
        "service.instance.id": f"{host}:{process}",
        "host.name": host,
        "process.pid": process,
        "deployment.environment.name": config.gateway.environment,
        **config.tracing.resource,
    }
