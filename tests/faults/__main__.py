"""``python -m tests.faults [NAME or NUMBER ...] [--quick | --full]``; without any, all scenarios.

``python -m tests.faults soak --minutes 30``: the long one, which is not among all.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tests.faults import report
from tests.faults.control import ChildError
from tests.faults.gateway import GatewayFailed
from tests.faults.running import Verdict, run
from tests.faults.scenario import Length, Scenario
from tests.faults.scenarios import NOT_YET, SCENARIOS
from tests.faults.soak import NUMBER, soak

RATE = 300.0
FULL_RUNS = 3


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; exits with usage if it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Break things under load, and look.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="number, or part of a name; none: all")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", dest="length", action="store_const", const="quick", help="about 9 s each")
    length.add_argument("--full", dest="length", action="store_const", const="full", help="60 s each, three times")
    parser.add_argument("--minutes", type=float, default=30.0, help="of the soak (%(default)g)")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between its faults (%(default)g)")
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second (%(default)g)")
    parser.add_argument(
        "--out", type=Path, default=Path("faults_results"), help="directory of the report (%(default)s)"
    )
    parser.add_argument("--json", type=Path, help="file of the figures as JSON")
    parser.add_argument("--list", action="store_true", help="name the scenarios, and run none")
    chosen = parser.parse_args(arguments)
    chosen.length = chosen.length or "default"
    known = SCENARIOS | {NUMBER: soak(chosen.minutes, chosen.every)}
    chosen.scenarios = [one for name in chosen.scenarios for one in _named(parser, name, known)]
    chosen.scenarios = chosen.scenarios or list(SCENARIOS.values())
    return chosen


def _named(parser: argparse.ArgumentParser, name: str, known: Mapping[int, Scenario]) -> list[Scenario]:
    found = [one for one in known.values() if str(one.number) == name or (not name.isdigit() and name in one.name)]
    if not found:
        parser.error(f"no scenario is {name!r}: " + ", ".join(f"{one.number} {one.name}" for one in known.values()))
    return found


def say(text: str) -> None:
    """Print at once, with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def run_all(scenarios: Sequence[Scenario], length: Length, rate: float) -> tuple[list[Verdict], dict[int, str]]:
    """Run them one after the other; returns the verdicts, and why some were not run."""
    verdicts: list[Verdict] = []
    skipped = dict(NOT_YET) if len(scenarios) == len(SCENARIOS) else {}
    for scenario in scenarios:
        missing = scenario.missing()
        if missing:
            skipped[scenario.number] = missing
            say(f"{scenario.number} {scenario.name}: not run: {missing}")
            continue
        for _each in range(FULL_RUNS if length == "full" else 1):
            verdict = run(scenario, length, rate)
            verdicts.append(verdict)
            broken = "; ".join(f"{one.what} {one.text}, limit {one.limit}" for one in verdict.figures if not one.kept)
            say(f"{scenario.number} {scenario.name}: {broken or 'kept'}")
    return verdicts, skipped


def _terminated(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(143)  # as an exception, so that every ``with`` block ends its processes


def main(arguments: Sequence[str]) -> int:
    """Run; returns 0 if all that was promised was kept."""
    chosen = options(arguments)
    if chosen.list:
        print("\n".join(f"{one.number:>4}  {one.name}: {one.promise}" for one in SCENARIOS.values()))
        return 0
    signal.signal(signal.SIGTERM, _terminated)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        verdicts, skipped = run_all(chosen.scenarios, chosen.length, chosen.rate)
    except (GatewayFailed, ChildError) as error:
        print(f"faults: {error}", file=sys.stderr)
        return 2
    print(report.write(chosen.out, chosen.json, verdicts, skipped))
    return 0 if all(verdict.kept for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
