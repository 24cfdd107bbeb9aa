"""A configuration that changes, and a gateway that is replaced, under load."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from tests.faults import checks
from tests.faults.figures import ABSENT, Figure, at_least, at_most, none, noted, troubled, true, worst
from tests.faults.gateway import GatewayFailed
from tests.faults.laboratory import Laboratory
from tests.faults.scenario import LONGER, Length, Outcome, Phases, Scenario, Step
from tests.faults.setup import Setup

EVERY = 2.0
"""Seconds between two reloads. Those who were replaced have five to finish."""
VARIANTS = ("a", "b")
MANY: Mapping[Length, Phases] = {"quick": Phases(2, 6, 7), "default": Phases(4, 14, 8), "full": Phases(20, 300, 20)}


def _variant(name: str) -> Setup:
    """Two keys of different tables that go together, and of which every request tells the services."""
    return Setup(service={"rewrite": f"/{name}"}, gateway={"via": f"gateway-{name}"})


def _reload(number: int) -> Callable[[Laboratory], None]:
    def reload(laboratory: Laboratory) -> None:
        laboratory.write(_variant(VARIANTS[number % 2]))
        laboratory.gateway.signal(signal.SIGHUP)

    return reload


def _reloads(phases: Phases) -> Sequence[Step]:
    count = int(phases.fault // EVERY) + 1
    return [Step(number * EVERY, "reload", _reload(number + 1)) for number in range(count)]


def _reloads_judge(outcome: Outcome) -> Sequence[Figure]:
    ordered = sorted((entry for seen in outcome.seen.values() for entry in seen), key=lambda entry: entry[3])
    configurations = [(path.split("/")[1], via.rpartition("-")[2]) for *_rest, path, via in ordered]
    switched = sum(earlier[0] != later[0] for earlier, later in pairwise(configurations))
    largest = [max(held.resident for held in one.workers) for one in outcome.samples if one.workers]
    masters = [one.supervisor.resident for one in outcome.samples if one.supervisor is not None]
    return [
        checks.errors("at all", outcome.told.asked),
        checks.connections_accepted(outcome),
        none("requests on a mixed configuration", sum(path != via for path, via in configurations)),
        at_least("configurations in force", len({path for path, _via in configurations}), 2),
        noted("changes from one to the other, as services saw it", switched),
        at_most("growth of the supervisor", (masters[-1] / masters[0] - 1) * 100 if masters else ABSENT, 5.0, "%"),
        at_most("growth of a worker", (largest[-1] / largest[0] - 1) * 100 if largest else ABSENT, 25.0, "%"),
        at_most("workers at the end", len(outcome.samples[-1].workers), outcome.workers),
        checks.no_zombies(outcome),
    ]


BROKEN: Mapping[str, tuple[str, str]] = {
    "a file that is no TOML": ("[gateway\n", "gateway.toml:"),
    "a certificate that is missing": ('[redis]\nurl = "rediss://127.0.0.1:1"\nca = "/missing.pem"\n', "missing.pem"),
    "two services with one prefix": (
        '[services.samples]\nprefix = "/a"\ninstances = ["http://127.0.0.1:1"]\n'
        '[services.storage]\nprefix = "/a"\ninstances = ["http://127.0.0.1:1"]\n',
        "/a",
    ),
}
"""What is wrong: the file, and what the refusal names."""


def _break(laboratory: Laboratory) -> None:
    good = laboratory.gateway.file.read_text()
    for name, (text, named) in BROKEN.items():
        laboratory.gateway.file.write_text(text)
        status, said = laboratory.gateway.command("reload")
        laboratory.note("refused", (name, status == 1 and named in said, f"status {status}: {said.strip()[:200]}"))
        laboratory.gateway.file.write_text(good)
    laboratory.note("reloaded", laboratory.gateway.command("reload")[0])


def _broken_judge(outcome: Outcome) -> Sequence[Figure]:
    refused = outcome.notes["refused"]
    figures = [true(f"{name} is refused with its place", good) for name, good, _said in refused]
    figures += [noted(name, said.replace("\n", " / ").replace("|", "/")) for name, good, said in refused if not good]
    return [
        *figures,
        true("the good one is taken", outcome.notes["reloaded"] == [0]),
        checks.errors("at all", outcome.told.asked),
    ]


def _upgrade(laboratory: Laboratory) -> None:
    """Start another gateway that takes over from the first, which then leaves."""
    gateway = laboratory.gateway
    first = gateway.process
    assert first is not None
    try:
        laboratory.note("second serves", gateway.start("--takeover"))
    except GatewayFailed as error:
        laboratory.note("failed", str(error).splitlines()[-1][:200])
        return
    begun = time.monotonic()

    def wait() -> None:
        laboratory.until(lambda: first.poll() is not None, 40)
        laboratory.note("first gone", time.monotonic() - begun)

    laboratory.aside(wait)


def _upgrade_judge(outcome: Outcome) -> Sequence[Figure]:
    fresh = [one for one in outcome.told.asked if one.fresh]
    return [
        true("both serve for a moment", "second serves" in outcome.notes),
        noted("why not", "; ".join(outcome.notes.get("failed", ["-"])).replace("|", "/")),
        at_most("first gone", worst(outcome.notes.get("first gone", [])), 6.0, "s"),
        none("errors on new connections", len(troubled(fresh))),
        none("errors on kept connections", len(troubled([one for one in outcome.told.asked if not one.fresh]))),
        checks.connections_accepted(outcome),
    ]


SCENARIOS = (
    Scenario(
        8,
        "reload under load",
        "a reload every 2 s: no error, no reset, no request on a mixed configuration",
        _reloads_judge,
        _reloads,
        _variant("a"),
        phases=MANY,
    ),
    Scenario(
        9,
        "reload of a broken file",
        "it is refused and names the place; the old configuration serves on",
        _broken_judge,
        lambda phases: [Step(0, "reloads", _break)],
        phases=LONGER,
    ),
    Scenario(
        10,
        "upgrade",
        "a second gateway takes over on the same port: no error on new connections, old ones are drained",
        _upgrade_judge,
        lambda phases: [Step(0, "second starts", _upgrade)],
        phases=LONGER,
    ),
)
