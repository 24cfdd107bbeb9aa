"""HTTP/2 beside HTTP/1.1, in clear and over TLS: CPU of one worker for one request."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import groupby

from benchmarks.certificates import KINDS, Certificate, certificate
from benchmarks.contest import contest, scratch_directory
from benchmarks.contestants import Door
from benchmarks.h2load import Talk, h2load
from benchmarks.measure import Cost, Say, cost_of, turns
from benchmarks.processes import Cores
from benchmarks.samples_protocols import ProtocolSample
from benchmarks.settings import CLIENTS, Settings

STREAMS = 16
TALKS = tuple(
    Talk(protocol, secure, CLIENTS // streams, streams)
    for secure in (False, True)
    for protocol, streams in (("HTTP/1.1", 1), ("HTTP/2", 1), ("HTTP/2", STREAMS))
)
"""Always as many requests at once; by HTTP/2 also on few connections, as browsers have them."""


def measure(settings: Settings, cores: Cores, say: Say) -> list[ProtocolSample]:
    """Take a sample of each contestant, protocol and way in each round."""
    samples = []
    with scratch_directory() as directory:
        shown = certificate(KINDS[0], directory)
        for number, name in turns(settings.protocol_rounds, chosen(settings)):
            for talk, spent in _costs(name, settings, cores, shown):
                load, way = spent.load, (talk.protocol, talk.secure, talk.connections, talk.streams)
                sample = ProtocolSample(name, *way, number, load.requests, load.seconds, spent.workers)
                say(
                    f"protocols {number} {name}, {talk.protocol}{' over TLS' * talk.secure}, {talk.connections} x "
                    f"{talk.streams}: {sample.microseconds:.1f} us a request, {sample.per_cpu_second:,.0f} a CPU-second"
                )
                samples.append(sample)
    return samples


def _costs(name: str, settings: Settings, cores: Cores, shown: Certificate) -> Iterator[tuple[Talk, Cost]]:
    for (protocol, secure), talks in groupby(TALKS, lambda talk: (talk.protocol, talk.secure)):
        with contest(name, cores, door=Door(protocol, shown if secure else None)) as proxy:
            for talk in talks:
                load = partial(h2load, proxy.port, cores.load, talk)
                load(settings.warmup)
                yield talk, cost_of(proxy, partial(load, settings.protocol_seconds))


def chosen(settings: Settings) -> list[str]:
    """The contestants of this part and of ``tls`` that are asked for."""
    return [name for name in settings.contestants if name in ("nginx", "gateway")]
