"""Answers that end at the wrong moment."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults import checks
from tests.faults.figures import Figure, at_least, at_most, none, noted, share, troubled
from tests.faults.laboratory import Laboratory
from tests.faults.scenario import Outcome, Scenario, Step
from tests.faults.setup import Setup

ALL = (0, 1, 2)
GETS = ((0.7, "GET", 0), (0.3, "POST", 512))


def _all(laboratory: Laboratory, **manners: float) -> None:
    laboratory.behave(ALL, **manners)


def _well(laboratory: Laboratory) -> None:
    _all(laboratory)


def _race_judge(outcome: Outcome) -> Sequence[Figure]:
    asked = outcome.told.asked
    posts = [one for one in asked if one.method == "POST"]
    bad = [one for one in troubled(posts) if one.status == 502]
    return [
        checks.errors("of GET", [one for one in asked if one.method == "GET"]),
        none("errors of POST other than 502", len(troubled(posts)) - len(bad)),
        at_most("502 of POST", share(len(bad), len(posts)), 0.1, "%"),
        noted("requests that met the race", len(asked)),
    ]


def _truncated_judge(outcome: Outcome) -> Sequence[Figure]:
    cut = {entry[0] for seen in outcome.seen.values() for entry in seen if entry[2] == 0}
    whole = {entry[0] for seen in outcome.seen.values() for entry in seen if entry[2] == 200}
    taken = [one for one in outcome.told.asked if one.good and one.id in cut and one.id not in whole]
    others = [one for one in troubled(outcome.told.asked) if one.id not in cut]
    return [
        at_least("answers that services cut", len(cut), 1),
        none("of them, taken for whole by a client", len(taken)),
        none("errors of other requests", len(others)),
    ]


SCENARIOS = (
    Scenario(
        17,
        "keep-alive race",
        "services close 0 to 2 ms after each answer: no error of a GET, below 0.1 % 502 of a POST, none twice",
        _race_judge,
        lambda phases: [
            Step(0, "close after 0 to 2 ms", lambda laboratory: _all(laboratory, close_within=0.002)),
            Step(phases.fault, "keep", _well),
        ],
        Setup(direct=True, mix=GETS),
    ),
    Scenario(
        117,
        "announced closes",
        "services close after each answer and say so: no error at all",
        lambda outcome: [checks.errors("at all", outcome.told.asked)],
        lambda phases: [
            Step(0, "Connection: close", lambda laboratory: _all(laboratory, announce_close=True)),
            Step(phases.fault, "keep", _well),
        ],
        Setup(direct=True),
    ),
    Scenario(
        18,
        "truncated answers",
        "every 100th body is cut: its client sees that, nobody else does",
        _truncated_judge,
        lambda phases: [
            Step(0, "cut every 100th", lambda laboratory: _all(laboratory, truncate_every=100)),
            Step(phases.fault, "whole", _well),
        ],
    ),
)
