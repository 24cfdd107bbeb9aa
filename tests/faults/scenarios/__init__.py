"""All scenarios, and those that are still to come."""

from __future__ import annotations

from tests.faults.scenario import Scenario
from tests.faults.scenarios import answers, limits, redis, reload, upstreams, workers

SCENARIOS: dict[int, Scenario] = {
    scenario.number: scenario
    for group in (workers, reload, upstreams, answers, redis, limits)
    for scenario in sorted(group.SCENARIOS, key=lambda scenario: scenario.number)
}

NOT_YET = {
    22: "a service's TLS certificate expires: the gateway does not yet speak TLS to services",
    34: "HTTP/2 floods: the gateway does not yet speak HTTP/2",
}
