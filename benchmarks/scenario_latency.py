"""Latency at a steady 500 requests a second, with and without a proxy in between."""

from __future__ import annotations

from benchmarks.contest import contest
from benchmarks.measure import Say, turns
from benchmarks.paced import Pace, paced
from benchmarks.processes import Cores
from benchmarks.samples import LatencySample, percentile
from benchmarks.settings import Settings


def measure(settings: Settings, cores: Cores, say: Say) -> list[LatencySample]:
    """Take a sample of the service alone (``direct``) and of each contestant in each round."""
    pace = Pace(settings.latency_rate, settings.latency_connections, settings.warmup, settings.latency_seconds)
    samples = []
    for number, name in turns(settings.rounds, ("direct", *settings.contestants)):
        with contest(name, cores) as proxy:
            taken = paced(proxy.port, cores.load, pace)
        sample = LatencySample(
            name,
            number,
            len(taken),
            percentile(taken, 0.5),
            percentile(taken, 0.9),
            percentile(taken, 0.99),
            max(taken),
        )
        say(f"latency {number} {name}: p50 {sample.p50 * 1e3:.2f} ms, p99 {sample.p99 * 1e3:.2f} ms")
        samples.append(sample)
    return samples
