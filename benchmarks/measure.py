"""What every part does: taking turns, and loading one contestant while its CPU time is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from attrs import frozen

from benchmarks import proc
from benchmarks.contest import Running
from benchmarks.wrk import SAME, Load, Shape, wrk

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
    """A load, and the CPU seconds that it cost the contestant's workers, their overseer and its Redis."""

    load: Load
    workers: float
    overseers: float
    redis: float = 0.0
    calls: int = 0
    """How often Redis was asked whether a request may pass."""


def cost(proxy: Running, core: int, *, clients: int, seconds: int, shape: Shape = SAME) -> Cost:
    """Load ``proxy`` by wrk on ``core`` and read how much CPU time that took it."""
    return cost_of(proxy, partial(wrk, proxy.port, core, clients=clients, seconds=seconds, shape=shape))


def cost_of(proxy: Running, loading: Callable[[], Load]) -> Cost:
    """Load ``proxy`` and read how much CPU time that took it."""
    groups = (proxy.workers, proxy.overseers, [proxy.redis.pid] if proxy.redis else [])
    calls = proxy.redis.script_calls() if proxy.redis else 0
    before = [proc.cpu_seconds(*pids) for pids in groups]
    load = loading()
    workers, overseers, redis = (
        proc.cpu_seconds(*pids) - earlier for pids, earlier in zip(groups, before, strict=True)
    )
    calls = proxy.redis.script_calls() - calls if proxy.redis else 0
    return Cost(load, workers, overseers, redis, calls)
