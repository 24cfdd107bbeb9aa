"""What TLS costs: handshakes, and requests on kept connections beside those in clear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import proc
from benchmarks.certificates import KINDS, certificate
from benchmarks.contest import contest, scratch_directory
from benchmarks.contestants import Door
from benchmarks.handshakes import in_clear, shake_hands
from benchmarks.measure import Say, cost_of, turns
from benchmarks.processes import Cores, pinned
from benchmarks.samples_protocols import HandshakeSample, KeptSample
from benchmarks.scenario_protocols import chosen
from benchmarks.settings import Settings
from benchmarks.wrk import wrk

Connect = Callable[[int, float], int]
"""Opens and closes connections to a port for some seconds, and returns how many."""


def measure_handshakes(settings: Settings, cores: Cores, say: Say) -> list[HandshakeSample]:
    """Take a sample of each contestant and kind of connection in each round."""
    samples = []
    for number, name in turns(settings.protocol_rounds, chosen(settings)):
        for door, kinds in _doors():
            with contest(name, cores, door=door) as proxy, pinned(cores.load):
                for kind, connect in kinds.items():
                    connect(proxy.port, settings.warmup)
                    workers = proxy.workers
                    before = proc.cpu_seconds(*workers)
                    count = connect(proxy.port, settings.protocol_seconds)
                    spent = proc.cpu_seconds(*workers) - before
                    sample = HandshakeSample(name, kind, number, count, settings.protocol_seconds, spent)
                    say(
                        f"tls {number} {name}, {kind}: {sample.microseconds:.0f} us a connection, "
                        f"{sample.per_cpu_second:,.0f} a CPU-second"
                    )
                    samples.append(sample)
    return samples


def _doors() -> Iterator[tuple[Door, dict[str, Connect]]]:
    """Each door with the kinds of connections that are made to it."""
    yield Door(), {"in clear": in_clear}
    for kind in KINDS:
        with scratch_directory() as directory:
            shown = certificate(kind, directory)
            kinds: dict[str, Connect] = {kind: partial(shake_hands, shown, resumed=False)}
            if kind == KINDS[0]:  # the key has no part in a resumption
                kinds["resumed"] = partial(shake_hands, shown, resumed=True)
            yield Door(certificate=shown), kinds


def measure_kept(settings: Settings, cores: Cores, say: Say) -> list[KeptSample]:
    """Take a sample of each contestant, in clear and over TLS, in each round."""
    samples = []
    with scratch_directory() as directory:
        shown = certificate(KINDS[0], directory)
        for number, name in turns(settings.protocol_rounds, chosen(settings)):
            for secure in (False, True):
                with contest(name, cores, door=Door(certificate=shown if secure else None)) as proxy:
                    load = partial(wrk, proxy.port, cores.load, clients=settings.clients, secure=secure)
                    load(seconds=settings.warmup)
                    spent = cost_of(proxy, partial(load, seconds=settings.protocol_seconds))
                sample = KeptSample(name, secure, number, spent.load.requests, spent.load.seconds, spent.workers)
                say(f"tls {number} {name}, kept{' over TLS' * secure}: {sample.microseconds:.1f} us a request")
                samples.append(sample)
    return samples
