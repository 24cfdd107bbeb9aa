"""Redis that answers, but wrongly, and how exact the limits are."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from tests.faults import checks
from tests.faults.asked import between
from tests.faults.figures import Figure, at_least, at_most, milliseconds, none, noted, true
from tests.faults.laboratory import Laboratory
from tests.faults.scenario import LONGER, Outcome, Phases, Scenario, Step
from tests.faults.scenarios.redis import FREE, RATE, limited, press, server_errors
from tests.faults.setup import Setup
from tests.redis_kit import RealRedis

WRONG = (
    "-LOADING Redis is loading the dataset in memory",
    "-READONLY You can't write against a read only replica.",
    "-OOM command not allowed when used memory > 'maxmemory'.",
    "-NOAUTH Authentication required.",
    "-BUSY Redis is busy running a script.",
    "-NOSCRIPT No matching script.",
    "-WRONGTYPE Operation against a key holding the wrong kind of value",
    "-ERR max number of clients reached",
    ":1",
    "$x",
)
"""What takes the place of one in ten replies, one after the other; the last is no reply at all."""


def _wrong(text: str) -> Step:
    return Step(0, text[:9], lambda laboratory: laboratory.tamper("redis", "down", replies=text))


def _wrong_steps(phases: Phases) -> Sequence[Step]:
    each = phases.fault / len(WRONG)
    steps = [Step(number * each, _wrong(text).what, _wrong(text).do) for number, text in enumerate(WRONG)]
    return [press(phases), *steps, Step(phases.fault, "is well", _well)]


def _well(laboratory: Laboratory) -> None:
    laboratory.note("codes", laboratory.gateway.metrics("gateway_redis_errors_total"))
    laboratory.tamper("redis", "down")


def _wrong_judge(outcome: Outcome) -> Sequence[Figure]:
    codes = outcome.notes["codes"][0]
    return [
        none("5xx, or no answer", server_errors([*outcome.told.asked, *outcome.others["limited"].asked])),
        checks.errors("of the others", outcome.told.asked),
        at_least("kinds of errors counted in the metrics", len(codes), 5),
        noted("they were", ", ".join(label.split('"')[1] for label in codes)),
        at_most("p99 during", milliseconds(outcome.during, 0.99), milliseconds(outcome.before, 0.99) + 60, "ms"),
    ]


def _flush(redis: RealRedis) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(redis.path)
        connection.sendall(b"FLUSHALL\r\n")  # an inline command
        assert connection.recv(64) == b"+OK\r\n"


def _exact_judge(outcome: Outcome) -> Sequence[Figure]:
    asked = outcome.others["limited"].asked
    begun = outcome.others["limited"].begun
    flushed = outcome.marks[-1][0]
    seconds = flushed - begun
    passed = sum(one.good for one in between(asked, begun, flushed))
    # The burst may come at once at the beginning, and once more after the keys are gone.
    exact = RATE + RATE * seconds
    after = sum(one.good for one in between(asked, flushed, outcome.end))
    again = RATE + RATE * (asked[-1].due - flushed)
    return [
        at_most("passed, of what may pass", 100 * passed / exact, 102, "%"),
        at_least("passed at least", 100 * passed / exact, 98, "%"),
        at_most("passed after FLUSHALL, of what may pass with a second burst", 100 * after / again, 105, "%"),
        true("all others got 429", all(one.good or one.status == 429 for one in asked)),
        checks.errors("of the others", outcome.told.asked),
    ]


SCENARIOS = (
    Scenario(
        26,
        "Redis answers wrongly",
        "one in ten replies is an error or nonsense: no 5xx, all counted",
        _wrong_judge,
        _wrong_steps,
        Setup(redis="own", service=FREE, toml=limited("local")),
        phases=LONGER,
    ),
    Scenario(
        27,
        "limits are exact",
        "a client that asks three times too often gets what it may to 2 %, over all workers; FLUSHALL gives one burst",
        _exact_judge,
        lambda phases: [press(phases), Step(phases.fault, "FLUSHALL", lambda laboratory: _flush(laboratory.redis))],
        Setup(redis="own", service=FREE, toml=limited("local")),
        phases=LONGER,
    ),
)
