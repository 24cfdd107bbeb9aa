"""What several scenarios are judged by."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from statistics import median

from tests.faults.asked import Asked
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
    worst,
)
from tests.faults.scenario import EJECTED, Outcome

JITTER = 20.0
"""Milliseconds that a p99 may change by on a machine with other work, and be called unchanged."""
SPARE_DESCRIPTORS = 8
"""How many more descriptors a worker may have at the end than before the fault: connections that it keeps a while."""
OUT = ("unhealthy", EJECTED)
"""The states of an instance that gets no requests, or got none for some time."""


def always(outcome: Outcome, exit_code: int | None) -> list[Figure]:
    """What must be so after every run: the books agree, the log is clean, and nothing is left."""
    ledger, asked = outcome.ledger, outcome.told.asked
    figures = []
    if asked:
        figures += [
            noted("requests", len(asked)),
            noted("errors", len(troubled(asked))),
            noted("what they were", kinds_of_trouble(asked)),
            *phased("p50", outcome, 0.5),
            *phased("p99", outcome, 0.99),
            none("acknowledged, and unknown to the services", len(ledger.unseen)),
            none("POSTs that services saw twice", len(ledger.repeated)),
            none("answers to another request", len(ledger.foreign)),
            none("bytes that nobody had asked for", outcome.told.unasked),
            noted("attempts for a request", ledger.attempts_per_request),
        ]
    figures += [
        none("tracebacks", outcome.log.count("Traceback (most recent call last)")),
        none("processes left over", outcome.left_over),
    ]
    if exit_code is not None:
        code = "none" if outcome.exit_code is None else str(outcome.exit_code)
        figures.append(Figure("exit status", code, "", str(exit_code), outcome.exit_code == exit_code))
    return figures


def phased(name: str, outcome: Outcome, portion: float) -> list[Figure]:
    """A percentile of the latency before, during and after the fault."""
    phases = {"before": outcome.before, "during": outcome.during, "after": outcome.after}
    return [noted(f"{name} {phase}", milliseconds(asked, portion), "ms") for phase, asked in phases.items() if asked]


def errors(what: str, asked: Sequence[Asked]) -> Figure:
    """No error among these requests."""
    return none(f"errors {what}", len(troubled(asked)))


def error_share(what: str, asked: Sequence[Asked], limit: float) -> Figure:
    """At most so many percent errors among these requests."""
    return at_most(f"errors {what}", share(len(troubled(asked)), len(asked)), limit, "%")


def unchanged(what: str, outcome: Outcome, asked: Sequence[Asked], factor: float = 2.0) -> Figure:
    """A p99 that is at most so many times the one before the fault, with some room for a busy machine."""
    return at_most(what, milliseconds(asked, 0.99), milliseconds(outcome.before, 0.99) * factor + JITTER, "ms")


def seconds_until(outcome: Outcome, since: float, condition: Callable[[dict[str, str]], bool]) -> float:
    """Seconds from ``since`` until the instances' states first were so; NaN if they never were."""
    return next((when - since for when, states in outcome.health if when >= since and condition(dict(states))), ABSENT)


def seconds_to_eject(outcome: Outcome, number: int) -> float:
    """Seconds from the fault's begin until an instance was said to be out."""
    url = outcome.urls[number]
    return seconds_until(outcome, outcome.fault_begin, lambda states: states.get(url) in OUT)


def seconds_to_return(outcome: Outcome, number: int) -> float:
    """Seconds from the fault's end until an instance saw a request again; NaN if it saw none."""
    return next(
        (entry[3] - outcome.fault_end for entry in outcome.seen[number] if entry[3] > outcome.fault_end), ABSENT
    )


def last_error(asked: Sequence[Asked], since: float) -> float:
    """Seconds from ``since`` to when the last request was due that met an error; 0 without any."""
    return max((one.due - since for one in troubled(asked)), default=0.0)


def portion(outcome: Outcome, number: int, begin: float, end: float) -> float:
    """The share of one instance, in percent, of what all saw within so many seconds after the fault's begin."""
    counts = [sum(begin <= entry[3] - outcome.fault_begin < end for entry in seen) for seen in outcome.seen.values()]
    return share(counts[number], sum(counts))


def descriptors_returned(outcome: Outcome) -> Figure:
    """The workers' descriptors at the end, together, are what they were before the fault."""
    before = [
        sum(held.descriptors for held in one.workers) for one in outcome.samples if one.when < outcome.fault_begin
    ]
    last = [sum(held.descriptors for held in one.workers) for one in outcome.samples[-3:]]
    limit = median(before) + SPARE_DESCRIPTORS if before else ABSENT
    return at_most("descriptors of the workers at the end", min(last, default=ABSENT), limit)


def growth(outcome: Outcome) -> float:
    """By how many megabytes the workers' memory (RSS) was larger at the end than before the fault, for each."""
    before = [held.resident for one in outcome.samples if one.when < outcome.fault_begin for held in one.workers]
    last = [held.resident for held in outcome.samples[-1].workers] if outcome.samples else []
    return (max(last) - max(before)) / 1e6 if before and last else ABSENT


def peak(outcome: Outcome) -> float:
    """Megabytes by which the workers' memory, together, was above that before the fault, at most; as sampled."""
    total = {one.when: sum(held.resident for held in one.workers) for one in outcome.samples}
    before = [size for when, size in total.items() if when < outcome.fault_begin]
    during = [size for when, size in total.items() if when >= outcome.fault_begin]
    return (max(during) - before[-1]) / 1e6 if before and during else ABSENT


def replaced(outcome: Outcome, limit: float) -> Figure:
    """A worker that went was replaced in time."""
    return at_most("replacement serves", worst(outcome.notes.get("replaced", [])), limit, "s")


def connections_accepted(outcome: Outcome) -> Figure:
    """Every connection that a client tried to make was made."""
    return none("connections that were not accepted", len(outcome.told.not_connected))


def no_zombies(outcome: Outcome) -> Figure:
    """What ended was waited for."""
    return true("no zombies at the end", not outcome.samples or outcome.samples[-1].zombies == 0)


def without(program: str, package: str) -> Callable[[], str]:
    """For :attr:`Scenario.missing`: says that a program is not installed, and which Debian package has it."""
    return lambda: "" if shutil.which(program) else f"{program} is not installed (Debian: apt-get install {package})"
