"""A long load with a fault each minute (scenario 41): what stays behind is what is looked for."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import linear_regression

from tests.faults import checks
from tests.faults.asked import Asked
from tests.faults.figures import ABSENT, Figure, at_most, noted, percentile, share, troubled
from tests.faults.laboratory import Laboratory
from tests.faults.scenario import Outcome, Phases, Scenario, Step
from tests.faults.setup import Setup

NUMBER = 41
WARM_UP = 10.0
FAULT_SECONDS = 8.0
"""Seconds from a fault's begin that are not counted as calm."""
LONG = 600.0
"""Seconds of a soak from which on slopes mean something."""
LIMITS = "[rate_limit]\nenabled = true\n"
FREE: Mapping[str, object] = {"rate_limit": {"requests_per_minute": 60_000_000, "burst": 1_000_000}}


def _kill(laboratory: Laboratory) -> None:
    laboratory.kill_worker()


def _reload(laboratory: Laboratory) -> None:
    laboratory.gateway.signal(signal.SIGHUP)


def _instance_away(laboratory: Laboratory) -> None:
    laboratory.door(0, "refuse", "reset")


def _instance_back(laboratory: Laboratory) -> None:
    laboratory.door(0, "pass")


def _redis_away(laboratory: Laboratory) -> None:
    laboratory.redis.kill()


def _redis_back(laboratory: Laboratory) -> None:
    laboratory.redis.start()


Fault = tuple[str, Callable[[Laboratory], None], Callable[[Laboratory], None] | None]
FAULTS: tuple[Fault, ...] = (
    ("worker killed", _kill, None),
    ("reload", _reload, None),
    ("instance refuses", _instance_away, _instance_back),
    ("Redis killed", _redis_away, _redis_back),
)
"""What may happen, and what ends it."""


def soak(minutes: float, every: float = 60.0, seed: int = 1) -> Scenario:
    """A soak of so many minutes, with a fault every so many seconds, the same ones for the same seed."""
    phases = Phases(WARM_UP, max(minutes * 60 - 2 * WARM_UP, every), WARM_UP)
    return Scenario(
        NUMBER,
        "soak",
        f"{minutes:g} minutes with a fault every {every:g} s: no error but then, nothing grows",
        _judge,
        lambda phases: _steps(phases, every, Random(seed)),
        Setup(redis="own", service=FREE, toml=LIMITS),
        phases=dict.fromkeys(("quick", "default", "full"), phases),
    )


def _steps(phases: Phases, every: float, random: Random) -> Sequence[Step]:
    steps = []
    order: list[Fault] = []
    for number in range(int(phases.fault // every)):
        if number % len(FAULTS) == 0:  # each of them comes as often as any other, in an order of its own
            order = random.sample(FAULTS, len(FAULTS))
        name, begin, end = order[number % len(FAULTS)]
        at = number * every + random.uniform(0, every / 4)
        steps.append(Step(at, name, begin))
        if end is not None:
            steps.append(Step(at + min(FAULT_SECONDS, every) / 2, f"{name}: over", end))
    return steps


def _calm(outcome: Outcome) -> list[Asked]:
    begins = [when for when, what in outcome.marks if not what.endswith("over")]
    return [
        one
        for one in outcome.told.asked
        if one.due > outcome.fault_begin and not any(0 <= one.due - begin < FAULT_SECONDS for begin in begins)
    ]


def _judge(outcome: Outcome) -> Sequence[Figure]:
    calm = _calm(outcome)
    quarter = len(calm) // 4
    first, last = percentile(calm[:quarter], 0.99), percentile(calm[-quarter:], 0.99)
    figures = [
        at_most("errors outside of the faults", share(len(troubled(calm)), len(calm)), 0.01, "%"),
        noted("errors in all", share(len(troubled(outcome.told.asked)), len(outcome.told.asked)), "%"),
        noted("faults", len([what for _when, what in outcome.marks if not what.endswith("over")])),
        checks.descriptors_returned(outcome),
        checks.no_zombies(outcome),
    ]
    memory, drift = _slope(outcome), 100 * (last / first - 1) if first else ABSENT
    if outcome.phases.total < LONG:
        return [*figures, noted("growth of the supervisor", memory, "MB/h"), noted("drift of the p99", drift, "%")]
    lived, growth = _worker_growth(outcome)
    # Each reload replaces all workers: of one that lived for minutes the slope is that of its caches.
    worker = at_most if lived >= LONG else lambda what, value, _limit, unit: noted(what, value, unit)
    return [
        *figures,
        at_most("growth of the supervisor", memory, 1.0, "MB/h"),
        noted("life of the oldest worker", lived, "s"),
        worker("growth of the oldest worker", growth, 1.0, "MB/h"),
        at_most("drift of the p99", drift, 10.0, "%"),
    ]


def _slope(outcome: Outcome) -> float:
    """Megabytes an hour by which the supervisor grows, by linear regression after the warm-up."""
    points = [
        (one.when, one.supervisor.resident)
        for one in outcome.samples
        if one.supervisor is not None and one.when > outcome.fault_begin
    ]
    return _hourly(points)


def _worker_growth(outcome: Outcome) -> tuple[float, float]:
    """For how many seconds the worker that lived longest was seen, and by how many megabytes an hour it grew."""
    points: dict[int, list[tuple[float, int]]] = {}
    for one in outcome.samples:
        for held in one.workers:
            points.setdefault(held.pid, []).append((one.when, held.resident))
    longest = max(points.values(), key=len, default=[])
    lived = longest[-1][0] - longest[0][0] if longest else 0.0
    return lived, _hourly(longest[len(longest) // 4 :])


def _hourly(points: Sequence[tuple[float, int]]) -> float:
    if len(points) < 2:
        return ABSENT
    slope, _intercept = linear_regression([when for when, _size in points], [size for _when, size in points])
    return slope * 3600 / 1e6
