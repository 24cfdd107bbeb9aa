"""What every part does: taking turns, and loading one contestant while its CPU time is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from attrs import frozen

from benchmarks import proc
from benchmarks.contestants import Running
from benchmarks.wrk import Load, wrk

Say = Callable[[str], None]
"""Tells the person who waits what was just measured."""


def turns(rounds: int, names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Each round in turn, in it each name: ``(1, A) (1, B) (2, A) (2, B)``."""
    order = tuple(names)
    for number in range(1, rounds + 1):
        for name in order:
            yield number, name


@frozen
class Cost:
    """A load and the CPU seconds that it cost the contestant's workers and their overseer."""

    load: Load
    workers: float
    overseers: float


def cost(proxy: Running, core: int, *, clients: int, seconds: int, routes: int = 1, varied: bool = False) -> Cost:
    """Load ``proxy`` by wrk on ``core`` and read how much CPU time that took it."""
    workers, overseers = proxy.workers, proxy.overseers
    workers_before, overseers_before = proc.cpu_seconds(*workers), proc.cpu_seconds(*overseers)
    load = wrk(proxy.port, core, clients=clients, seconds=seconds, routes=routes, varied=varied)
    return Cost(
        load,
        proc.cpu_seconds(*workers) - workers_before,
        proc.cpu_seconds(*overseers) - overseers_before,
    )
