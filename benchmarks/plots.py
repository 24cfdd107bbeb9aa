"""The results as pictures (PNG)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.duties import DUTIES
from benchmarks.report import growth_points
from benchmarks.report_duties import duty_shares
from benchmarks.samples import Results, Spread, grouped
from benchmarks.settings import CLIENTS
from benchmarks.tables import LABELS
from benchmarks.targets import (
    CADDY_RATIO,
    DUTIES_CADDY_RATIO,
    DUTIES_NGINX_RATIO,
    IDLE_BYTES,
    NGINX_RATIO,
    REFUSED_RATIO,
    TRANSFER_BYTES,
)

COLOURS = {
    "direct": "#8c8c8c",
    "nginx": "#2a7f62",
    "caddy": "#3d6fb4",
    "treq": "#b07c2c",
    "nginx_lua": "#6a4c93",
    "gateway": "#c0392b",
}
SHARES = {
    "none": "#c0392b",
    "auth": "#3d6fb4",
    "limits": "#6a4c93",
    "metrics": "#b07c2c",
    "log": "#2a7f62",
    "headers": "#8c8c8c",
}


def _figure(title: str, across: str, up: str, height: float = 4.0) -> tuple[Figure, Any]:
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=12)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _bars(axes: Any, values: dict[str, Spread], form: str) -> None:
    """One horizontal bar for each contestant: its median, and whiskers to the smallest and the largest value."""
    for place, (name, spread) in enumerate(reversed(values.items())):
        reach = [[spread.median - spread.low], [spread.high - spread.median]]
        colour = COLOURS.get(name, COLOURS["gateway"])
        axes.barh(place, spread.median, color=colour, height=0.6, xerr=reach, ecolor="#333333", capsize=3)
        axes.annotate(
            f"{spread.median:{form}}",
            (spread.high, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(values)), [LABELS.get(name, name) for name in reversed(values)])
    axes.set_xlim(0, max(spread.high for spread in values.values()) * 1.12)


def _targets(axes: Any, values: dict[str, Spread], factors: dict[str, float], place: str) -> None:
    """Lines at so many times the medians of others, and a legend for them."""
    for (other, factor), style in zip(factors.items(), ("--", ":"), strict=True):
        if other in values:
            label = f"{factor} x {LABELS[other]}"
            axes.axvline(values[other].median * factor, color=COLOURS[other], linestyle=style, label=label)
    axes.legend(title="gateway's targets", frameon=False, loc=place)


def cpu(results: Results) -> Figure:
    """CPU for one request, with lines where the targets lie."""
    values = {
        name: Spread.of(sample.microseconds for sample in samples)
        for name, samples in grouped(
            [sample for sample in results.cpu if not sample.varied], lambda sample: sample.contestant
        ).items()
    }
    figure, axes = _figure("CPU for one request (less is better)", "microseconds", "", 3.4)
    _bars(axes, values, ".0f")
    _targets(axes, values, {"nginx": NGINX_RATIO, "caddy": CADDY_RATIO}, "upper right")
    return figure


def latency(results: Results) -> Figure:
    """p50, p90 and p99 of each contestant, side by side."""
    figure, axes = _figure("Latency at 500 requests a second, open loop", "", "milliseconds")
    groups = grouped(results.latency, lambda sample: sample.contestant)
    width = 0.8 / len(groups)
    for place, (name, samples) in enumerate(groups.items()):
        for column, share in enumerate(("p50", "p90", "p99")):
            spread = Spread.of(getattr(sample, share) for sample in samples).times(1e3)
            axes.bar(
                column + (place - (len(groups) - 1) / 2) * width,
                spread.median,
                width * 0.9,
                color=COLOURS[name],
                yerr=[[spread.median - spread.low], [spread.high - spread.median]],
                ecolor="#333333",
                capsize=2,
                label=LABELS[name] if column == 0 else None,
            )
    axes.set_xticks(range(3), ["p50", "p90", "p99"])
    axes.legend(frameon=False, loc="upper left")
    return figure


def idle(results: Results) -> Figure:
    """Memory for one idle connection."""
    values = {
        name: Spread.of(sample.each.resident for sample in samples).times(1e-3)
        for name, samples in grouped(results.idle, lambda sample: sample.contestant).items()
    }
    figure, axes = _figure("Memory of one idle keep-alive connection (RSS)", "KB", "", 3.4)
    _bars(axes, values, ".1f")
    axes.axvline(IDLE_BYTES / 1e3, color=COLOURS["gateway"], linestyle="--", label="gateway's target: 20 KB")
    axes.legend(frameon=False, loc="upper right")
    return figure


def transfer(results: Results) -> Figure:
    """The worker's memory during each transfer, above what it was before."""
    figure, axes = _figure("The worker's memory while a large body passes to a slow peer", "seconds", "MB above start")
    for direction, samples in grouped(results.transfer, lambda sample: sample.direction).items():
        for sample in samples:
            seconds = [when for when, _size in sample.history]
            growth = [(size - sample.resident_before) / 1e6 for _when, size in sample.history]
            colour = COLOURS["gateway"] if direction == "upload" else COLOURS["caddy"]
            label = direction if sample is samples[0] else None
            axes.plot(seconds, growth, color=colour, alpha=0.8, label=label)
    axes.axhline(TRANSFER_BYTES / 1e6, color="#333333", linestyle="--", label="target: 20 MB")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="center right")
    return figure


def growth(results: Results, over: str) -> Figure:
    """Requests for a CPU-second against the number of clients or of routes."""
    figure, axes = _figure(f"Requests for a CPU-second, by number of {over}", over, "requests for a CPU-second")
    ticks: set[int] = set()
    for name, points in growth_points(results, over).items():
        spreads = [Spread.of(sample.per_cpu_second for sample in samples) for samples in points.values()]
        reach = [
            [spread.median - spread.low for spread in spreads],
            [spread.high - spread.median for spread in spreads],
        ]
        middle = [spread.median for spread in spreads]
        axes.errorbar(list(points), middle, yerr=reach, color=COLOURS[name], marker="o", capsize=3, label=LABELS[name])
        ticks |= set(points)
    axes.set_xscale("log")
    axes.set_xticks(sorted(ticks), [f"{tick:,}" for tick in sorted(ticks)])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _place: f"{value:,.0f}")
    axes.legend(frameon=False)
    return figure


def duties(results: Results) -> Figure:
    """CPU for one request with all duties, beside two that only pass on, with lines where the targets lie."""
    full = [s for s in results.duties if s.clients == CLIENTS and (s.contestant != "gateway" or s.duties == DUTIES)]
    values = {
        name: Spread.of(sample.microseconds for sample in samples)
        for name, samples in grouped(full, lambda sample: sample.contestant).items()
    }
    title = "CPU for one request with all duties (nginx and Caddy: with none)"
    figure, axes = _figure(title, "microseconds", "", 3.4)
    _bars(axes, values, ".0f")
    _targets(axes, values, {"nginx_lua": DUTIES_NGINX_RATIO, "caddy": DUTIES_CADDY_RATIO}, "lower right")
    return figure


def shares(results: Results) -> Figure:
    """What each duty alone adds, one after the other, above what all cost together."""
    figure, axes = _figure("The gateway's CPU for one request, by duty", "microseconds", "", 3.0)
    left = 0.0
    for label, share in duty_shares(results).items():
        width = max(share.median, 0.0)
        shown = "passing on" if label == "none" else label
        axes.barh(1, width, left=left, color=SHARES[label], height=0.6, label=f"{shown} {share.median:.1f}")
        left += width
    together = [s for s in results.duties if (s.contestant, s.duties, s.clients) == ("gateway", DUTIES, CLIENTS)]
    spread = Spread.of(sample.microseconds for sample in together)
    axes.barh(0, spread.median, color=COLOURS["gateway"], height=0.6)
    axes.annotate(f"{spread.median:.1f}", (spread.median, 0), xytext=(6, 0), textcoords="offset points", va="center")
    axes.set_yticks([0, 1], ["all together", "each alone"])
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    return figure


def refusals(results: Results) -> Figure:
    """CPU for a served and for a refused request of one client."""
    groups = grouped(results.refusals, lambda sample: "refused" if sample.refused else "served")
    values = {label: Spread.of(sample.microseconds for sample in samples) for label, samples in groups.items()}
    figure, axes = _figure("CPU for one client's requests, all duties on", "microseconds", "", 2.6)
    _bars(axes, values, ".0f")
    axes.axvline(
        values["served"].median * REFUSED_RATIO,
        color="#333333",
        linestyle="--",
        label=f"target: {REFUSED_RATIO} x served",
    )
    axes.legend(frameon=False, loc="lower right")
    return figure


PICTURES: dict[str, dict[str, Callable[[Results], Figure]]] = {
    "cpu": {"cpu.png": cpu},
    "latency": {"latency.png": latency},
    "idle": {"idle.png": idle},
    "transfer": {"transfer.png": transfer},
    "growth": {
        "growth_clients.png": lambda results: growth(results, "clients"),
        "growth_routes.png": lambda results: growth(results, "routes"),
    },
    "duties": {"duties.png": duties, "duties_shares.png": shares},
    "tokens": {"refusals.png": refusals},
    "memory": {},
    "scrape": {},
    "records": {},
    "protocols": {},
    "tls": {},
    "websockets": {},
    "events": {},
}
NEEDED: dict[str, Callable[[Results], object]] = {
    "growth_routes.png": lambda results: growth_points(results, "routes"),
    "duties_shares.png": duty_shares,
}
"""What a picture shows that only the gateway has: there is none if it was not among the contestants."""


def draw(results: Results, directory: Path) -> dict[str, list[str]]:
    """Draw every part that was measured; returns the names of the files for each."""
    drawn: dict[str, list[str]] = {}
    for part in results.runs:
        for name, picture in PICTURES[part].items():
            if name in NEEDED and not NEEDED[name](results):
                continue
            picture(results).savefig(directory / name, dpi=120)
            drawn.setdefault(part, []).append(name)
    return drawn
