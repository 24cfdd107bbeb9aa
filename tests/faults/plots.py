"""A picture of each scenario: latency and errors over time, with the fault marked. Without matplotlib, none is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.asked import between
from tests.faults.figures import milliseconds, troubled
from tests.faults.running import Verdict
from tests.faults.scenario import Outcome

BIN = 0.25
"""Seconds that a point stands for."""
LATENCY, WORST, ERRORS, FAULT = "#3d6fb4", "#9fb7da", "#c0392b", "#f3e3c2"


def draw(verdicts: Sequence[Verdict], directory: Path) -> dict[int, str]:
    """Draw the scenarios that had a load; returns the names of the files by the scenarios' numbers."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return {}
    drawn = {}
    for verdict in verdicts:
        if verdict.outcome.told.asked:
            name = f"faults_{verdict.scenario.number}.png"
            figure = Figure(figsize=(8, 4.5), layout="constrained")
            _draw(figure, f"{verdict.scenario.number}. {verdict.scenario.name}", verdict.outcome)
            figure.savefig(directory / name, dpi=120)
            drawn[verdict.scenario.number] = name
    return drawn


def _draw(figure: Any, title: str, outcome: Outcome) -> None:
    above, below = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    count = int(outcome.phases.total / BIN)
    begins = [outcome.told.begun + number * BIN for number in range(count)]
    bins = [between(outcome.told.asked, begin, begin + BIN) for begin in begins]
    seconds = [begin + BIN / 2 - outcome.fault_begin for begin in begins]
    above.set_title(title, loc="left", fontsize=12)
    above.plot(seconds, [milliseconds(one, 0.99) for one in bins], color=WORST, label="p99")
    above.plot(seconds, [milliseconds(one, 0.5) for one in bins], color=LATENCY, label="p50")
    above.set_yscale("log")
    above.set_ylabel("milliseconds")
    above.legend(frameon=False, loc="upper right")
    below.bar(seconds, [len(troubled(one)) / BIN for one in bins], BIN, color=ERRORS)
    below.set_ylabel("errors a second")
    below.set_xlabel("seconds from the fault")
    for axes in (above, below):
        axes.axvspan(0, outcome.phases.fault, color=FAULT, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
