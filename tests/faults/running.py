"""Running a scenario: the load, the steps at their times, and the outcome."""

from __future__ import annotations

import time
from collections.abc import Sequence

from attrs import frozen

from tests.faults.asked import Told
from tests.faults.checks import always
from tests.faults.figures import Figure
from tests.faults.laboratory import Laboratory
from tests.faults.ledger import compare
from tests.faults.scenario import Length, Outcome, Phases, Scenario, Step

SETTLE_SECONDS = 1.0
"""What the gateway gets to come to rest before it is stopped."""


@frozen
class Verdict:
    """One run of a scenario, judged."""

    scenario: Scenario
    outcome: Outcome
    figures: tuple[Figure, ...]

    @property
    def kept(self) -> bool:
        """Whether all that was promised was kept."""
        return all(figure.kept for figure in self.figures)


def run(scenario: Scenario, length: Length, rate: float) -> Verdict:
    """Run a scenario once. ``rate`` is the load in requests a second where the scenario does not say."""
    phases = scenario.phases[length]
    with Laboratory(scenario.setup) as laboratory:
        told = _with_load(laboratory, phases, scenario.steps(phases), rate)
        outcome = _conclude(laboratory, phases, told)
    figures = (*scenario.judge(outcome), *always(outcome, scenario.exit_code))
    return Verdict(scenario, outcome, figures)


def _with_load(laboratory: Laboratory, phases: Phases, steps: Sequence[Step], rate: float) -> Told:
    setup, load = laboratory.setup, laboratory.load
    begun = time.monotonic()
    if setup.load:
        begun = load.tell(
            "start",
            port=laboratory.gateway.port,
            rate=setup.rate or rate,
            seconds=phases.total,
            connections=setup.connections,
            fresh=setup.fresh,
            mix=setup.mix,
        )
    for step in sorted(steps, key=lambda step: step.at):
        _sleep_until(begun + phases.before + step.at)
        laboratory.marks.append((time.monotonic(), step.what))
        step.do(laboratory)
    _sleep_until(begun + phases.total)
    told = Told(begun, (), (), 0)
    if setup.load:
        told = Told.unpacked(load.ask("finish", 60))
    laboratory.join(40)
    return told


def _sleep_until(when: float) -> None:
    wait = when - time.monotonic()
    if wait > 0:
        time.sleep(wait)


def _conclude(laboratory: Laboratory, phases: Phases, told: Told) -> Outcome:
    time.sleep(SETTLE_SECONDS)
    reports = [instance.tell("report") for instance in laboratory.instances]
    samples = list(laboratory.samples)
    exit_code, stop_seconds, left_over = laboratory.gateway.stop(laboratory.setup.stop_seconds)
    return Outcome(
        phases=phases,
        workers=laboratory.setup.workers,
        told=told,
        others=laboratory.others(),
        ledger=compare(
            told.asked,
            [tuple(entry) for report in reports for entry in report["seen"]],
            [(id, method) for report in reports for id, method in report["begun"]],
        ),
        seen={number: report["seen"] for number, report in enumerate(reports)},
        marks=laboratory.marks,
        samples=samples,
        health=laboratory.health,
        urls=laboratory.urls,
        notes=laboratory.notes,
        log=laboratory.gateway.log,
        exit_code=exit_code,
        stop_seconds=stop_seconds,
        left_over=left_over,
    )
