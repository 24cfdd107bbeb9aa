"""A machine that does not give what it should: disk, time, memory, CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.faults import checks, proc
from tests.faults.figures import ABSENT, Figure, at_least, at_most, kinds_of_trouble, none, noted, share, troubled, true
from tests.faults.laboratory import Laboratory
from tests.faults.scenario import LONGER, Length, Outcome, Phases, Scenario, Step
from tests.faults.setup import Setup

LOGGED = '[access_log]\ntarget = "@DIRECTORY@/logs/access.log"\n'
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
CLOCK = {
    "LD_PRELOAD": FAKETIME,
    "FAKETIME_TIMESTAMP_FILE": "@DIRECTORY@/clock",
    "FAKETIME_CACHE_DURATION": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}
STEPS: Mapping[Length, Phases] = {"quick": Phases(3, 8, 4), "default": Phases(5, 10, 5), "full": Phases(20, 20, 20)}
ROOM = 8 << 20
"""Bytes that a worker may still map when its memory is capped."""


def _unmounted(laboratory: Laboratory) -> Callable[[], None]:
    def unmount() -> None:
        subprocess.run(["umount", "--lazy", str(laboratory.directory / "logs")], check=True)

    return unmount


def _fill(laboratory: Laboratory) -> None:
    """Put the log onto a full file system. The file is opened anew within a second, as after a rotation."""
    logs = laboratory.directory / "logs"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(logs)], check=True)
    laboratory.cleanup(_unmounted(laboratory))
    filled = 0
    with (logs / "filler").open("wb", buffering=0) as filler:
        try:
            while filled < 1 << 20:
                filled += filler.write(b"x" * 4096)
        except OSError:
            pass  # full, as it is meant to be
    laboratory.note("filled", filled)


def _dropped(laboratory: Laboratory) -> None:
    laboratory.note("dropped", sum(laboratory.gateway.metrics("gateway_access_log_dropped_total").values()))


def _full_judge(outcome: Outcome) -> Sequence[Figure]:
    return [
        checks.errors("at all", outcome.told.asked),
        at_least("lines dropped, by the metrics", outcome.notes["dropped"][0], 1),
        true("the log says so", "access log" in outcome.log),
        checks.unchanged("p99 during", outcome, outcome.during),
    ]


def _not_root() -> str:
    return "" if os.geteuid() == 0 else "only root may mount a small file system"


def _step(offset: str) -> Callable[[Laboratory], None]:
    def step(laboratory: Laboratory) -> None:
        (laboratory.directory / "clock").write_text(f"{offset}\n")

    return step


def _clock_judge(outcome: Outcome) -> Sequence[Figure]:
    out = [sum(state in checks.OUT for state in states.values()) for _when, states in outcome.health]
    return [
        checks.errors("at all", outcome.told.asked),
        at_most("instances out at once", max(out, default=ABSENT), 0),
        checks.unchanged("p99 during", outcome, outcome.during),
        true("no worker was replaced", outcome.log.count("serves (pid") == outcome.workers),
        true("the gateway's clock went along", len({stamp[:13] for stamp in outcome.notes["clock"]}) == 2),
    ]


def _read_clock(laboratory: Laboratory) -> None:
    _status, document = laboratory.gateway.ask("/health")
    laboratory.note("clock", document["timestamp"])


def _cap(laboratory: Laboratory) -> None:
    """Let a worker map hardly more than it has, and give it much to hold."""
    pid = next(pid for pid in laboratory.gateway.worker_pids() if laboratory.gateway.place(pid) == 0)
    mapped = proc.mapped(pid)
    subprocess.run(["prlimit", f"--pid={pid}", f"--as={mapped + ROOM}"], check=True)
    laboratory.note("capped", pid)
    laboratory.crowd("idle").tell("gather", port=laboratory.gateway.port, kind="slow_head", count=4000)


def _release(laboratory: Laboratory) -> None:
    laboratory.crowds["idle"].tell("disperse")
    laboratory.note("alive", laboratory.notes["capped"][0] in laboratory.gateway.worker_pids())


def _cap_judge(outcome: Outcome) -> Sequence[Figure]:
    ended = outcome.log.count("starting another")
    return [
        at_most("workers that ended", ended, 1),
        noted("the capped worker", "lived on" if outcome.notes["alive"][0] else "was replaced"),
        at_most("errors", share(len(troubled(outcome.told.asked)), len(outcome.told.asked)), 1.0, "%"),
        checks.errors("after", outcome.since_fault(outcome.phases.fault + 1)),
    ]


def _starve(seconds: float) -> Callable[[Laboratory], None]:
    def starve(laboratory: Laboratory) -> None:
        """Busy loops, four for each core, with more right to the CPU than the gateway."""
        for pid in laboratory.gateway.pids():
            subprocess.run(["renice", "-n", "10", "-p", str(pid)], check=True, stdout=subprocess.DEVNULL)
        busy = f"import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"
        burners = [subprocess.Popen([sys.executable, "-c", busy]) for _each in range(4 * len(os.sched_getaffinity(0)))]
        laboratory.cleanup(lambda: _end(burners))

    return starve


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def _starved_judge(outcome: Outcome) -> Sequence[Figure]:
    shed = [one for one in outcome.told.asked if one.status == 503]
    return [
        noted("answers meanwhile", kinds_of_trouble(outcome.during)),
        noted("shed with 503", share(len(shed), len(outcome.during)), "%"),
        none("503 without Retry-After", sum(not one.retry_after for one in shed)),
        at_most("last error after its end", checks.last_error(outcome.after, outcome.fault_end), 2.0, "s"),
        true("no worker was replaced", outcome.log.count("serves (pid") == outcome.workers),
    ]


SCENARIOS = (
    Scenario(
        37,
        "log disk full",
        "the access log's disk is full: no error, the lines that are lost are counted",
        _full_judge,
        lambda phases: [
            Step(0, "full", _fill),
            Step(phases.fault - 0.2, "counted", _dropped),
        ],
        Setup(toml=LOGGED),
        missing=_not_root,
    ),
    Scenario(
        38,
        "clock steps",
        "the wall clock goes an hour forward, then an hour back: nobody notices",
        _clock_judge,
        lambda phases: [
            Step(0, "an hour forward", _step("+1h")),
            Step(phases.fault / 2 - 0.5, "looked at", _read_clock),
            Step(phases.fault / 2, "an hour back", _step("-1h")),
            Step(phases.fault - 0.5, "looked at", _read_clock),
            Step(phases.fault, "right again", _step("+0")),
        ],
        Setup(environ=CLOCK, watch_health=True),
        phases=STEPS,
        missing=lambda: "" if Path(FAKETIME).exists() else "no libfaketime (Debian: apt-get install faketime)",
    ),
    Scenario(
        39,
        "memory cap",
        "a worker that may not have more memory: it alone ends and is replaced, or lives on",
        _cap_judge,
        lambda phases: [Step(0, "capped", _cap), Step(phases.fault, "released", _release)],
        phases=LONGER,
        missing=checks.without("prlimit", "util-linux"),
    ),
    Scenario(
        40,
        "CPU starvation",
        "four busy loops for each core: sheds with 503 if it must, and all is well 2 s after",
        _starved_judge,
        lambda phases: [Step(0, "busy loops", _starve(phases.fault))],
    ),
)
