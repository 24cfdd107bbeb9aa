"""All scenarios, and those that are still to come."""

from __future__ import annotations

from tests.faults.scenario import Scenario
from tests.faults.scenarios import answers, environment, hostile, limits, redis, reload, transfers, upstreams, workers

SCENARIOS: dict[int, Scenario] = {
    scenario.number: scenario
    for group in (workers, reload, upstreams, answers, redis, limits, hostile, transfers, environment)
    for scenario in sorted(group.SCENARIOS, key=lambda scenario: scenario.number)
}

NOT_YET = {
    21: "names that change: needs a name server of the kit's own",
    28: "a million keys: `make bench` measures what a key takes, in its part `memory`",
    34: "HTTP/2 floods: the gateway does not yet speak HTTP/2",
    36: "a thousand bad tokens a second: needs an issuer of the kit's own",
}
"""Scenarios of the reference that are not here, and why. 41 is the soak, 42 the books, compared after every run."""
