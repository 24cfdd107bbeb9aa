"""Redis away, stuck or wrong, and how exact limits are."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults import checks
from tests.faults.asked import Asked, between
from tests.faults.figures import ABSENT, Figure, at_least, at_most, milliseconds, none, noted
from tests.faults.laboratory import Laboratory
from tests.faults.scenario import Length, Outcome, Phases, Scenario, Step
from tests.faults.setup import Setup

RATE = 20
"""Requests a second that the service ``limited`` lets pass, beside a burst of as many."""
PRESSED = 60.0
"""Requests a second that a client sends to it."""
FREE = {"rate_limit": {"requests_per_minute": 60_000_000, "burst": 1_000_000}}
"""For the service of the load: looked up in Redis like the others, and never refused."""
REDIS: dict[Length, Phases] = {
    "quick": Phases(3, 5, 4),
    "default": Phases(4, 10, 6),
    "full": Phases(20, 10, 30),
}


def limited(when_down: str) -> str:
    return f"""
[rate_limit]
enabled = true
when_redis_is_down = "local"

[services.limited]
prefix = "/limited"
rewrite = ""
instances = ["@INSTANCE@"]
rate_limit = {{ requests_per_minute = {RATE * 60}, burst = {RATE} }}
when_redis_is_down = "{when_down}"
"""


def press(phases: Phases) -> Step:
    """A client that asks three times as often as it may, from before the fault until the end."""

    def press(laboratory: Laboratory) -> None:
        laboratory.also(
            "limited",
            path="/limited/items",
            rate=PRESSED,
            seconds=phases.total - 0.5,
            connections=8,
            mix=((1.0, "GET", 0),),
        )

    return Step(-phases.before + 0.1, "a client presses on its limit", press)


def admitted(outcome: Outcome, begin: float, end: float) -> float:
    """How many a second of the pressing client's requests passed, in a part of the run."""
    passed = [one for one in between(outcome.others["limited"].asked, begin, end) if one.good]
    return len(passed) / (end - begin) if end > begin else ABSENT


def server_errors(asked: Sequence[Asked]) -> int:
    return sum(one.status >= 500 or (not one.good and not one.status) for one in asked)


def _away_judge(outcome: Outcome) -> Sequence[Figure]:
    first, later = outcome.since_fault(0, 1), outcome.since_fault(1, outcome.phases.fault)
    calm = milliseconds(outcome.before, 0.99)
    return [
        none("5xx, or no answer", server_errors([*outcome.told.asked, *outcome.others["limited"].asked])),
        checks.errors("of the others", outcome.told.asked),
        at_most("p99 in the first second", milliseconds(first, 0.99), calm + 60, "ms"),
        at_most("p99 after it", milliseconds(later, 0.99), calm + 5 + checks.JITTER, "ms"),
        noted("passed a second before", admitted(outcome, outcome.told.begun + 1.5, outcome.fault_begin)),
        at_most(
            "passed a second without Redis (limit 20)",
            admitted(outcome, outcome.fault_begin + 1, outcome.fault_end),
            RATE * 2,
        ),
        at_least("of them at least", admitted(outcome, outcome.fault_begin + 1, outcome.fault_end), RATE * 0.4),
        at_most(
            "passed a second, from 2 s after its return",
            admitted(outcome, outcome.fault_end + 2, outcome.end - 0.5),
            RATE * 1.1,
        ),
    ]


def _closed_judge(outcome: Outcome) -> Sequence[Figure]:
    closed = between(outcome.others["limited"].asked, outcome.fault_begin + 0.5, outcome.fault_end)
    return [
        checks.errors("of the other route", outcome.told.asked),
        none("answers of the route that closes other than 503", sum(one.status != 503 for one in closed)),
        none("503 without Retry-After", sum(one.status == 503 and not one.retry_after for one in closed)),
        at_most(
            "passed a second, from 2 s after its return",
            admitted(outcome, outcome.fault_end + 2, outcome.end - 0.5),
            RATE * 1.1,
        ),
    ]


def _kill_and_restart(phases: Phases) -> Sequence[Step]:
    return [
        press(phases),
        Step(0, "kill -9", lambda laboratory: laboratory.redis.kill()),
        Step(phases.fault, "starts again", lambda laboratory: laboratory.redis.start()),
    ]


def _pause_and_resume(phases: Phases) -> Sequence[Step]:
    return [
        press(phases),
        Step(0, "SIGSTOP", lambda laboratory: laboratory.redis.pause()),
        Step(phases.fault, "SIGCONT", lambda laboratory: laboratory.redis.resume()),
    ]


SCENARIOS = (
    Scenario(
        23,
        "Redis killed",
        "no 5xx; p99 at most 60 ms more in the first second; limits within 2x by the local ones, exact 2 s after",
        _away_judge,
        _kill_and_restart,
        Setup(redis="own", service=FREE, toml=limited("local")),
        phases=REDIS,
    ),
    Scenario(
        24,
        "Redis killed, route closes",
        "503 with Retry-After on the route that says closed, no error on the others",
        _closed_judge,
        _kill_and_restart,
        Setup(redis="own", service=FREE, toml=limited("closed")),
        phases=REDIS,
    ),
    Scenario(
        25,
        "Redis stuck",
        "SIGSTOP of Redis: as when it is killed",
        _away_judge,
        _pause_and_resume,
        Setup(redis="own", service=FREE, toml=limited("local")),
        phases=REDIS,
    ),
)
