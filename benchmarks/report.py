"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import report_duties, report_protocols
from benchmarks.samples import CpuSample, GrowthSample, Results, grouped
from benchmarks.tables import LABELS, cell, table
from benchmarks.targets import added_p99, record_costs, verdicts

MET = {True: "yes", False: "**no**", None: "-"}


def _targets(results: Results) -> str:
    rows = [[v.target, v.wanted, v.measured, MET[v.met]] for v in verdicts(results)]
    return table(["Target", "Wanted", "Measured", "Met"], rows)


def _cpu(results: Results) -> str:
    same = [sample for sample in results.cpu if not sample.varied]
    different = [sample for sample in results.cpu if sample.varied]
    rows = _cpu_rows(same, "") + _cpu_rows(different, ", every request different")
    return table(["", "CPU us a request", "requests/s", "core used", "supervisor or master, us"], rows)


def _cpu_rows(cpu: Sequence[CpuSample], suffix: str) -> list[list[str]]:
    return [
        [
            LABELS[name] + suffix,
            cell((sample.microseconds for sample in samples), ".1f"),
            cell((sample.requests_per_second for sample in samples), ",.0f"),
            cell((sample.busy for sample in samples), ".0%"),
            cell((sample.overseer_cpu / sample.requests * 1e6 for sample in samples), ".2f"),
        ]
        for name, samples in grouped(cpu, lambda sample: sample.contestant).items()
    ]


def _latency(results: Results) -> str:
    rows = []
    for name, samples in grouped(results.latency, lambda sample: sample.contestant).items():
        added = added_p99(results, name) if name != "direct" else None
        rows.append(
            [
                LABELS[name],
                cell((sample.p50 for sample in samples), ".2f", 1e3),
                cell((sample.p90 for sample in samples), ".2f", 1e3),
                cell((sample.p99 for sample in samples), ".2f", 1e3),
                f"{added.median * 1e3:.2f}" if added else "",
                cell((sample.worst for sample in samples), ".1f", 1e3),
            ]
        )
    return table(["ms", "p50", "p90", "p99", "added p99", "worst"], rows)


def _idle(results: Results) -> str:
    rows = [
        [
            LABELS[name],
            f"{samples[0].connections:,}",
            cell((sample.each.resident for sample in samples), ".1f", 1e-3),
            cell((sample.each.proportional for sample in samples), ".1f", 1e-3),
            cell((sample.each.unique for sample in samples), ".1f", 1e-3),
            cell((sample.before.resident for sample in samples), ".0f", 1e-6),
            cell((sample.after.resident for sample in samples), ".0f", 1e-6),
            f"{min(sample.alive for sample in samples):,}",
            cell((sample.again_p99 for sample in samples), ".1f", 1e3),
            cell((sample.accept_p99 for sample in samples), ".1f", 1e3),
        ]
        for name, samples in grouped(results.idle, lambda sample: sample.contestant).items()
    ]
    head = ["", "connections", "RSS KB each", "PSS KB each", "USS KB each", "RSS MB before", "with them"]
    return table([*head, "still open", "p99 ms asked again", "p99 ms new connection"], rows)


def _base(results: Results) -> str:
    if not results.base:
        return ""
    memory = [sample.memory for sample in results.base]
    processes = max(sample.processes for sample in results.base)
    return (
        f"Supervisor and {results.base[0].workers} workers ({processes} processes) before any load, MB: "
        f"PSS {cell((each.proportional for each in memory), '.1f', 1e-6)}, "
        f"USS {cell((each.unique for each in memory), '.1f', 1e-6)}, "
        f"RSS {cell((each.resident for each in memory), '.1f', 1e-6)}."
    )


def _transfer(results: Results) -> str:
    rows = [
        [
            direction,
            f"{samples[0].size / 1e6:,.0f} MB",
            cell((sample.seconds for sample in samples), ".1f"),
            "yes" if all(sample.exact for sample in samples) else "**no**",
            cell((sample.resident_before for sample in samples), ".1f", 1e-6),
            cell((sample.growth for sample in samples), ".1f", 1e-6),
        ]
        for direction, samples in grouped(results.transfer, lambda sample: sample.direction).items()
    ]
    return table(["", "size", "seconds", "byte-exact (SHA-256)", "RSS MB before", "growth MB"], rows)


def _records(results: Results) -> str:
    none = [sample for sample in results.records if not sample.records]
    each = [[sample.microseconds for sample in none if sample.varied == varied] for varied in (False, True)]
    rows = [["nothing written down", *(cell(values, ".1f") if values else "" for values in each)]]
    varied = record_costs(results, varied=True)
    rows += [
        [f"+ {label}", added.text(".1f"), varied[label].text(".1f") if label in varied else ""]
        for label, added in record_costs(results).items()
    ]
    return table(["CPU us a request", "clients repeat theirs", "every one is another"], rows)


def _scrape(results: Results) -> str:
    pages = [seconds for sample in results.scrape for seconds in sample.seconds]
    size = max(sample.size for sample in results.scrape)
    rows = [
        ["samples on a page", f"{max(sample.samples for sample in results.scrape):,} ({size / 1e3:,.0f} KB)"],
        ["a page, ms", cell(pages, ".0f", 1e3)],
        ["p99 of the load alone, ms", cell((sample.p99_alone for sample in results.scrape), ".2f", 1e3)],
        ["beside a page every 1.6 s", cell((sample.p99_beside for sample in results.scrape), ".2f", 1e3)],
    ]
    return table(["", ""], rows)


def growth_points(results: Results, over: str) -> dict[str, dict[int, list[GrowthSample]]]:
    """For each contestant, for each count in ascending order, the samples of all rounds."""
    points: dict[str, dict[int, list[GrowthSample]]] = {}
    wanted = [sample for sample in results.growth if sample.over == over]
    for sample in sorted(wanted, key=lambda sample: sample.count):
        points.setdefault(sample.contestant, {}).setdefault(sample.count, []).append(sample)
    return points


def _growth(results: Results, over: str) -> str:
    points = growth_points(results, over)
    if not points:
        return ""
    counts = sorted({count for by_count in points.values() for count in by_count})
    order = [name for name in LABELS if name in points]
    rows = [
        [f"{count:,}", *(cell((s.per_cpu_second for s in points[name].get(count, [])), ",.0f") for name in order)]
        for count in counts
    ]
    return table([over, *(LABELS[name] for name in order)], rows)


def _runs(results: Results) -> str:
    rows = [
        [part, run.started, "short" if run.quick else "full", f"{run.load_average:.2f}"]
        for part, run in results.runs.items()
    ]
    return table(["part", "measured", "form", "load average before"], rows)


SECTIONS = (
    (
        "cpu",
        "CPU for one request",
        "64 keep-alive clients (wrk), ten header fields with a 600-byte bearer token, 1 KB of JSON, one worker on one "
        "core. nginx and Caddy only pass on; the gateway routes, rewrites and checks as well. A contestant that did "
        "not use its whole core waited for the load, whose core was full.",
        (_cpu,),
    ),
    (
        "latency",
        "Latency at 500 requests a second",
        "Open loop: each request counts from when it was due. Added p99 is the difference to the service alone in the "
        "same round.",
        (_latency,),
    ),
    (
        "idle",
        "Idle connections and base memory",
        "Each connection had one request answered. Memory of the serving processes; the kernel's socket buffers are "
        "not in it.",
        (_idle, _base),
    ),
    (
        "transfer",
        "Large bodies and a slow peer",
        "One end is fast, the other takes 75 MB/s and rests for two seconds after each 250 MB. Growth is the kernel's "
        "high-water mark of RSS above what it was before.",
        (_transfer,),
    ),
    (
        "growth",
        "How cost grows",
        "Requests for each CPU-second of the workers: with more clients, and (the gateway) with more routes.",
        (lambda results: _growth(results, "clients"), lambda results: _growth(results, "routes")),
    ),
    (
        "duties",
        "CPU for one request with all duties",
        "Each duty for each request: the verdict on the bearer token (cached), GCRA in a Redis of the contestant's "
        "own (unix socket, on the core of the load, its CPU counted apart), metrics, a JSON access line in a file, "
        "security headers. 64 keep-alive clients of 16 users. nginx and Caddy only pass on. nginx with Lua has "
        "every verdict in its cache from the start. Before the load each contestant has shown that it does these "
        "duties and no others. A duty's share is what it adds when it is the only one (limits alone know clients by "
        "their address, and so only one); together they come to less or more, because they share work.",
        (report_duties.costs, report_duties.shares, report_duties.calls),
    ),
    (
        "tokens",
        "New tokens and refused requests",
        "Known: the verdict is remembered. New: every request has a token whose verdict is not. The Auth Service is a "
        "stand-in that answers at once. The refused client is over its limit with every request.",
        (report_duties.tokens, report_duties.refusals),
    ),
    (
        "memory",
        "Memory of limits and verdicts",
        "Redis: growth of used_memory, each user having used one request of one service's limit. Worker: growth of its "
        "PSS.",
        (report_duties.state,),
    ),
    (
        "scrape",
        "Reading the metrics",
        "50 services with three instances each, four workers and the supervisor on one core, every series filled; "
        "500 requests a second as in the part on latency. Prometheus would read the page every 15 s.",
        (_scrape,),
    ),
    (
        "records",
        "Writing down",
        "64 keep-alive clients, one worker. Traces keep 1 % of the requests and send them "
        "to a stand-in. What is added is the difference to nothing written down in the same round.",
        (_records,),
    ),
    *report_protocols.SECTIONS,
)


def markdown(results: Results, plots: dict[str, list[str]]) -> str:
    """The whole report. ``plots`` has, for each part, the names of its picture files."""
    pieces = ["# Benchmarks", "Medians over all rounds, with the smallest and the largest value."]
    quick = [part for part, run in results.runs.items() if run.quick]
    if quick:
        pieces.append(
            f"**Short form ({', '.join(quick)}): it shows that the benchmark works; its figures mean little.**"
        )
    pieces.append(_targets(results))
    for part, title, text, renderers in SECTIONS:
        if part in results.runs:
            pieces += [f"## {title}", text, *(render(results) for render in renderers)]
            pieces += [f"![{title}]({name})" for name in plots.get(part, [])]
    pieces += ["## How it was measured", _runs(results)]
    machines = [run.machine for run in results.runs.values()]
    for number, machine in enumerate(machines):
        if machine not in machines[:number]:
            parts = ", ".join(part for part, run in results.runs.items() if run.machine == machine)
            pieces.append(table([parts, ""], ([name, value] for name, value in machine.items())))
    return "\n\n".join(piece for piece in pieces if piece) + "\n"
