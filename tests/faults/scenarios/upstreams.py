"""Instances of a service that are away, slow or wrong, one by one and all together."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

from tests.faults import checks
from tests.faults.figures import (
    ABSENT,
    Figure,
    at_most,
    kinds_of_trouble,
    milliseconds,
    none,
    noted,
    share,
    troubled,
    true,
)
from tests.faults.laboratory import Laboratory
from tests.faults.ledger import IDEMPOTENT
from tests.faults.scenario import LONGER, Outcome, Phases, Scenario, Step
from tests.faults.setup import DEFAULTS, PATIENCE, Setup

INTERVAL: float = DEFAULTS["health"]["interval"]
WATCHED = Setup(watch_health=True)


def _leave(laboratory: Laboratory, number: int) -> None:
    """An instance ends in an orderly way, and nobody listens where it was."""
    laboratory.door(number, "refuse")
    laboratory.instances[number].tell("stop")


def _come_back(laboratory: Laboratory, number: int) -> None:
    laboratory.instances[number].tell("start")
    laboratory.door(number, "pass")


def _refused_judge(outcome: Outcome) -> Sequence[Figure]:
    return [
        *_but_for_races(outcome),
        at_most("ejected", checks.seconds_to_eject(outcome, 0), 1.0, "s"),
        at_most("asked again after its return", checks.seconds_to_return(outcome, 0), 2 * INTERVAL + 0.5, "s"),
        checks.unchanged("p99 during", outcome, outcome.during),
    ]


def _blackholed_judge(outcome: Outcome) -> Sequence[Figure]:
    return [
        checks.error_share("in the first 3 s", outcome.since_fault(0, 3), 1.0),
        checks.errors("from 5 s on", outcome.since_fault(5)),
        at_most("ejected", checks.seconds_to_eject(outcome, 0), 5.0, "s"),
        at_most("p99 in the first 3 s", milliseconds(outcome.since_fault(0, 3), 0.99), 1200.0, "ms"),
        checks.unchanged("p99 from 5 s on", outcome, outcome.since_fault(5, outcome.phases.fault)),
        at_most("asked again after its return", checks.seconds_to_return(outcome, 0), 2 * INTERVAL + 0.5, "s"),
    ]


def _stopped_judge(outcome: Outcome) -> Sequence[Figure]:
    asked = outcome.told.asked
    once = [one for one in asked if one.method not in IDEMPOTENT]
    return [
        checks.errors("of GET", [one for one in asked if one.method in IDEMPOTENT]),
        none("errors of POST other than 504", sum(one.status != 504 for one in troubled(once))),
        noted("504 of POST", sum(one.status == 504 for one in once)),
        at_most("ejected", checks.seconds_to_eject(outcome, 0), 5.0, "s"),
        checks.errors("from 5 s on", outcome.since_fault(5)),
        checks.unchanged(
            "p99 of those that did not wait for it", outcome, [one for one in asked if one.seconds < PATIENCE]
        ),
    ]


def _stop(laboratory: Laboratory) -> None:
    laboratory.instances[0].signal(signal.SIGSTOP)


def _continue(laboratory: Laboratory) -> None:
    laboratory.instances[0].signal(signal.SIGCONT)


def _failing_judge(outcome: Outcome) -> Sequence[Figure]:
    out = [sum(state in checks.OUT for state in states.values()) for _when, states in outcome.health]
    return [
        at_most("ejected", checks.seconds_to_eject(outcome, 0), 10.0, "s"),
        at_most("instances out at once", max(out, default=ABSENT), 1),
        none("errors other than 500", sum(one.status != 500 for one in troubled(outcome.told.asked))),
        noted("errors during", share(len(troubled(outcome.during)), len(outcome.during)), "%"),
    ]


def _away_judge(outcome: Outcome) -> Sequence[Figure]:
    # The first second is for the breaker to open; the last is that in which the first of them is back.
    refused = outcome.since_fault(2, outcome.phases.fault - 0.1)
    wrong = [one for one in refused if one.status != 503]
    resting = [one for one in outcome.samples if one.when < outcome.fault_begin]
    return [
        none("other answers than 503, from 2 s on", len(wrong)),
        none("503 without Retry-After", sum(one.status == 503 and not one.retry_after for one in refused)),
        at_most("p99 of refusals", milliseconds(refused, 0.99), 50.0, "ms"),
        at_most(
            "full rate after the first is back", checks.last_error(outcome.told.asked, outcome.fault_end), 2.0, "s"
        ),
        noted("descriptors before", max((held.descriptors for one in resting for held in one.workers), default=0)),
        noted("descriptors at most", max(held.descriptors for one in outcome.samples for held in one.workers)),
    ]


def _show(laboratory: Laboratory, *, expired: bool) -> None:
    for instance in laboratory.instances:
        instance.tell("show", **laboratory.certificate(expired=expired))


def _expired_judge(outcome: Outcome) -> Sequence[Figure]:
    # The first second is for connections that were under way.
    refused = outcome.since_fault(1, outcome.phases.fault - 0.1)
    return [
        none("other answers than 502 and 503, from 1 s on", sum(one.status not in (502, 503) for one in refused)),
        true("the log says why", "its certificate has expired" in outcome.log),
        at_most("full rate after the renewal", checks.last_error(outcome.told.asked, outcome.fault_end), 5.0, "s"),
        checks.errors("before", outcome.before),
        noted("answers", kinds_of_trouble(outcome.during)),
    ]


def _tell(number: int, command: str) -> Callable[[Laboratory], object]:
    return lambda laboratory: laboratory.instances[number].tell(command)


def _rolling(phases: Phases) -> Sequence[Step]:
    each = phases.fault / 3
    stops = [Step(number * each, f"instance {number} stops", _tell(number, "stop")) for number in range(3)]
    starts = [Step((number + 0.5) * each, f"instance {number} starts", _tell(number, "start")) for number in range(3)]
    return [*stops, *starts]


def _but_for_races(outcome: Outcome) -> Sequence[Figure]:
    """No errors, but those of a POST on a kept connection that the service closed at the same moment."""
    asked = outcome.told.asked
    bad = troubled([one for one in asked if one.method == "POST"])
    races = [one for one in bad if one.trouble == "status 502 connection_terminated"]
    return [
        checks.errors("of GET", [one for one in asked if one.method == "GET"]),
        none("errors of POST other than keep-alive races", len(bad) - len(races)),
        at_most("keep-alive races of POST", len(races), 1),
    ]


def _down(laboratory: Laboratory) -> None:
    for number in range(3):
        laboratory.door(number, "refuse", "reset")


def _failing_all_judge(outcome: Outcome) -> Sequence[Figure]:
    requests = {one.id for one in outcome.during}
    attempts = sum(entry[0] in requests for seen in outcome.seen.values() for entry in seen)
    return [
        at_most("attempts for a request", attempts / max(len(requests), 1), 1.2),
        noted("answers", kinds_of_trouble(outcome.during)),
    ]


def _slow_judge(outcome: Outcome) -> Sequence[Figure]:
    late = outcome.since_fault(5, outcome.phases.fault)
    share_of_it = checks.portion(outcome, 0, 5, outcome.phases.fault)
    return [
        at_most("share of the slow instance from 5 s on", share_of_it, 100 / 3 * 0.2, "%"),
        at_most("p50 from 5 s on", milliseconds(late, 0.5), milliseconds(outcome.before, 0.5) * 1.5, "ms"),
        checks.errors("at all", outcome.told.asked),
    ]


def _balanced(policy: str) -> Setup:
    return Setup(service={"balance": policy})


def _slow_steps(phases: Phases) -> Sequence[Step]:
    def slow(laboratory: Laboratory) -> None:
        laboratory.behave((0, 1, 2), latency=0.02)

    def slower(laboratory: Laboratory) -> None:
        laboratory.behave(0, latency=0.2)

    return [Step(-phases.before, "20 ms each", slow), Step(0, "200 ms", slower), Step(phases.fault, "20 ms", slow)]


SCENARIOS = (
    Scenario(
        11,
        "instance refuses",
        "one of three refuses connections: no error, ejected within 1 s, back within two health intervals",
        _refused_judge,
        lambda phases: [
            Step(0, "refuses", lambda laboratory: _leave(laboratory, 0)),
            Step(phases.fault, "is back", lambda laboratory: _come_back(laboratory, 0)),
        ],
        WATCHED,
    ),
    Scenario(
        12,
        "instance blackholed",
        "one of three takes no SYN: errors below 1 % for 3 s, none from 5 s on, p99 below 1.2 s, then as before",
        _blackholed_judge,
        lambda phases: [
            Step(0, "blackholed", lambda laboratory: laboratory.door(0, "blackhole", "reset")),
            Step(phases.fault, "is back", lambda laboratory: laboratory.door(0, "pass")),
        ],
        WATCHED,
        phases=LONGER,
    ),
    Scenario(
        13,
        "instance stops",
        "one of three accepts and says nothing: no error of a GET, 504 only for POSTs sent to it, ejected within 5 s",
        _stopped_judge,
        lambda phases: [Step(0, "SIGSTOP", _stop), Step(phases.fault, "SIGCONT", _continue)],
        WATCHED,
        phases=LONGER,
    ),
    Scenario(
        14,
        "instance fails half",
        "one of three answers 500 to half of its requests: ejected within 10 s, and never more than half of them",
        _failing_judge,
        lambda phases: [
            Step(0, "500 for 50 %", lambda laboratory: laboratory.behave(0, status=500, share=0.5)),
            Step(phases.fault, "is well", lambda laboratory: laboratory.behave(0)),
        ],
        WATCHED,
        phases=LONGER,
    ),
    Scenario(
        15,
        "all instances refuse",
        "503 with Retry-After within 50 ms; full rate within 2 s after the first is back",
        _away_judge,
        lambda phases: [
            Step(0, "all refuse", _down),
            Step(phases.fault, "the first is back", lambda laboratory: laboratory.door(0, "pass")),
        ],
    ),
    Scenario(
        16,
        "rolling restart",
        "instances restart one by one: no error of a GET, none of a POST but keep-alive races",
        _but_for_races,
        _rolling,
        Setup(direct=True),
        phases=LONGER,
    ),
    Scenario(
        19,
        "slow instance, least_connections",
        "one of three is ten times slower: within 5 s it gets less than a fifth of its share",
        _slow_judge,
        _slow_steps,
        _balanced("least_connections"),
        phases=LONGER,
    ),
    Scenario(
        119,
        "slow instance, ewma",
        "as 19, by the balancing policy ewma",
        _slow_judge,
        _slow_steps,
        _balanced("ewma"),
        phases=LONGER,
    ),
    Scenario(
        120,
        "slow instance, p2c",
        "as 19, by the balancing policy p2c",
        _slow_judge,
        _slow_steps,
        _balanced("p2c"),
        phases=LONGER,
    ),
    Scenario(
        20,
        "all instances fail",
        "all answer 503: at most 1.2 attempts for a request",
        _failing_all_judge,
        lambda phases: [
            Step(0, "503", lambda laboratory: laboratory.behave((0, 1, 2), status=503)),
            Step(phases.fault, "are well", lambda laboratory: laboratory.behave((0, 1, 2))),
        ],
    ),
    Scenario(
        22,
        "certificates expire",
        "the instances' TLS certificates expire: 502 or 503 and never in clear, the log says why; back after a renewal",
        _expired_judge,
        lambda phases: [
            Step(0, "show expired ones", lambda laboratory: _show(laboratory, expired=True)),
            Step(phases.fault, "show valid ones", lambda laboratory: _show(laboratory, expired=False)),
        ],
        Setup(tls=True),
        phases=LONGER,
    ),
)
