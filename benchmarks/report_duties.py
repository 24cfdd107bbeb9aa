"""The tables of the parts ``duties``, ``tokens`` and ``memory``."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.duties import DUTIES
from benchmarks.samples import Results, Spread, grouped
from benchmarks.settings import CLIENTS
from benchmarks.tables import LABELS, cell, table


def duties_label(duties: Sequence[str]) -> str:
    """``all duties``, ``none``, or their names."""
    return "all duties" if tuple(duties) == DUTIES else ", ".join(duties) or "none"


def costs(results: Results) -> str:
    """CPU for one request, for each contestant with its duties."""
    samples = [sample for sample in results.duties if sample.clients == CLIENTS]
    rows = [
        [
            label,
            cell((sample.microseconds for sample in group), ".1f"),
            cell((sample.redis_microseconds for sample in group), ".1f"),
            cell((sample.calls_per_request for sample in group), ".3f"),
            cell((sample.requests / sample.seconds for sample in group), ",.0f"),
            cell((sample.worker_cpu / sample.seconds for sample in group), ".0%"),
        ]
        for label, group in grouped(
            samples, lambda sample: f"{LABELS[sample.contestant]}, {duties_label(sample.duties)}"
        ).items()
    ]
    head = ["", "CPU us a request", "of Redis, us", "Redis calls a request", "requests/s", "core used"]
    return table(head, rows)


def duty_shares(results: Results) -> dict[str, Spread]:
    """Microseconds that each duty alone adds to what the gateway needs without any, which comes first as ``none``."""
    alone = [sample for sample in results.duties if sample.contestant == "gateway" and len(sample.duties) < 2]
    costs = {(duties_label(sample.duties), sample.round): sample.microseconds for sample in alone}
    added: dict[str, list[float]] = {}
    for (label, r), cost in costs.items():
        if ("none", r) in costs:
            added.setdefault(label, []).append(cost - (costs["none", r] if label != "none" else 0))
    return {label: Spread.of(values) for label, values in added.items()}


def shares(results: Results) -> str:
    """What each duty adds."""
    rows = [
        ["nothing but passing on" if label == "none" else label, share.text(".1f")]
        for label, share in duty_shares(results).items()
    ]
    return table(["the gateway", "us a request, each duty alone"], rows) if rows else ""


def calls(results: Results) -> str:
    """Redis calls for one request, by the number of clients."""
    full = [sample for sample in results.duties if sample.duties == DUTIES]
    if not full:
        return ""
    by_name = grouped(full, lambda sample: sample.contestant)
    rows = []
    for clients in sorted({sample.clients for sample in full}):
        asked = [[s.calls_per_request for s in group if s.clients == clients] for group in by_name.values()]
        rows.append([f"{clients:,}", *(cell(values, ".3f") if values else "" for values in asked)])
    return table(["Redis calls a request, by clients", *(LABELS[name] for name in by_name)], rows)


def tokens(results: Results) -> str:
    """Known and new tokens, by algorithm."""
    cases = grouped(results.tokens, lambda s: s.algorithm + (", Auth Service asked" if s.introspected else ""))
    rows = []
    for label, samples in cases.items():
        new = [sample for sample in samples if sample.new]
        known = {sample.round: sample.microseconds for sample in samples if not sample.new}
        rows.append(
            [
                label,
                cell(known.values(), ".1f"),
                cell((sample.microseconds for sample in new), ".1f"),
                cell((sample.microseconds - known[sample.round] for sample in new), ".1f"),
                cell((sample.asked_per_request for sample in new), ".3f"),
            ]
        )
    head = ["CPU us a request", "token known", "token new", "a new token costs", "questions a new token"]
    return table(head, rows)


def refusals(results: Results) -> str:
    """Served and refused requests of one client."""
    rows = [
        [
            label,
            cell((sample.microseconds for sample in samples), ".1f"),
            cell((sample.requests / sample.seconds for sample in samples), ",.0f"),
            f"{sum(sample.calls for sample in samples):,} for {sum(sample.requests for sample in samples):,}",
        ]
        for label, samples in grouped(results.refusals, lambda s: "refused" if s.refused else "served").items()
    ]
    return table(["one client, all duties", "CPU us a request", "requests/s", "Redis calls"], rows) if rows else ""


def state(results: Results) -> str:
    """Bytes of what is remembered."""
    rows = []
    if results.keys:
        counts = " ".join(sorted({f"{sample.keys:,}" for sample in results.keys}))
        rows.append(["a limiter key in Redis", counts, cell((sample.each for sample in results.keys), ".0f")])
    if results.verdicts:
        counts = " ".join(sorted({f"{sample.tokens:,}" for sample in results.verdicts}))
        rows.append(["a token's verdict in a worker", counts, cell((s.each for s in results.verdicts), ".0f")])
    return table(["", "how many", "bytes each"], rows)
