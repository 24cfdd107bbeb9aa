"""The health routes that every service has."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime

import tracseq_gateway

from . import moments
from .records import Database
from .routes import Call, Download, Part, Routes
from .schema import Json, boolean, choice, moment, record, text

_HEALTH = record(
    "Health",
    {
        "status": choice("healthy"),
        "service": text(),
        "version": text(),
        "timestamp": moment(),
        "sandbox": boolean(),
    },
)


class Health(Part):
    """Says whether the service can answer, and how busy it was.

    :param answered: the service's own count of requests by status.
    """

    routes = Routes()

    def __init__(self, service: str, database: Database, clock: IReactorTime, answered: Mapping[int, int]) -> None:
        self._service = service
        self._database = database
        self._clock = clock
        self._answered = answered
        self._started = clock.seconds()

    @routes.get("/health", "Say that the service is alive", answer=_HEALTH, plain=True)
    def health(self, call: Call) -> Json:
        """Answer as long as the process lives."""
        return {
            "status": "healthy",
            "service": self._service,
            "version": tracseq_gateway.__version__,
            "timestamp": moments.to_text(self._clock.seconds()),
            "sandbox": True,
        }

    @routes.get("/health/ready", "Say that the service can use its database", answer=_HEALTH, plain=True)
    def ready(self, call: Call) -> Json:
        """Answer 200 only when the database can be read; otherwise the error becomes a 500."""
        self._database.execute("SELECT count(*) FROM record")
        return self.health(call)

    @routes.get("/health/metrics", "Show metrics in the Prometheus text format", produces="text/plain")
    def metrics(self, call: Call) -> Download:
        """Show uptime, answers by status and records by collection."""
        label = f'service="{self._service}"'
        lines = ["# TYPE sandbox_uptime_seconds gauge"]
        lines.append(f"sandbox_uptime_seconds{{{label}}} {self._clock.seconds() - self._started:.0f}")
        lines.append("# TYPE sandbox_responses_total counter")
        for status, count in sorted(self._answered.items()):
            lines.append(f'sandbox_responses_total{{{label},status="{status}"}} {count}')
        lines.append("# TYPE sandbox_records gauge")
        for collection, count in self._database.counts().items():
            lines.append(f'sandbox_records{{{label},collection="{collection}"}} {count}')
        return Download("\n".join([*lines, ""]).encode(), "text/plain; version=0.0.4")
