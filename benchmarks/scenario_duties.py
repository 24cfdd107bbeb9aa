"""CPU for one request when the proxy does more than pass on, what each duty adds, and how often Redis is asked."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.contest import contest, scratch_directory
from benchmarks.duties import DUTIES, Duties
from benchmarks.measure import Cost, Say, cost
from benchmarks.processes import Cores
from benchmarks.samples_duties import DutySample
from benchmarks.settings import Settings
from benchmarks.tokens import Issuer, written
from benchmarks.wrk import THREADS, Shape, wrk

DUTIFUL = ("nginx_lua", "gateway")
"""Who knows the duties; the others only pass on."""


def tasks(contestants: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Who is measured with which duties, in the order of a round."""
    for name in contestants:
        yield name, DUTIES if name in DUTIFUL else ()
    if "gateway" in contestants:
        yield "gateway", ()
        for duty in DUTIES:
            yield "gateway", (duty,)


def measure(settings: Settings, cores: Cores, say: Say) -> list[DutySample]:
    """Take a sample of each task in each round; with all duties, one for each number of clients."""
    issuer = Issuer.make("HS256")
    tokens = issuer.users(THREADS)
    samples = []
    with scratch_directory() as directory:
        shape = Shape("users", tokens=written(tokens, directory / "tokens"))
        for number in range(1, settings.duty_rounds + 1):
            for name, on in tasks(settings.duty_contestants):
                duties = Duties(issuer, on) if name in DUTIFUL else None
                with contest(name, cores, duties=duties, tokens=tokens) as proxy:
                    for clients in settings.duty_clients if on == DUTIES else (settings.clients,):
                        wrk(proxy.port, cores.load, clients=clients, seconds=settings.warmup, shape=shape)
                        spent = cost(proxy, cores.load, clients=clients, seconds=settings.duty_seconds, shape=shape)
                        sample = _sample(name, on, clients, number, spent)
                        say(
                            f"duties {number} {name} ({', '.join(on) or 'none'}), {clients} clients: "
                            f"{sample.microseconds:.1f} us a request, {sample.calls_per_request:.3f} Redis calls"
                        )
                        samples.append(sample)
    return samples


def _sample(name: str, on: tuple[str, ...], clients: int, number: int, spent: Cost) -> DutySample:
    load = spent.load
    return DutySample(name, on, clients, number, load.requests, load.seconds, spent.workers, spent.redis, spent.calls)
