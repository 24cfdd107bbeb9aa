"""Idle keep-alive connections: what each costs, and whether the server still serves; and the memory before any load."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks import proc
from benchmarks.contest import Running, contest
from benchmarks.errors import BenchmarkError
from benchmarks.http_client import ask, browser_request, connect, receive
from benchmarks.measure import Say, turns
from benchmarks.processes import Cores, pinned, raise_descriptor_limit
from benchmarks.samples import BaseSample, IdleSample, percentile
from benchmarks.settings import Settings

AT_ONCE = 64
SAMPLE = 200
SETTLE_SECONDS = 1.0
SPARE_DESCRIPTORS = 300


@contextmanager
def idle_connections(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Open connections, each of which has had one request answered; 64 of them ask at a time."""
    request = browser_request(port)
    with ExitStack() as stack:
        connections: list[socket.socket] = []
        while len(connections) < count:
            batch = [stack.enter_context(connect(port)) for _each in range(min(AT_ONCE, count - len(connections)))]
            for connection in batch:
                connection.sendall(request)
            for connection in batch:
                receive(connection)
            connections += batch
        yield connections


def is_open(connection: socket.socket) -> bool:
    """Whether the server has neither closed the connection nor sent anything unasked."""
    timeout = connection.gettimeout()
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        connection.settimeout(timeout)
    return False


def _seconds_again(connections: list[socket.socket], port: int) -> list[float]:
    request = browser_request(port)
    taken = []
    for connection in connections[:: max(1, len(connections) // SAMPLE)]:
        start = time.monotonic()
        connection.sendall(request)
        receive(connection)
        taken.append(time.monotonic() - start)
    return taken


def _seconds_new(port: int) -> list[float]:
    taken = []
    for _each in range(SAMPLE):
        start = time.monotonic()
        ask(port)
        taken.append(time.monotonic() - start)
    return taken


def _measure_one(name: str, number: int, proxy: Running, count: int) -> IdleSample:
    with idle_connections(proxy.port, AT_ONCE):
        pass  # What is made once, with the first requests, is not a connection's cost.
    time.sleep(SETTLE_SECONDS)
    workers = proxy.workers
    before = proc.memory(*workers)
    with idle_connections(proxy.port, count) as connections:
        time.sleep(SETTLE_SECONDS)
        after = proc.memory(*workers)
        alive = sum(is_open(connection) for connection in connections)
        again = _seconds_again(connections, proxy.port)
        new = _seconds_new(proxy.port)
    return IdleSample(
        name,
        number,
        count,
        before,
        after,
        alive,
        len(again),
        percentile(again, 0.99),
        len(new),
        percentile(new, 0.99),
    )


def measure(settings: Settings, cores: Cores, say: Say) -> list[IdleSample]:
    """Take a sample of each contestant in each round."""
    needed = settings.idle_connections + SPARE_DESCRIPTORS
    limit = raise_descriptor_limit()
    if limit < needed:
        raise BenchmarkError(f"{needed} open files are needed and {limit} allowed: raise the hard limit (ulimit -Hn)")
    samples = []
    for number, name in turns(settings.idle_rounds, settings.contestants):
        with contest(name, cores) as proxy, pinned(cores.load):
            sample = _measure_one(name, number, proxy, settings.idle_connections)
        say(f"idle {number} {name}: {sample.each.resident:,} bytes for each of {sample.alive:,} open connections")
        samples.append(sample)
    return samples


def measure_base(settings: Settings, cores: Cores, say: Say, workers: int = 2) -> list[BaseSample]:
    """Take the memory of the gateway's supervisor and two workers in each round, before any load."""
    samples = []
    for number in range(1, settings.idle_rounds + 1):
        with contest("gateway", cores, workers=workers) as proxy:
            # The kernel spreads connections over the workers: when these are answered, all workers have started.
            for _each in range(16 * workers):
                ask(proxy.port)
            processes = [proxy.root, *proxy.workers]
            sample = BaseSample(number, workers, len(processes), proc.memory(*processes))
        say(f"base {number}: {sample.memory.proportional / 1e6:.1f} MB in {sample.processes} processes")
        samples.append(sample)
    return samples
