"""Tables in Markdown, and the names that they use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.samples import Spread

LABELS = {
    "direct": "service alone",
    "nginx": "nginx",
    "caddy": "Caddy",
    "treq": "twisted.web and treq",
    "nginx_lua": "nginx with Lua and Redis",
    "gateway": "TracSeq Gateway",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is left-aligned, the others right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(values: Iterable[float], form: str, factor: float = 1.0) -> str:
    """The median, with the smallest and the largest value behind it where there are several."""
    return Spread.of(values).times(factor).text(form)
