"""Workers and the supervisor: killed, stuck, crashing again and again, told to stop."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

from attrs import evolve

from tests.faults import checks, transfers
from tests.faults.asked import Asked
from tests.faults.figures import (
    ABSENT,
    Figure,
    at_least,
    at_most,
    none,
    noted,
    percentile,
    share,
    troubled,
    true,
    worst,
)
from tests.faults.laboratory import Laboratory
from tests.faults.scenario import LONGER, Outcome, Phases, Scenario, Step
from tests.faults.setup import Setup

CALM = "closed without an answer, on a kept connection"
"""A client met the end of an idle connection: what any server's client must reckon with."""


def _calm(outcome: Outcome) -> Sequence[Figure]:
    return [
        checks.errors("at all", outcome.told.asked),
        checks.connections_accepted(outcome),
        checks.descriptors_returned(outcome),
    ]


def _kill_judge(outcome: Outcome) -> Sequence[Figure]:
    # What is in flight on one of the workers, with room for the larger bodies.
    a_second = len(outcome.told.asked) / outcome.phases.total / outcome.workers
    return [
        at_most("errors", len(troubled(outcome.told.asked)), max(a_second * percentile(outcome.before, 0.99), 1)),
        checks.connections_accepted(outcome),
        checks.replaced(outcome, 1.0),
        checks.unchanged("p99 after", outcome, outcome.after),
        checks.no_zombies(outcome),
        checks.descriptors_returned(outcome),
    ]


def _kill(number: int) -> Step:
    return Step(0, "kill -9", lambda laboratory: laboratory.kill_worker(number))


def _kills(phases: Phases) -> Sequence[Step]:
    every = 5.0 if phases.fault >= 12 else 3.0
    return [evolve(_kill(number % 2), at=number * every) for number in range(int(phases.fault // every) + 1)]


def _kills_judge(outcome: Outcome) -> Sequence[Figure]:
    masters = [one.supervisor.resident for one in outcome.samples if one.supervisor is not None]
    return [
        checks.error_share("at all", outcome.told.asked, 0.1),
        checks.connections_accepted(outcome),
        checks.replaced(outcome, 1.0),
        at_most("growth of the supervisor", (masters[-1] - masters[0]) / 1e6 if masters else ABSENT, 1.0, "MB"),
        checks.no_zombies(outcome),
        checks.descriptors_returned(outcome),
    ]


def _stuck_judge(outcome: Outcome) -> Sequence[Figure]:
    replaced = worst(outcome.notes.get("replaced", []))
    # Of those that came a second and more before it was replaced, who waited less was not on the worker that stood.
    others = [one for one in outcome.since_fault(0, replaced - 1) if one.seconds < 1]
    return [
        at_most("killed and replaced", replaced, 11.0, "s"),
        checks.unchanged("p99 of the other worker's requests", outcome, others),
        noted("errors of the stuck worker's", share(len(troubled(outcome.during)), len(outcome.during)), "%"),
        noted("last error", checks.last_error(outcome.told.asked, outcome.fault_begin), "s after the fault's begin"),
        checks.connections_accepted(outcome),
        checks.errors("after", outcome.after),
    ]


def _crash_again(laboratory: Laboratory, seconds: float) -> None:
    """Kill whoever works in the first place, as soon as it is there."""

    def crash() -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for pid in laboratory.gateway.worker_pids():
                if laboratory.gateway.place(pid) == 0:
                    laboratory.note("crashes", time.monotonic())
                    with suppress(ProcessLookupError):  # it has just gone by itself
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    laboratory.aside(crash)


def _crash_judge(outcome: Outcome) -> Sequence[Figure]:
    crashes = outcome.notes.get("crashes", [])
    pauses = [later - earlier for earlier, later in pairwise(crashes) if later - earlier > 0.5]
    good = share(sum(one.good for one in outcome.during), len(outcome.during))
    return [
        at_least("answered well meanwhile", good, 50.0, "%"),
        at_least("crashes", len(crashes), 3),
        true("pauses grow", len(pauses) < 2 or all(later > earlier * 1.5 for earlier, later in pairwise(pauses))),
        noted("pauses", ", ".join(f"{pause:.1f}" for pause in pauses), "s"),
        true("the log says so", "crash 2 in a row" in outcome.log or "crash 3 in a row" in outcome.log),
    ]


def _kill_master(laboratory: Laboratory) -> None:
    gateway = laboratory.gateway
    gateway.signal(signal.SIGKILL)
    laboratory.note("gone", laboratory.until(lambda: not gateway.pids(), 10))
    laboratory.note("restarted", gateway.start())


def _master_judge(outcome: Outcome) -> Sequence[Figure]:
    return [
        at_most("workers gone", outcome.notes["gone"][0], 6.0, "s"),
        at_most("serves again after its start", outcome.notes["restarted"][0], 5.0, "s"),
        checks.errors("after", [one for one in outcome.told.asked if one.due > outcome.end - 1]),
    ]


def _stop_under_load(seconds: float) -> Sequence[Step]:
    def transfer(laboratory: Laboratory) -> None:
        port = laboratory.gateway.port
        laboratory.aside(lambda: laboratory.note("upload", transfers.upload(port, "/samples/up", seconds)))
        laboratory.aside(lambda: laboratory.note("download", transfers.download(port, "/samples/down", seconds)))

    def stop(laboratory: Laboratory) -> None:
        gateway, begun = laboratory.gateway, time.monotonic()
        gateway.signal(signal.SIGTERM)
        laboratory.note("closed", laboratory.until(lambda: not _accepts(gateway.port), 10))

        def wait() -> None:
            laboratory.until(lambda: not gateway.running, 60)
            laboratory.note("gone", time.monotonic() - begun)

        laboratory.aside(wait)

    return [Step(-1, "a slow upload and a slow download begin", transfer), Step(0, "SIGTERM", stop)]


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answered_badly(asked: Sequence[Asked]) -> list[Asked]:
    """The errors of requests that were accepted: a client whose connection is refused goes to another gateway."""
    return [one for one in troubled(asked) if not one.trouble.startswith("not connected") and one.trouble != CALM]


def _stop_judge(outcome: Outcome) -> Sequence[Figure]:
    races = [one for one in outcome.told.asked if one.trouble == CALM]
    upload, download = outcome.notes["upload"][0], outcome.notes["download"][0]
    return [
        at_most("listener closed", outcome.notes["closed"][0], 0.1, "s"),
        true("slow upload whole", upload.trouble == "", "whole"),
        true("its answer says Connection: close", upload.announced_close),
        true("slow download whole", download.trouble == "", "whole"),
        noted("their troubles", f"{upload.trouble or 'none'}; {download.trouble or 'none'}"),
        at_most("all gone", outcome.notes["gone"][0], outcome.phases.fault + 1, "s"),
        none("errors of requests that were accepted", len(_answered_badly(outcome.told.asked))),
        noted("requests that met an idle connection's end", len(races)),
    ]


def _stuck_stream(laboratory: Laboratory) -> None:
    port = laboratory.gateway.port
    laboratory.aside(lambda: laboratory.note("download", transfers.download(port, "/samples/down", 60)))


def _stuck_stream_stop(laboratory: Laboratory) -> None:
    laboratory.note("stop", laboratory.gateway.stop(20))


def _stuck_stream_judge(outcome: Outcome) -> Sequence[Figure]:
    code, took, _left = outcome.notes["stop"][0]
    return [
        at_most("gone", took, 3 + 2, "s"),
        at_least("given its time", took, 3 - 0.2, "s"),
        true("exit status 0", code == 0),
        true("the client sees that it was cut", outcome.notes["download"][0].trouble != ""),
        true("the log says how many", "stopped: 1 requests were cut" in outcome.log),
    ]


SCENARIOS = (
    Scenario(0, "calm", "without a fault there is no error", _calm),
    Scenario(
        1,
        "worker killed",
        "kill -9 of a worker: only what it had in flight is lost, a successor serves within 1 s, no listener gap",
        _kill_judge,
        lambda phases: [_kill(0)],
    ),
    Scenario(
        2,
        "workers killed in turn",
        "kill -9 of every worker in turn: errors below 0.1 %, nothing leaks",
        _kills_judge,
        _kills,
        phases=LONGER,
    ),
    Scenario(
        3,
        "worker stuck",
        "SIGSTOP of a worker: the watchdog kills it within 10 s, the others do not notice",
        _stuck_judge,
        lambda phases: [Step(0, "SIGSTOP", lambda laboratory: laboratory.kill_worker(0, signal.SIGSTOP))],
        phases={**LONGER, "quick": Phases(2, 11, 4)},
    ),
    Scenario(
        4,
        "crash loop",
        "a worker that always crashes is restarted after 1, 2, 4 ... s; the other ones serve on",
        _crash_judge,
        lambda phases: [Step(0, "crashes", lambda laboratory: _crash_again(laboratory, phases.fault))],
        phases=LONGER,
    ),
    Scenario(
        5,
        "supervisor killed",
        "kill -9 of the supervisor: its workers leave within 5 s, and a restart binds at once",
        _master_judge,
        lambda phases: [Step(0, "kill -9", _kill_master)],
        phases=LONGER,
    ),
    Scenario(
        6,
        "stop under load",
        "SIGTERM: what was begun is finished, the listener closes within 100 ms, exit 0",
        _stop_judge,
        lambda phases: _stop_under_load(phases.fault),
        Setup(gateway={"drain_seconds": 30}, stop_seconds=40),
    ),
    Scenario(
        7,
        "stop with a stuck stream",
        "SIGTERM: a stream that does not end is cut at the drain deadline, counted and logged",
        _stuck_stream_judge,
        lambda phases: [Step(-1, "an endless download", _stuck_stream), Step(0, "SIGTERM", _stuck_stream_stop)],
        Setup(gateway={"drain_seconds": 3}, load=False),
    ),
)
