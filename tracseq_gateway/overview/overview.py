"""What is kept of the workers' digests, and the document that it is shown as.

House rules:

1. Everything is bounded: by ten seconds, five minutes, a quarter of an hour, or a number of entries.
2. It needs no clock: each call says when it is.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from attrs import asdict

from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.metrics.counting import FINE_BOUNDS
from tracseq_gateway.overview.digest import Digest, Ended
from tracseq_gateway.overview.facts import Facts, ServiceFacts, WorkerFacts
from tracseq_gateway.overview.percentiles import in_milliseconds
from tracseq_gateway.overview.recurring import Recurring
from tracseq_gateway.overview.states import Circuit, ServiceState, overall_state, service_state
from tracseq_gateway.overview.window import ServiceSum, Sums, Window

Document = dict[str, Any]

STEP_SECONDS: Final = 5.0
"""From one point of the history to the next."""
POINTS: Final = 180
"""A quarter of an hour."""
CHANGES: Final = 60
"""Changes of state that are kept of each service."""
MOST_RECENT: Final = 20
MOST_RECURRING: Final = 20

_WORSE: Final = {"off": 0, "shared": 1, "local": 2, "open": 3, "closed": 4}
"""How rates are limited; when workers differ, what is furthest behind is shown."""


class Overview:
    """Told each digest, and once a second what the supervisor knows."""

    def __init__(self) -> None:
        self.window = Window()
        self._errors = Recurring()
        self._refused = Recurring()
        self._slow: deque[Ended] = deque(maxlen=MOST_RECENT)
        self._failed: deque[Ended] = deque(maxlen=MOST_RECENT)
        self._timelines: dict[str, deque[tuple[float, ServiceState]]] = {}
        self._points: deque[Document] = deque(maxlen=POINTS)
        self._next_point: float | None = None
        self._limits = "off"

    def take(self, worker: int, digest: Digest, moment: float) -> None:
        """A digest came from the worker with this process id."""
        self.window.take(worker, digest, moment)
        self._errors.add(digest.errors, moment)
        self._refused.add(digest.refused, moment)
        self._slow.extend(digest.slow)
        self._failed.extend(digest.failed)

    def observe(self, facts: Facts) -> None:
        """Take down how the gateway is; to be called once a second."""
        self.window.retain({worker.pid for worker in facts.workers})
        circuits, ejected = self._judgements()
        names = {service.name for service in facts.services}
        self._timelines = {name: changes for name, changes in self._timelines.items() if name in names}
        for service in facts.services:
            state = service_state(
                service.instances, ejected.get(service.name, ()), circuits.get(service.name, "closed")
            )
            changes = self._timelines.setdefault(service.name, deque(maxlen=CHANGES))
            if not changes or changes[-1][1] != state:
                changes.append((facts.time, state))
        if self._next_point is None:
            self._next_point = facts.moment + STEP_SECONDS
        elif facts.moment >= self._next_point:
            self._points.append(self._point(facts))
            # Behind a pause of the supervisor's begins a new row of steps.
            on_time = facts.moment < self._next_point + STEP_SECONDS
            self._next_point = (self._next_point if on_time else facts.moment) + STEP_SECONDS

    def _point(self, facts: Facts) -> Document:
        sums = self.window.sums(facts.moment, STEP_SECONDS)
        together = sum(sums.services.values(), ServiceSum())
        return {
            "time": facts.time,
            "requests_per_second": sums.rate(together.requests),
            "errors_per_second": sums.rate(together.errors),
            **in_milliseconds(FINE_BOUNDS, sums.durations(service.name for service in facts.services)),
        }

    def document(self, facts: Facts) -> Document:
        """The overview; ``docs/command-line.md`` says what is in it."""
        self.window.retain({worker.pid for worker in facts.workers})
        sums = self.window.sums(facts.moment)
        circuits, ejected = self._judgements()
        flying = self.in_flight()
        services = [
            {
                **_service(service, sums, circuits.get(service.name, "closed"), ejected.get(service.name, set())),
                "instances": [
                    {
                        **_instance(instance, sums, instance.url in ejected.get(service.name, ())),
                        "in_flight": flying[instance.service, instance.url],
                    }
                    for instance in service.instances
                ],
                "timeline": [list(change) for change in self._timelines.get(service.name, ())],
            }
            for service in facts.services
        ]
        self._limits = limits = self._limiter_mode()
        states = [service["state"] for service in services]
        return {
            "time": facts.time,
            "version": facts.version,
            "environment": facts.environment,
            "started": facts.started,
            "counted": facts.counted,
            "status": "draining"
            if facts.stopping
            else overall_state(states, (facts.running, facts.configured), limits),
            "totals": self._totals(facts, sums),
            "workers": [self._worker(worker, sums) for worker in facts.workers],
            "restarts": facts.restarts,
            "services": services,
            "errors": [
                {"service": service, "kind": kind, "count": count}
                for (service, kind), count in self._errors.most(MOST_RECURRING, facts.moment)
            ],
            "limits": {
                "mode": limits,
                "hit": [
                    {"service": service, "client": client, "count": count}
                    for (service, client), count in self._refused.most(MOST_RECURRING, facts.moment)
                ],
            },
            "recent": {"slow": _newest(self._slow), "failed": _newest(self._failed)},
            "history": {"step": STEP_SECONDS, "points": list(self._points)},
        }

    def in_flight(self) -> Counter[tuple[str, str]]:
        """How many requests all workers together have under way, by service and URL, as they last said."""
        flying: Counter[tuple[str, str]] = Counter()
        for digest in self.window.latest.values():
            for instance in digest.instances:
                flying[instance.service, instance.url] += instance.in_flight
        return flying

    def _limiter_mode(self) -> str:
        """How rates are limited where it is worst; as it was last, while new workers have said nothing yet."""
        modes = [digest.limits for digest in self.window.latest.values()]
        return max(modes, key=lambda mode: _WORSE.get(mode, 0), default=self._limits)

    def _judgements(self) -> tuple[Mapping[str, Circuit], Mapping[str, set[str]]]:
        """Which circuits are not closed and which URLs are ejected, by service, in any worker."""
        circuits: dict[str, Circuit] = {}
        ejected: dict[str, set[str]] = {}
        for digest in self.window.latest.values():
            for service, state in digest.circuits:
                if state == "open" or service not in circuits:
                    circuits[service] = "open" if state == "open" else "half_open"
            for service, url in digest.ejected:
                ejected.setdefault(service, set()).add(url)
        return circuits, ejected

    def _totals(self, facts: Facts, sums: Sums) -> Document:
        together = sum(sums.services.values(), ServiceSum())
        latest = self.window.latest.values()
        return {
            **_rates(sums, together),
            # How long somebody looks at a page of the gateway's own says nothing of how fast it is.
            **in_milliseconds(FINE_BOUNDS, sums.durations(service.name for service in facts.services)),
            "in_flight": sum(digest.in_flight for digest in latest),
            "connections": sum(digest.connections for digest in latest),
            "received_per_second": sums.rate(sums.received),
            "sent_per_second": sums.rate(sums.sent),
        }

    def _worker(self, worker: WorkerFacts, sums: Sums) -> Document:
        latest = self.window.latest.get(worker.pid, Digest())
        return {
            **asdict(worker),
            "requests_per_second": sums.by_worker.get(worker.pid, 0.0),
            "in_flight": latest.in_flight,
            "connections": latest.connections,
            "lag_ms": round(latest.lag * 1000, 3),
            "memory_bytes": latest.memory,
        }


def _service(service: ServiceFacts, sums: Sums, circuit: Circuit, ejected: Collection[str]) -> Document:
    counted = sums.services.get(service.name, ServiceSum())
    return {
        "name": service.name,
        "prefix": service.prefix,
        "state": service_state(service.instances, ejected, circuit),
        "circuit": circuit,
        **_rates(sums, counted),
        **in_milliseconds(FINE_BOUNDS, counted.durations),
    }


def _instance(instance: InstanceHealth, sums: Sums, ejected: bool) -> Document:
    place = instance.service, instance.url
    return {
        "url": instance.url,
        "state": instance.state,
        "ejected": ejected,
        "drained": instance.drained,
        "since": instance.since or None,
        "checked": instance.checked or None,
        "latency_ms": None if instance.latency is None else round(instance.latency * 1000, 3),
        "error": instance.error,
        "requests_per_second": sums.rate(sums.asked[place]),
        "failed_per_second": sums.rate(sums.failed[place]),
    }


def _rates(sums: Sums, counted: ServiceSum) -> Document:
    return {
        "requests_per_second": sums.rate(counted.requests),
        "errors_per_second": sums.rate(counted.errors),
        "refused_per_second": sums.rate(counted.refused),
    }


def _newest(requests: Iterable[Ended]) -> list[Document]:
    """As they are shown: the newest first."""
    return sorted(map(asdict, requests), key=lambda request: request["time"], reverse=True)
