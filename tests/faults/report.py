"""The verdicts as Markdown and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.faults.figures import Figure
from tests.faults.running import Verdict


def markdown(verdicts: Sequence[Verdict], skipped: Mapping[int, str], pictures: Mapping[int, str]) -> str:
    """A table of all, then one of each scenario's figures. ``pictures`` are files by a scenario's number."""
    kept = sum(verdict.kept for verdict in verdicts)
    lines = [f"{kept} of {len(verdicts)} runs kept what was promised.", ""]
    lines += ["| | scenario | promised | kept | what was not |", "|---|---|---|---|---|"]
    for verdict in verdicts:
        scenario = verdict.scenario
        broken = "; ".join(f"{one.what} {one.text} (limit {one.limit})" for one in verdict.figures if not one.kept)
        mark = "yes" if verdict.kept else "**no**"
        lines.append(f"| {scenario.number} | {scenario.name} | {scenario.promise} | {mark} | {broken} |")
    lines += [f"| {number} | | {why} | not run | |" for number, why in skipped.items()]
    for verdict in verdicts:
        lines += ["", *_details(verdict, pictures)]
    return "\n".join(lines) + "\n"


def _details(verdict: Verdict, pictures: Mapping[int, str]) -> list[str]:
    scenario, phases = verdict.scenario, verdict.outcome.phases
    lines = [
        f"## {scenario.number}. {scenario.name}",
        "",
        f"{scenario.promise[:1].upper()}{scenario.promise[1:]}. "
        f"{phases.before:g} s before, {phases.fault:g} s with and {phases.after:g} s after the fault.",
        "",
        "| figure | measured | limit | kept |",
        "|---|---|---|---|",
    ]
    lines += [f"| {one.what} | {one.text} | {one.limit} | {_mark(one)} |" for one in verdict.figures]
    if scenario.number in pictures:
        lines += ["", f"![{scenario.name}]({pictures[scenario.number]})"]
    return lines


def _mark(figure: Figure) -> str:
    if not figure.limit:
        return ""
    return "yes" if figure.kept else "**no**"


def document(verdicts: Sequence[Verdict], skipped: Mapping[int, str]) -> dict[str, Any]:
    """The same as JSON has it; a value that could not be measured is null."""
    return {
        "runs": [
            {
                "number": verdict.scenario.number,
                "name": verdict.scenario.name,
                "promise": verdict.scenario.promise,
                "kept": verdict.kept,
                "seconds": verdict.outcome.phases.total,
                "figures": [
                    {
                        "what": one.what,
                        "value": None if isinstance(one.value, float) and math.isnan(one.value) else one.value,
                        "unit": one.unit,
                        "limit": one.limit,
                        "kept": one.kept,
                    }
                    for one in verdict.figures
                ],
            }
            for verdict in verdicts
        ],
        "not_run": {str(number): why for number, why in skipped.items()},
    }


def write(directory: Path, file: Path | None, verdicts: Sequence[Verdict], skipped: Mapping[int, str]) -> str:
    """Write ``faults.md`` with its pictures into ``directory``, and JSON into ``file``; returns the Markdown."""
    from tests.faults.plots import draw  # slow to import where there is matplotlib

    directory.mkdir(parents=True, exist_ok=True)
    text = markdown(verdicts, skipped, draw(verdicts, directory))
    (directory / "faults.md").write_text(text)
    if file is not None:
        file.write_text(json.dumps(document(verdicts, skipped), indent=1) + "\n")
    return text
