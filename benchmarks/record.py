"""The recorded results on disk: one JSON file that every part adds to."""

from __future__ import annotations

import json
from pathlib import Path

from attrs import asdict
from cattrs import Converter

from benchmarks.samples import Results

RESULTS = Path(__file__).parent / "results"
FILE = "results.json"


def load(directory: Path) -> Results:
    """What was recorded so far; nothing if there is no file."""
    file = directory / FILE
    if not file.exists():
        return Results()
    return parse(file.read_text())


def parse(text: str) -> Results:
    """Results from their JSON; an error of cattrs if it is not in their shape."""
    return Converter(forbid_extra_keys=True).structure(json.loads(text), Results)


def dump(results: Results) -> str:
    """Results as JSON."""
    return json.dumps(asdict(results), indent=1) + "\n"


def save(results: Results, directory: Path) -> None:
    """Write the results; a file that is cut off half-way is never left."""
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = directory / (FILE + ".new")
    unfinished.write_text(dump(results))
    unfinished.replace(directory / FILE)
