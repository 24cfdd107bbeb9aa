"""Clients that are slow, many, or mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.faults import checks
from tests.faults.figures import ABSENT, Figure, at_least, at_most, kinds_of_trouble, milliseconds, none, noted, true
from tests.faults.laboratory import Laboratory
from tests.faults.scenario import LONGER, Length, Outcome, Phases, Scenario, Step
from tests.faults.setup import Setup

DEADLINE = 4
"""Seconds within which a head must come, a body go on and an answer be taken, in these scenarios."""
STRICT = f"[client]\nhead_seconds = {DEADLINE}\nbody_idle_seconds = {DEADLINE}\nwrite_idle_seconds = {DEADLINE}\n"
CROWD: Mapping[Length, Phases] = {"quick": Phases(3, 12, 3), "default": Phases(5, 12, 5), "full": Phases(20, 20, 20)}
SLOW = {"slow_read": 100, "slow_body": 500, "slow_head": 2000}
IDLE = 10_000
GETS = ((1.0, "GET", 0),)
FEW = 256
"""Descriptors that a process may have where they run out."""


def _slow(laboratory: Laboratory) -> None:
    for kind, count in SLOW.items():
        crowd = laboratory.crowd(kind)
        # Those who do not read ask for much: all at once they would be a load of their own.
        at_once = 5 if kind == "slow_read" else 50
        port, deaf = laboratory.gateway.port, DEADLINE + 2
        crowd.tell("gather", port=port, kind=kind, count=count, deaf_seconds=deaf, at_once=at_once)


def _look(laboratory: Laboratory) -> None:
    for kind, crowd in laboratory.crowds.items():
        laboratory.note(kind, crowd.tell("report"))


def _disperse(laboratory: Laboratory) -> None:
    _look(laboratory)
    for crowd in laboratory.crowds.values():
        crowd.tell("disperse")


def _slow_judge(outcome: Outcome) -> Sequence[Figure]:
    figures = []
    for kind, count in SLOW.items():
        report = outcome.notes[kind][-1]
        figures.append(none(f"{kind}: not evicted after {outcome.phases.fault:g} s", report["there"]))
        figures.append(noted(f"{kind}: longest life of {count}", report["longest"], "s"))
    return [
        *figures,
        none("slow readers that got everything", outcome.notes["slow_read"][-1]["whole"]),
        checks.errors("of the others", outcome.told.asked),
        checks.unchanged("p99 during", outcome, outcome.during),
        at_most("memory above before, all workers", checks.peak(outcome), 50.0, "MB"),
    ]


def _idle(laboratory: Laboratory) -> None:
    # All of them within a few seconds: who has brought no request after ten is sent away.
    crowd, port = laboratory.crowd("idle"), laboratory.gateway.port
    laboratory.note("idle", crowd.tell("gather", port=port, kind="idle", count=IDLE, at_once=250))


def _idle_judge(outcome: Outcome) -> Sequence[Figure]:
    there = outcome.notes["idle"][0]["there"]
    fresh = [one for one in outcome.since_fault(3, outcome.phases.fault) if one.fresh]
    return [
        at_least("idle connections", there, IDLE),
        at_most("memory for each", checks.peak(outcome) * 1e3 / max(there, 1), 20.0, "kB"),
        at_most("p50 of requests on new connections", milliseconds(fresh, 0.5), 10.0, "ms"),
        noted("p99 of them", milliseconds(fresh, 0.99), "ms"),
        checks.errors("of the others", outcome.told.asked),
    ]


def _churn_judge(outcome: Outcome) -> Sequence[Figure]:
    return [
        checks.errors("at all", outcome.told.asked),
        checks.connections_accepted(outcome),
        noted("new connections a second", len(outcome.told.asked) / outcome.phases.total),
        checks.descriptors_returned(outcome),
    ]


def _exhaust(laboratory: Laboratory) -> None:
    crowd = laboratory.crowd("idle")
    laboratory.note("idle", crowd.tell("gather", port=laboratory.gateway.port, kind="idle", count=4 * FEW))


def _exhaust_judge(outcome: Outcome) -> Sequence[Figure]:
    quiet = [one for one in outcome.samples if outcome.fault_begin + 1 < one.when < outcome.fault_end]
    cpu = ABSENT
    if len(quiet) > 1:
        used = sum(held.cpu for held in quiet[-1].workers) - sum(held.cpu for held in quiet[0].workers)
        cpu = 100 * used / (quiet[-1].when - quiet[0].when) / outcome.workers
    return [
        at_most("CPU of a worker meanwhile", cpu, 50.0, "%"),
        noted("errors meanwhile", kinds_of_trouble(outcome.during)),
        checks.errors("from 1 s after on", outcome.since_fault(outcome.phases.fault + 1)),
        true("all workers lived on", len(set(outcome.log.split("serves (pid "))) == outcome.workers + 1),
    ]


def _shout(laboratory: Laboratory) -> None:
    laboratory.crowd("corpus").tell("shout", port=laboratory.gateway.port, clients=8, seed=1)


def _shout_judge(outcome: Outcome) -> Sequence[Figure]:
    return [
        at_least("bad requests sent", outcome.notes["corpus"][-1]["said"], 100),
        checks.errors("of the others", outcome.told.asked),
        at_most("growth of a worker", checks.growth(outcome), 5.0, "MB"),
    ]


SCENARIOS = (
    Scenario(
        29,
        "slow clients",
        "2,000 slow heads, 500 slow bodies, 100 slow readers: evicted at their deadlines, nobody else notices",
        _slow_judge,
        lambda phases: [Step(0, "they come", _slow), Step(phases.fault, "they are counted", _disperse)],
        Setup(toml=STRICT, direct=True),
        phases=CROWD,
    ),
    Scenario(
        30,
        "idle connections",
        "10,000 idle connections: below 20 kB each, new ones are taken as before",
        _idle_judge,
        lambda phases: [Step(0, "they come", _idle), Step(phases.fault, "they go", _disperse)],
        phases=CROWD,
    ),
    Scenario(
        31,
        "connection churn",
        "every request on a connection of its own: no error, descriptors back",
        _churn_judge,
        lambda phases: [],
        Setup(rate=600, fresh=1.0, mix=GETS, connections=1),
    ),
    Scenario(
        32,
        "descriptors run out",
        "with 256 descriptors and four times as many connections: no busy loop, all well 1 s after they are gone",
        _exhaust_judge,
        lambda phases: [Step(0, "they come", _exhaust), Step(phases.fault, "they go", _disperse)],
        Setup(before=("prlimit", f"--nofile={FEW}:{FEW}")),
        phases=LONGER,
        missing=checks.without("prlimit", "util-linux"),
    ),
    Scenario(
        33,
        "bad requests",
        "the corpus of bad requests in random order by 8 clients: no error of others, no traceback, no growth",
        _shout_judge,
        lambda phases: [Step(0, "they come", _shout), Step(phases.fault, "they go", _disperse)],
        phases=LONGER,
    ),
)
