"""The tables of the parts ``protocols``, ``tls``, ``websockets`` and ``events``."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.samples import Results, Spread, grouped
from benchmarks.samples_protocols import EventSample, ProtocolSample
from benchmarks.tables import LABELS, cell, table


def _way(secure: bool) -> str:
    return "over TLS" if secure else "in clear"


def _shape(sample: ProtocolSample) -> str:
    at_once = f" of {sample.streams} requests at once" if sample.streams > 1 else ""
    return f"{sample.protocol} {_way(sample.secure)}, {sample.connections} connections{at_once}"


def protocols(results: Results) -> str:
    """CPU for one request, by protocol and contestant."""
    rows = [
        [
            label,
            cell((sample.microseconds for sample in samples), ".1f"),
            cell((sample.per_cpu_second for sample in samples), ",.0f"),
            cell((sample.requests / sample.seconds for sample in samples), ",.0f"),
            cell((sample.worker_cpu / sample.seconds for sample in samples), ".0%"),
        ]
        for label, samples in grouped(results.protocols, lambda s: f"{LABELS[s.contestant]}, {_shape(s)}").items()
    ]
    return table(["", "CPU us a request", "requests a CPU-second", "requests/s", "core used"], rows)


def handshakes(results: Results) -> str:
    """CPU for a connection that only begins and ends, by the kind of its handshake."""
    rows = [
        [
            label,
            cell((sample.microseconds for sample in samples), ".0f"),
            cell((sample.per_cpu_second for sample in samples), ",.0f"),
        ]
        for label, samples in grouped(results.handshakes, lambda s: f"{LABELS[s.contestant]}, {s.kind}").items()
    ]
    return table(["a connection", "CPU us", "for each CPU-second"], rows)


def tls_shares(results: Results) -> dict[str, Spread]:
    """Microseconds that TLS adds to a request on a kept connection, by contestant, in the rounds that have both."""
    costs = {(sample.contestant, sample.round, sample.secure): sample.microseconds for sample in results.kept}
    added: dict[str, list[float]] = {}
    for (name, number, secure), cost in costs.items():
        if secure and (name, number, False) in costs:
            added.setdefault(name, []).append(cost - costs[name, number, False])
    return {name: Spread.of(values) for name, values in added.items()}


def kept(results: Results) -> str:
    """CPU for a request on a kept connection, in clear and over TLS."""
    shares = tls_shares(results)
    rows = []
    for name, samples in grouped(results.kept, lambda sample: sample.contestant).items():
        each = [[s.microseconds for s in samples if s.secure is secure] for secure in (False, True)]
        share = shares[name].text(".1f") if name in shares else ""
        rows.append([LABELS[name], *(cell(values, ".1f") if values else "" for values in each), share])
    return table(["CPU us a request on a kept connection", "in clear", "over TLS", "TLS adds"], rows)


def websockets(results: Results) -> str:
    """What open WebSockets cost, and how long an echo takes."""
    rows = [
        [
            LABELS[name],
            f"{samples[0].connections:,}",
            cell((sample.busy for sample in samples), ".0%"),
            cell((sample.worker_cpu / sample.messages for sample in samples), ".0f", 1e6),
            cell((sample.each.resident for sample in samples), ".1f", 1e-3) if name != "direct" else "",
            cell((sample.p50 for sample in samples), ".2f", 1e3),
            cell((sample.p99 for sample in samples), ".2f", 1e3),
        ]
        for name, samples in grouped(results.websockets, lambda sample: sample.contestant).items()
    ]
    return table(["", "open", "core used", "CPU us an echo", "RSS KB each", "p50 ms", "p99 ms"], rows)


def added_by(samples: Iterable[EventSample], percentile: str) -> dict[tuple[str, int], Spread]:
    """Seconds that each contestant adds to the service's own percentile (``p50`` or ``p99``), by it and the number of
    open streams, in the rounds in which both were measured."""
    taken = {(s.contestant, s.streams, s.round): float(getattr(s, percentile)) for s in samples}
    added: dict[tuple[str, int], list[float]] = {}
    for (name, streams, number), seconds in taken.items():
        direct = taken.get(("direct", streams, number))
        if name != "direct" and direct is not None:
            added.setdefault((name, streams), []).append(seconds - direct)
    return {key: Spread.of(values) for key, values in added.items()}


def events(results: Results) -> str:
    """How long an event is on its way, and how much of that is the contestant's."""
    added = [added_by(results.events, percentile) for percentile in ("p50", "p99")]
    cases = grouped(results.events, lambda sample: f"{LABELS[sample.contestant]}, {sample.streams:,} open")
    rows = []
    for label, samples in cases.items():
        key = samples[0].contestant, samples[0].streams
        rows.append(
            [
                label,
                cell((sample.p50 for sample in samples), ".2f", 1e3),
                cell((sample.p99 for sample in samples), ".2f", 1e3),
                *(spreads[key].times(1e3).text(".2f") if key in spreads else "" for spreads in added),
                cell((sample.worker_cpu / sample.events for sample in samples), ".0f", 1e6),
            ]
        )
    return table(["an event, ms", "p50", "p99", "added p50", "added p99", "CPU us"], rows)


SECTIONS = (
    (
        "protocols",
        "HTTP/2 beside HTTP/1.1",
        "h2load sends the browser's request of the part on CPU by both protocols, to one worker on one core: in clear "
        "(HTTP/2 by prior knowledge) and over TLS 1.3. The services behind speak HTTP/1.1.",
        (protocols,),
    ),
    (
        "tls",
        "TLS",
        "TLS 1.3. A connection is opened, shakes hands and is closed; nothing is asked. One that is "
        "resumed shows a ticket. On kept connections wrk asks as in the part on CPU.",
        (handshakes, kept),
    ),
    (
        "websockets",
        "Open WebSockets",
        "Each says something of 100 bytes once a second and gets it back. Latency counts from when the message left.",
        (websockets,),
    ),
    (
        "events",
        "Streams of events",
        "Each event says when the service sent it. With one stream 50 events a second, with many one a second on each. "
        "What is added is the difference to the service alone in the same round.",
        (events,),
    ),
)
