"""One line that says how the gateway is: what ``systemctl status`` shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tracseq_gateway.interfaces import InstanceHealth, WorkerHealth
from tracseq_gateway.overview.states import service_state

MOST_NAMED: Final = 8
"""Services that are not healthy and are named; of more, only how many they are."""


def status_line(workers: WorkerHealth, services: Sequence[str], health: Iterable[InstanceHealth]) -> str:
    """For example ``2 of 2 workers serve; 7 services: 6 healthy, samples degraded``."""
    instances: dict[str, list[InstanceHealth]] = {name: [] for name in services}
    for instance in health:
        instances.setdefault(instance.service, []).append(instance)
    combined = {name: service_state(found) for name, found in instances.items()}
    others = [f"{name} {state}" for name, state in combined.items() if state != "healthy"]
    said = [f"{len(combined) - len(others)} healthy", *others[:MOST_NAMED]]
    if len(others) > MOST_NAMED:
        said.append(f"{len(others) - MOST_NAMED} more not healthy")
    serving = f"{workers.running} of {_count(workers.configured, 'worker')} serve"
    return (
        f"{serving}; {_count(len(combined), 'service')}: {', '.join(said)}" if combined else f"{serving}; no services"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
