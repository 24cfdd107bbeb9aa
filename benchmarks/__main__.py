"""``python -m benchmarks [cpu] [latency] [idle] [transfer] [growth] [duties] [tokens] [memory] [scrape]
[records] [protocols] [tls] [websockets] [events] [--quick]``; without a part, all of them.

The full form takes about an hour, in which the machine should have nothing else to do; each part can be run for
itself, and the report is made from the latest run of each.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from attrs import evolve

from benchmarks import (
    machine,
    record,
    report,
    scenario_cpu,
    scenario_duties,
    scenario_growth,
    scenario_idle,
    scenario_latency,
    scenario_live,
    scenario_memory,
    scenario_protocols,
    scenario_records,
    scenario_scrape,
    scenario_tls,
    scenario_tokens,
    scenario_transfer,
)
from benchmarks.contest import CONTESTANTS
from benchmarks.errors import BenchmarkError
from benchmarks.processes import Cores, pinned
from benchmarks.samples import Results, Run
from benchmarks.settings import DUTY_PROXIES, PROXIES, QUICK, Settings


def _cpu(results: Results, settings: Settings, cores: Cores) -> Results:
    return evolve(results, cpu=tuple(scenario_cpu.measure(settings, cores, say)))


def _latency(results: Results, settings: Settings, cores: Cores) -> Results:
    return evolve(results, latency=tuple(scenario_latency.measure(settings, cores, say)))


def _idle(results: Results, settings: Settings, cores: Cores) -> Results:
    base = scenario_idle.measure_base(settings, cores, say) if "gateway" in settings.contestants else []
    return evolve(results, base=tuple(base), idle=tuple(scenario_idle.measure(settings, cores, say)))


def _transfer(results: Results, settings: Settings, cores: Cores) -> Results:
    return evolve(results, transfer=tuple(scenario_transfer.measure(settings, cores, say)))


def _growth(results: Results, settings: Settings, cores: Cores) -> Results:
    return evolve(results, growth=tuple(scenario_growth.measure(settings, cores, say)))


def _duties(results: Results, settings: Settings, cores: Cores) -> Results:
    return evolve(results, duties=tuple(scenario_duties.measure(settings, cores, say)))


def _tokens(results: Results, settings: Settings, cores: Cores) -> Results:
    tokens = scenario_tokens.measure(settings, cores, say)
    refusals = scenario_tokens.measure_refusals(settings, cores, say)
    return evolve(results, tokens=tuple(tokens), refusals=tuple(refusals))


def _memory(results: Results, settings: Settings, cores: Cores) -> Results:
    keys = scenario_memory.measure_keys(settings, cores, say)
    verdicts = scenario_memory.measure_verdicts(settings, cores, say)
    return evolve(results, keys=tuple(keys), verdicts=tuple(verdicts))


def _scrape(results: Results, settings: Settings, cores: Cores) -> Results:
    return evolve(results, scrape=tuple(scenario_scrape.measure(settings, cores, say)))


def _records(results: Results, settings: Settings, cores: Cores) -> Results:
    return evolve(results, records=tuple(scenario_records.measure(settings, cores, say)))


def _protocols(results: Results, settings: Settings, cores: Cores) -> Results:
    return evolve(results, protocols=tuple(scenario_protocols.measure(settings, cores, say)))


def _tls(results: Results, settings: Settings, cores: Cores) -> Results:
    handshakes = scenario_tls.measure_handshakes(settings, cores, say)
    return evolve(results, handshakes=tuple(handshakes), kept=tuple(scenario_tls.measure_kept(settings, cores, say)))


def _websockets(results: Results, settings: Settings, cores: Cores) -> Results:
    return evolve(results, websockets=tuple(scenario_live.measure_websockets(settings, cores, say)))


def _events(results: Results, settings: Settings, cores: Cores) -> Results:
    return evolve(results, events=tuple(scenario_live.measure_events(settings, cores, say)))


PARTS: dict[str, Callable[[Results, Settings, Cores], Results]] = {
    "cpu": _cpu,
    "latency": _latency,
    "idle": _idle,
    "transfer": _transfer,
    "growth": _growth,
    "duties": _duties,
    "tokens": _tokens,
    "memory": _memory,
    "scrape": _scrape,
    "records": _records,
    "protocols": _protocols,
    "tls": _tls,
    "websockets": _websockets,
    "events": _events,
}

KNOWN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("cpu", "latency", "idle", "growth"), PROXIES),
    **dict.fromkeys(("protocols", "tls", "websockets", "events"), ("nginx", "gateway")),
    "duties": DUTY_PROXIES,
}
"""The contestants of the parts that have several."""


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; exits with usage if it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the gateway beside others.")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "all", "report"], metavar="PART", default="all")
    parser.add_argument("--quick", action="store_true", help="short form: shows that it works; figures mean little")
    parser.add_argument("--rounds", type=int, help="rounds of every part")
    parser.add_argument("--contestants", default=",".join(CONTESTANTS), help="of %(default)s", metavar="A,B")
    parser.add_argument("--output", type=Path, default=record.RESULTS, help="directory of the results", metavar="DIR")
    chosen = parser.parse_args(arguments)
    chosen.contestants = tuple(chosen.contestants.split(","))
    for name in chosen.contestants:
        if name not in CONTESTANTS:
            parser.error(f"{name!r} is not a contestant: {', '.join(CONTESTANTS)}")
    chosen.parts = list(PARTS) if "all" in chosen.parts else [part for part in chosen.parts if part != "report"]
    for part in chosen.parts:
        known = KNOWN.get(part, CONTESTANTS)
        if not set(known) & set(chosen.contestants):
            parser.error(f"the part {part} knows only {', '.join(known)}")
    return chosen


def settings_of(chosen: argparse.Namespace) -> Settings:
    """The settings that the command line asks for."""
    settings = evolve(
        QUICK if chosen.quick else Settings(),
        contestants=tuple(name for name in chosen.contestants if name in PROXIES),
        duty_contestants=tuple(name for name in chosen.contestants if name in DUTY_PROXIES),
    )
    if chosen.rounds is None:
        return settings
    n = chosen.rounds
    settings = evolve(settings, rounds=n, idle_rounds=n, transfer_rounds=n, growth_rounds=n)
    settings = evolve(settings, protocol_rounds=n, live_rounds=n)
    return evolve(settings, duty_rounds=n, token_rounds=n, memory_rounds=n, scrape_rounds=n, record_rounds=n)


def say(text: str) -> None:
    """Print at once, with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def write_report(results: Results, directory: Path) -> str:
    """Draw and write everything from what was recorded; returns the Markdown."""
    from benchmarks.plots import draw  # matplotlib is slow to import, and the parts do not need it

    text = report.markdown(results, draw(results, directory))
    (directory / "results.md").write_text(text)
    return text


def measure(parts: Sequence[str], settings: Settings, quick: bool, directory: Path) -> None:
    """Measure the parts, and record each as soon as it is done."""
    cores = Cores.pick()
    # Whatever this process does itself (it is the client of three parts) must not run on the proxy's core.
    with pinned(cores.load):
        for part in parts:
            started = datetime.now(UTC).isoformat(timespec="seconds")
            run = Run(started, quick, os.getloadavg()[0], machine.facts(cores, settings.contestants))
            results = PARTS[part](record.load(directory), settings, cores)
            record.save(results.of_run(part, run), directory)


def _terminated(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(143)  # as an exception, so that every ``with`` block ends its processes


def main(arguments: Sequence[str]) -> int:
    """Run; returns the exit code."""
    chosen = options(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        measure(chosen.parts, settings_of(chosen), chosen.quick, chosen.output)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: stopped; the parts that were finished are recorded", file=sys.stderr)
        return 130
    results = record.load(chosen.output)
    if not results.runs:
        print(f"benchmarks: nothing is recorded in {chosen.output}", file=sys.stderr)
        return 1
    print(write_report(results, chosen.output))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
