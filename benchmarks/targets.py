"""The figures that the gateway is to reach, and whether the results say so."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from benchmarks.duties import DUTIES
from benchmarks.samples import Results, Spread
from benchmarks.settings import CLIENTS

NGINX_RATIO = 2.6
CADDY_RATIO = 0.5
ADDED_P99 = 0.005
IDLE_CONNECTIONS = 10_000
IDLE_BYTES = 20_000
BASE_BYTES = 200_000_000
DUTIES_NGINX_RATIO = 1.5
DUTIES_CADDY_RATIO = 1.0
REFUSED_RATIO = 0.5
SCRAPE_SECONDS = 0.2
SCRAPE_ADDED_P99 = 0.005
RECORDS_MICROSECONDS = 20
TRANSFER_SIZE = 1_000_000_000
TRANSFER_BYTES = 20_000_000


@frozen
class Verdict:
    """One target: what is wanted, what was measured, and whether that reaches it. ``met`` is None when that was
    not measured, or not at full size."""

    target: str
    wanted: str
    measured: str
    met: bool | None


def _unmeasured(target: str, wanted: str) -> Verdict:
    return Verdict(target, wanted, "not measured", None)


def cpu_ratio(results: Results, other: str, *, varied: bool = False) -> Spread | None:
    """The gateway's CPU for one request over that of ``other``, in the rounds in which both were measured."""
    costs = {
        (sample.contestant, sample.round): sample.microseconds for sample in results.cpu if sample.varied is varied
    }
    ratios = [cost / costs[other, r] for (name, r), cost in costs.items() if name == "gateway" and (other, r) in costs]
    return Spread.of(ratios) if ratios else None


def added_p99(results: Results, contestant: str) -> Spread | None:
    """Seconds that ``contestant`` adds to the service's own p99, in the rounds in which both were measured."""
    p99 = {(sample.contestant, sample.round): sample.p99 for sample in results.latency}
    added = [took - p99["direct", r] for (name, r), took in p99.items() if name == contestant and ("direct", r) in p99]
    return Spread.of(added) if added else None


def _cpu(results: Results, other: str, label: str, most: float) -> Verdict:
    target, wanted = f"CPU per request, times {label}'s", f"at most {most}"
    ratio = cpu_ratio(results, other)
    if ratio is None:
        return _unmeasured(target, wanted)
    return Verdict(target, wanted, ratio.text(".2f"), ratio.median <= most)


def _cpu_varied(results: Results, other: str, label: str) -> Verdict:
    target = f"The same when every request differs, times {label}'s"
    ratio = cpu_ratio(results, other, varied=True)
    return Verdict(target, "no target", ratio.text(".2f"), None) if ratio else _unmeasured(target, "no target")


def _latency(results: Results) -> Verdict:
    target, wanted = "Added p99 at 500 requests/s", "under 5 ms"
    added = added_p99(results, "gateway")
    if added is None:
        return _unmeasured(target, wanted)
    return Verdict(target, wanted, added.times(1e3).text(".2f") + " ms", added.median < ADDED_P99)


def _idle(results: Results) -> Verdict:
    target, wanted = "Memory (RSS) of an idle connection, of 10,000 on one worker", "at most 20 KB, all served"
    samples = [sample for sample in results.idle if sample.contestant == "gateway"]
    if not samples:
        return _unmeasured(target, wanted)
    each = Spread.of(sample.each.resident for sample in samples)
    kept = all(sample.alive == sample.connections for sample in samples)
    measured = each.times(1e-3).text(".1f") + " KB" + ("" if kept else ", some were closed")
    fewest = min(sample.connections for sample in samples)
    if fewest < IDLE_CONNECTIONS:
        return Verdict(target, wanted, f"{measured}, with only {fewest:,}", None)
    return Verdict(target, wanted, measured, each.high <= IDLE_BYTES and kept)


def _base(results: Results) -> Verdict:
    target, wanted = "Base memory (PSS) of supervisor and two workers", "at most 200 MB"
    if not results.base:
        return _unmeasured(target, wanted)
    taken = Spread.of(sample.memory.proportional for sample in results.base)
    return Verdict(target, wanted, taken.times(1e-6).text(".1f") + " MB", taken.high <= BASE_BYTES)


def _transfer(results: Results, direction: str) -> Verdict:
    target, wanted = f"Memory growth over a slow 1 GB {direction}", "under 20 MB, byte-exact"
    samples = [sample for sample in results.transfer if sample.direction == direction]
    if not samples:
        return _unmeasured(target, wanted)
    growth = Spread.of(sample.growth for sample in samples)
    exact = all(sample.exact for sample in samples)
    measured = growth.times(1e-6).text(".1f") + (" MB, byte-exact" if exact else " MB, NOT byte-exact")
    least = min(sample.size for sample in samples)
    if least < TRANSFER_SIZE:
        return Verdict(target, wanted, f"{measured}, with only {least / 1e6:.0f} MB", None)
    return Verdict(target, wanted, measured, growth.high < TRANSFER_BYTES and exact)


def duties_ratio(results: Results, other: str) -> Spread | None:
    """The gateway's CPU for one request with all duties over that of ``other``, which does what it can, in the
    rounds in which both were measured."""
    full = [s for s in results.duties if s.clients == CLIENTS and (s.contestant != "gateway" or s.duties == DUTIES)]
    costs = {(sample.contestant, sample.round): sample.microseconds for sample in full}
    ratios = [cost / costs[other, r] for (name, r), cost in costs.items() if name == "gateway" and (other, r) in costs]
    return Spread.of(ratios) if ratios else None


def refused_ratio(results: Results) -> Spread | None:
    """CPU for a refused request over that for a served one, in the rounds in which both were measured."""
    costs = {(sample.refused, sample.round): sample.microseconds for sample in results.refusals}
    ratios = [cost / costs[False, r] for (refused, r), cost in costs.items() if refused and (False, r) in costs]
    return Spread.of(ratios) if ratios else None


def _duties(results: Results, other: str, label: str, wanted: str, met: Callable[[float], bool]) -> Verdict:
    target = f"CPU per request with all duties, times {label}"
    ratio = duties_ratio(results, other)
    if ratio is None:
        return _unmeasured(target, wanted)
    return Verdict(target, wanted, ratio.text(".2f"), met(ratio.median))


def _refused(results: Results) -> Verdict:
    target, wanted = "CPU for a refused request, times a served one's", f"at most {REFUSED_RATIO}"
    ratio = refused_ratio(results)
    if ratio is None:
        return _unmeasured(target, wanted)
    return Verdict(target, wanted, ratio.text(".2f"), ratio.median <= REFUSED_RATIO)


def _refused_calls(results: Results) -> Verdict:
    target, wanted = "Redis calls for refused requests, after the first", "none"
    samples = [sample for sample in results.refusals if sample.refused]
    if not samples:
        return _unmeasured(target, wanted)
    calls, requests = sum(sample.calls for sample in samples), sum(sample.requests for sample in samples)
    return Verdict(target, wanted, f"{calls} for {requests:,}", calls == 0)


def _expiring(results: Results) -> Verdict:
    target, wanted = "Limiter keys in Redis that expire", "all"
    if not results.keys:
        return _unmeasured(target, wanted)
    keys, expiring = sum(sample.keys for sample in results.keys), sum(sample.expiring for sample in results.keys)
    return Verdict(target, wanted, f"{expiring:,} of {keys:,}", expiring == keys)


def _scrape(results: Results) -> list[Verdict]:
    page = "A page of metrics: 50 services of 3 instances, 4 workers", "under 200 ms"
    added = "What reading it adds to p99 of the load", "under 5 ms"
    if not results.scrape:
        return [_unmeasured(*page), _unmeasured(*added)]
    took = Spread.of(seconds for sample in results.scrape for seconds in sample.seconds)
    more = Spread.of(sample.added for sample in results.scrape)
    return [
        Verdict(*page, took.times(1e3).text(".0f") + " ms", took.high < SCRAPE_SECONDS),
        Verdict(*added, more.times(1e3).text(".2f") + " ms", more.median < SCRAPE_ADDED_P99),
    ]


def record_costs(results: Results, *, varied: bool = False) -> dict[str, Spread]:
    """Microseconds that writing down adds to a request, by what is written down."""
    samples = [sample for sample in results.records if sample.varied == varied]
    costs = {(sample.round, sample.records): sample.microseconds for sample in samples}
    added: dict[str, list[float]] = {}
    for (number, on), cost in costs.items():
        if on and (number, ()) in costs:
            added.setdefault(" + ".join(on), []).append(cost - costs[number, ()])
    return {label: Spread.of(values) for label, values in added.items()}


def _records(results: Results) -> Verdict:
    target, wanted = "Metrics, access line and traces at 1 % together", "at most 20 us a request"
    together = record_costs(results).get("metrics + log + traces")
    if together is None:
        return _unmeasured(target, wanted)
    return Verdict(target, wanted, together.text(".1f") + " us", together.median <= RECORDS_MICROSECONDS)


def verdicts(results: Results) -> list[Verdict]:
    """All targets. CPU and latency are judged by their medians, memory by the worst round."""
    return [
        _cpu(results, "nginx", "nginx", NGINX_RATIO),
        _cpu(results, "caddy", "Caddy", CADDY_RATIO),
        _cpu_varied(results, "nginx", "nginx"),
        _cpu_varied(results, "caddy", "Caddy"),
        _latency(results),
        _idle(results),
        _base(results),
        _transfer(results, "upload"),
        _transfer(results, "download"),
        _duties(
            results,
            "nginx_lua",
            "nginx's with Lua and Redis",
            f"at most {DUTIES_NGINX_RATIO}",
            lambda ratio: ratio <= DUTIES_NGINX_RATIO,
        ),
        _duties(
            results,
            "caddy",
            "bare Caddy's",
            f"below {DUTIES_CADDY_RATIO}",
            lambda ratio: ratio < DUTIES_CADDY_RATIO,
        ),
        _refused(results),
        _refused_calls(results),
        _expiring(results),
        *_scrape(results),
        _records(results),
    ]
