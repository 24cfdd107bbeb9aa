"""What writing down costs: the overview, metrics, the access log and traces, each alone and all together, and nothing
of it."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.contest import contest
from benchmarks.measure import Say, cost
from benchmarks.processes import Cores
from benchmarks.samples import RecordSample
from benchmarks.settings import Settings
from benchmarks.wrk import SAME, VARIED, wrk

RECORDS = ("overview", "metrics", "log", "traces")
"""The overview is what dashboard and ``status`` show. Traces keep 1 % of the requests, and a stand-in takes them."""


def tasks() -> Iterator[tuple[str, ...]]:
    """What is switched on, in the order of a round."""
    yield ()
    for record in RECORDS:
        yield (record,)
    yield RECORDS[1:]
    yield RECORDS


def measure(settings: Settings, cores: Cores, say: Say) -> list[RecordSample]:
    """Take samples of each task in each round: of requests that clients repeat, and of varied ones."""
    samples = []
    for number in range(1, settings.record_rounds + 1):
        for on in tasks():
            with contest("gateway", cores, records=on) as proxy:
                wrk(proxy.port, cores.load, clients=settings.clients, seconds=settings.warmup)
                for varied in (False, True):
                    shape, seconds = VARIED if varied else SAME, settings.record_seconds
                    spent = cost(proxy, cores.load, clients=settings.clients, seconds=seconds, shape=shape)
                    load = spent.load
                    sample = RecordSample(on, varied, number, load.requests, load.seconds, spent.workers)
                    what = f"{', '.join(on) or 'none'}{'; varied' * varied}"
                    say(f"records {number} ({what}): {sample.microseconds:.1f} us a request")
                    samples.append(sample)
    return samples
