"""How cost grows with the number of clients, and with the number of routes."""

from __future__ import annotations

from typing import Literal

from benchmarks.contest import Running, contest
from benchmarks.measure import Say, cost, turns
from benchmarks.processes import Cores, raise_descriptor_limit
from benchmarks.samples import GrowthSample
from benchmarks.settings import Settings
from benchmarks.wrk import Shape, wrk


def measure(settings: Settings, cores: Cores, say: Say) -> list[GrowthSample]:
    """Take a sample of each contestant at each number of clients, and of the gateway at each number of routes."""
    raise_descriptor_limit()
    samples: list[GrowthSample] = []

    def take(
        proxy: Running, name: str, number: int, over: Literal["clients", "routes"], clients: int, routes: int
    ) -> None:
        shape = Shape(routes=routes)
        wrk(proxy.port, cores.load, clients=clients, seconds=settings.warmup, shape=shape)
        spent = cost(proxy, cores.load, clients=clients, seconds=settings.growth_seconds, shape=shape)
        count = clients if over == "clients" else routes
        sample = GrowthSample(name, over, count, number, spent.load.requests, spent.load.seconds, spent.workers)
        say(f"growth {number} {name}, {count} {over}: {sample.per_cpu_second:,.0f} requests per CPU-second")
        samples.append(sample)

    for number, name in turns(settings.growth_rounds, settings.contestants):
        with contest(name, cores) as proxy:
            for clients in settings.growth_clients:
                take(proxy, name, number, "clients", clients, 1)
        if name == "gateway":
            for routes in settings.growth_routes:
                with contest(name, cores, routes=routes) as proxy:
                    take(proxy, name, number, "routes", settings.clients, routes)
    return samples
