"""What keeps the pages from drifting from the code.

Parts that are generated: a page marks the place with a comment on a line of its own, which is replaced when Sphinx
reads the page; if the part cannot be made, the build fails. And names that are checked: a page that mentions a file or
an identifier which does not exist gets a warning, and a warning fails the build.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging

from tests.test_floors import FLOORS, PACKAGE, ROOT

BOX_WIDTH, BOX_HEIGHT, GAP, LEFT = 114, 52, 8, 78
FILE = re.compile(r"`([a-z]\w*(?:/[\w-]+)*\.(?:py|tac|toml|txt|yaml|service))`")
NAME = re.compile(r"`([A-Za-z]+(?:_\w+|[a-z][A-Z]\w*))(?:\.(\w+))?`")
"""An identifier as prose mentions it: with an underscore or an inner capital, perhaps with a member of it."""
DASHED = ' stroke-dasharray="4 4"'


def configuration() -> str:
    """Every key of the configuration, as Markdown, from the model."""
    from tracseq_gateway.config.manual import render

    return render()


def log_fields() -> str:
    """Every field of a line of the access log, as a Markdown table, from the one that lines are made by."""
    from tracseq_gateway.access_log.entries import PREFIX
    from tracseq_gateway.config.log_line import FIELDS

    rows = [f"| `{name}` | `{PREFIX}{name.upper()}` | {text} |" for name, text in FIELDS.items()]
    return "\n".join(["| field | in the journal | |", "|---|---|---|", *rows])


def floors() -> str:
    """The floors of the house as an SVG picture, from the tables that the test checks."""
    bands = [_band(name, places, row) for row, (name, places) in enumerate(reversed(FLOORS.items()))]
    width = LEFT + max(len(places) for places in FLOORS.values()) * (BOX_WIDTH + GAP)
    height = len(bands) * (BOX_HEIGHT + 3 * GAP)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" fill="currentColor" font-family="inherit">'
        "<title>The floors and the places on each; imports run downward only</title>" + "".join(bands) + "</svg>"
    )


def _band(floor: str, places: dict[str, set[str]], row: int) -> str:
    """One floor: its name, and a box for each place with what it may import of its own floor.

    A place that has no code yet has a dashed box.
    """
    top = row * (BOX_HEIGHT + 3 * GAP) + GAP
    parts = [f'<text x="0" y="{top + BOX_HEIGHT / 2 + 5}" font-weight="bold" font-size="15">{escape(floor)}</text>']
    for column, (place, allowed) in enumerate(places.items()):
        left = LEFT + column * (BOX_WIDTH + GAP)
        beside = ", ".join(sorted(allowed & set(places)))
        there = any((ROOT / PACKAGE).glob(f"{place}.py")) or any((ROOT / PACKAGE / place).glob("*.py"))
        parts.append(
            f'<rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5" fill-opacity="0.07"'
            f' stroke="currentColor" stroke-opacity="0.5"{"" if there else DASHED}/>'
            f'<text x="{left + BOX_WIDTH / 2}" y="{top + (22 if beside else 31)}" text-anchor="middle"'
            f' font-size="14">{escape(place)}</text>'
        )
        if beside:
            parts.append(
                f'<text x="{left + BOX_WIDTH / 2}" y="{top + 40}" text-anchor="middle" font-size="11"'
                f' fill-opacity="0.75">→ {escape(beside)}</text>'
            )
    return "".join(parts)


def metrics() -> str:
    """Every metric, as a Markdown table, from the families that the page is made of."""
    from prometheus_client import CollectorRegistry

    from tracseq_gateway.metrics.families import Families
    from tracseq_gateway.metrics.further import instance_families, process_families

    families = Families(CollectorRegistry())
    counted = [
        family
        for family in (*vars(families).values(), families.redis_up, *families.own_cache)
        if hasattr(family, "_labelnames")
    ]
    rows = [(family._name, family._type, family._labelnames, family._documentation) for family in counted]
    for family in (*instance_families({}), *process_families(0, {})):
        rows.append((family.name, family.type, family._labelnames, family.documentation))
    lines = ["| metric | kind | labels | |", "|---|---|---|---|"]
    for name, kind, labels, text in rows:
        shown = f"{name}_total" if kind == "counter" else name
        lines.append(f"| `{shown}` | {kind} | {', '.join(labels)} | {text} |")
    return "\n".join(lines)


def alerts() -> str:
    """Every alert that is shipped, as a Markdown table."""
    import yaml

    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules" / "alerts.yml").read_text())["groups"]
    lines = ["| alert | what it means | where to look first |", "|---|---|---|"]
    for rule in (rule for group in groups for rule in group["rules"]):
        texts = rule["annotations"]
        name = f"**{rule['alert']}** ({rule['labels']['severity']}, after {rule.get('for', 'one look')})"
        lines.append(f"| {name} | {texts['description']} | {texts['action']} |")
    return "\n".join(lines)


def worker_life() -> str:
    """What becomes of a worker process, from the table that the code follows."""
    from tracseq_gateway.process.life import EVENTS, STATES, TABLE

    return _state_table([state for state in STATES if state != "gone"], EVENTS, TABLE)


def circuit() -> str:
    """What becomes of a service's circuit, from the table that the code follows."""
    from tracseq_gateway.upstream.breaker import EVENTS, STATES, TABLE

    return _state_table(STATES, EVENTS, TABLE)


def _state_table(states: Sequence[str], events: Sequence[str], table: Mapping[Any, tuple[str, str]]) -> str:
    """A table of states as Markdown: a row for each event, a column for each state."""
    rows = [["", *states], ["---"] * (len(states) + 1)]
    for event in events:
        steps = [(state, *table[state, event]) for state in states]
        cells = [_life_cell(following if following != state else "", action) for state, following, action in steps]
        rows.append([f"**{event}**", *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _life_cell(next_state: str, action: str) -> str:
    """What an event does: the state that it leads to, if that is another, and what is done on the way."""
    parts = [f"→ {next_state}" if next_state else "", action if action != "nothing" else ""]
    return ": ".join(part for part in parts if part) or "-"


SHARED_FIGURES = frozenset(
    {
        "acknowledged, and unknown to the services",
        "POSTs that services saw twice",
        "answers to another request",
        "bytes that nobody had asked for",
        "tracebacks",
        "processes left over",
        "exit status",
    }
)
"""What is looked at in every scenario; shown only where it was not as it must be."""


def faults() -> str:
    """What became of each fault, as a Markdown table, from the figures that ``make faults`` wrote."""
    document = json.loads((ROOT / "docs" / "figures" / "faults.json").read_text())
    lines = ["| | a fault and what is promised | measured (limit) | kept |", "|---|---|---|---|"]
    for run in document["runs"]:
        figures = [_fault_figure(one) for one in run["figures"] if _is_telling(one)]
        kept = "yes" if run["kept"] else "**no**"
        lines.append(f"| {run['number']} | **{run['name']}**: {run['promise']} | {'; '.join(figures)} | {kept} |")
    lines += [f"| {number} | {why} | not run | |" for number, why in document["not_run"].items()]
    return "\n".join(lines)


def _is_telling(figure: dict[str, Any]) -> bool:
    return bool(figure["limit"]) and (figure["what"] not in SHARED_FIGURES or not figure["kept"])


def _fault_figure(figure: dict[str, Any]) -> str:
    value = figure["value"]
    shown = "not measured" if value is None else value if isinstance(value, str) else f"{value:.4g}"
    text = f"{figure['what']} {shown} {figure['unit']}".strip() + f" ({figure['limit']})"
    return text if figure["kept"] else f"**{text}**"


PARTS: dict[str, Callable[[], str]] = {
    "<!-- generated: faults -->": faults,
    "<!-- generated: configuration -->": configuration,
    "<!-- generated: log fields -->": log_fields,
    "<!-- generated: floors -->": floors,
    "<!-- generated: metrics -->": metrics,
    "<!-- generated: alerts -->": alerts,
    "<!-- generated: worker life -->": worker_life,
    "<!-- generated: circuit -->": circuit,
}


def strangers(text: str) -> set[str]:
    """Find the files and identifiers that a page mentions and that do not exist."""
    files = {name for name in FILE.findall(text) if not any((top / name).exists() for top in (ROOT, ROOT / PACKAGE))}
    told = [*(ROOT / PACKAGE).rglob("*.py"), *(ROOT / "deploy").rglob("*.y*ml")]
    words = set(re.findall(r"\w+", "\n".join(path.read_text() for path in told)))
    return files | {word for mention in NAME.findall(text) for word in mention if word} - words


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Check the names in a page as it is read, and put the generated parts into it."""
    for name in sorted(strangers(source[0])):
        logging.getLogger(__name__).warning("nothing is called %s", name, location=page)
    for marker, make in PARTS.items():
        if marker in source[0]:
            try:
                source[0] = source[0].replace(marker, make())
            except Exception as error:
                raise ExtensionError(f"{page}: cannot make the part {marker}: {error}") from error


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
