"""What one worker knows of the gateway, as the status pages show it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from tracseq_gateway import __version__
from tracseq_gateway.config.model import Config
from tracseq_gateway.interfaces import InstanceHealth, WorkerHealth
from tracseq_gateway.overview.states import service_state

Document = dict[str, Any]


def stamp(seconds: float) -> str | None:
    """Seconds since the epoch as RFC 3339 in UTC; None for 0, which means never."""
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Status:
    """Collects what the supervisor pushes, and describes it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._health = {
            (service.name, instance.url): InstanceHealth(service.name, instance.url)
            for service in config.services.values()
            for instance in service.instances
        }
        self._workers: WorkerHealth | None = None
        self._parts: dict[str, Callable[[], Any]] = {}
        self._judge: Callable[[str], tuple[str, Collection[str]]] = lambda service: ("closed", ())
        self.draining = False

    def update_instances(self, instances: Iterable[InstanceHealth]) -> None:
        """Take over the newest states."""
        for health in instances:
            if (health.service, health.url) in self._health:
                self._health[health.service, health.url] = health

    def list_instances(self, service: str, urls: Iterable[str]) -> None:
        """A service has these instances from now on; of those that it had before, what is known is kept."""
        before = {health.url: health for health in self.of_service(service)}
        for url in before:
            del self._health[service, url]
        for url in urls:
            self._health[service, url] = before.get(url) or InstanceHealth(service, url)

    def update_workers(self, workers: WorkerHealth) -> None:
        """Take over how many workers there are."""
        self._workers = workers

    def show(self, name: str, part: Callable[[], Any]) -> None:
        """Have ``/health`` show what ``part`` returns, under ``name``."""
        self._parts[name] = part

    def show_judgement(self, judge: Callable[[str], tuple[str, Collection[str]]]) -> None:
        """Have ``/health/services`` show how the circuit of a service is, and the URLs of who is ejected."""
        self._judge = judge

    def of_service(self, name: str) -> Sequence[InstanceHealth]:
        """The instances of one service."""
        return [health for health in self._health.values() if health.service == name]

    def service_state(self, name: str) -> str:
        """``healthy``, ``degraded`` (some instance is not), ``unhealthy`` (none is) or ``unknown`` (not probed yet)."""
        return service_state(self.of_service(name))

    def overall(self) -> str:
        """``healthy``, ``unhealthy`` when no service can be used, else ``degraded``."""
        states = {self.service_state(name) for name in self._config.services}
        if states <= {"healthy", "unknown"}:
            return "healthy"
        return "unhealthy" if states == {"unhealthy"} else "degraded"

    def health(self, now: float) -> Document:
        """``GET /health``."""
        document: Document = {
            "status": "draining" if self.draining else "healthy",
            "service": "tracseq-gateway",
            "version": __version__,
            "timestamp": stamp(now),
            "services": self.overall(),
        }
        if self._workers is not None:
            document["workers"] = {
                "configured": self._workers.configured,
                "running": self._workers.running,
                "restarts": self._workers.restarts,
            }
        for name, part in self._parts.items():
            document[name] = part()
        return document

    def services_health(self, now: float) -> Document:
        """``GET /health/services``."""
        return {
            "status": self.overall(),
            "timestamp": stamp(now),
            "services": {name: self._service_health(name) for name in self._config.services},
        }

    def _service_health(self, name: str) -> Document:
        circuit, ejected = self._judge(name)
        return {
            "status": self.service_state(name),
            "circuit": circuit,
            "instances": [_instance(health, health.url in ejected) for health in self.of_service(name)],
        }

    def services(self) -> Document:
        """``GET /services``."""
        return {
            "services": [
                {
                    "name": service.name,
                    "prefix": service.prefix,
                    "status": self.service_state(service.name),
                    "instances": len(self.of_service(service.name)),
                    "balance": service.balance,
                    "max_body": service.max_body,
                }
                for service in self._config.services.values()
            ]
        }

    def root(self) -> Document:
        """``GET /``."""
        return {
            "name": "TracSeq Gateway",
            "version": __version__,
            "status": "draining" if self.draining else "running",
            "environment": self._config.gateway.environment,
            "services": {service.name: service.prefix for service in self._config.services.values()},
            "links": {
                "health": "/health",
                "health_of_services": "/health/services",
                "services": "/services",
                **({"dashboard": "/dashboard"} if self._config.dashboard.enabled else {}),
                **({"docs": "/docs", "openapi": "/openapi.json"} if self._config.docs.enabled else {}),
                **({"metrics": self._config.metrics.path} if self._config.metrics.enabled else {}),
            },
        }


def _instance(health: InstanceHealth, ejected: bool) -> Document:
    return {
        "url": health.url,
        "state": health.state,
        "ejected": ejected,
        "drained": health.drained,
        "since": stamp(health.since),
        "checked": stamp(health.checked),
        "latency_ms": None if health.latency is None else round(health.latency * 1000, 2),
        "error": health.error,
    }
