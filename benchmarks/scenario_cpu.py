"""CPU for one request: 64 keep-alive clients, a browser's request, 1 KB of JSON, one worker on one core."""

from __future__ import annotations

from benchmarks.contest import contest
from benchmarks.measure import Say, cost, turns
from benchmarks.processes import Cores
from benchmarks.samples import CpuSample
from benchmarks.settings import Settings
from benchmarks.wrk import SAME, VARIED, wrk


def measure(settings: Settings, cores: Cores, say: Say) -> list[CpuSample]:
    """Take a sample of each contestant in each round."""
    samples = []
    for number, name in turns(settings.rounds, settings.contestants):
        with contest(name, cores) as proxy:
            wrk(proxy.port, cores.load, clients=settings.clients, seconds=settings.warmup)
            for varied in (False, True):
                shape = VARIED if varied else SAME
                spent = cost(proxy, cores.load, clients=settings.clients, seconds=settings.cpu_seconds, shape=shape)
                load = spent.load
                sample = CpuSample(name, number, load.requests, load.seconds, spent.workers, spent.overseers, varied)
                say(
                    f"cpu {number} {name}{', varied' * varied}: {sample.microseconds:.1f} us a request, "
                    f"{sample.requests_per_second:,.0f} requests/s"
                )
                samples.append(sample)
    return samples
