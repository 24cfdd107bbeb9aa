"""Open-loop load: requests leave when they are due, and latency counts from then.

A closed loop asks a slow server less often and so does not see how slow it is ("coordinated omission"). Here a request
that finds every connection busy waits, and its waiting counts.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen

from benchmarks.errors import BenchmarkError
from benchmarks.http_client import NotAnswered, answer_length, browser_request
from benchmarks.processes import pinned

DRAIN_SECONDS = 10.0


@frozen
class Pace:
    """How many requests a second, on how many keep-alive connections, for how many seconds after the warm-up."""

    rate: float
    connections: int
    warmup: float
    seconds: float


class _Connection(asyncio.Protocol):
    """One request at a time; gives itself back to ``free`` when the answer is whole."""

    def __init__(self, free: asyncio.Queue[_Connection], failed: asyncio.Future[None]) -> None:
        self.free = free
        self.failed = failed
        self.loop = asyncio.get_running_loop()
        self.received = bytearray()
        self.latencies: list[float] | None = None
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.free.put_nowait(self)

    def send(self, request: bytes, due: float, latencies: list[float]) -> None:
        """Send the request; add the seconds from ``due`` to the end of its answer to ``latencies``."""
        self.due, self.latencies = due, latencies
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        try:
            length = answer_length(self.received)
        except NotAnswered as error:
            self._fail(str(error))
            return
        if length is None or len(self.received) < length or self.latencies is None:
            return
        self.latencies.append(self.loop.time() - self.due)
        self.latencies = None
        self.received.clear()
        self.free.put_nowait(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the server closed a connection: {exc}")

    def _fail(self, why: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(BenchmarkError(f"paced load: {why}"))


async def _send_all(request: bytes, pace: Pace, free: asyncio.Queue[_Connection]) -> list[float]:
    loop = asyncio.get_running_loop()
    warming: list[float] = []
    latencies: list[float] = []
    start = loop.time()
    for number in range(round((pace.warmup + pace.seconds) * pace.rate)):
        offset = number / pace.rate
        wait = start + offset - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        connection = await free.get()
        connection.send(request, start + offset, warming if offset < pace.warmup else latencies)
    for _each in range(pace.connections):
        await asyncio.wait_for(free.get(), DRAIN_SECONDS)
    return latencies


async def _run(port: int, pace: Pace) -> list[float]:
    loop = asyncio.get_running_loop()
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    failed: asyncio.Future[None] = loop.create_future()
    transports = []
    for _each in range(pace.connections):
        transport, _protocol = await loop.create_connection(lambda: _Connection(free, failed), "127.0.0.1", port)
        transports.append(transport)
    sending = asyncio.ensure_future(_send_all(browser_request(port), pace, free))
    try:
        either: tuple[asyncio.Future[Any], ...] = (sending, failed)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            failed.result()
        return await sending
    finally:
        sending.cancel()
        failed.cancel()
        for transport in transports:
            transport.close()


@contextmanager
def _without_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _loop() -> asyncio.AbstractEventLoop:
    # asyncio rounds the waits of epoll up to whole milliseconds; those of select are exact to some 50 microseconds.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def paced(port: int, core: int, pace: Pace) -> list[float]:
    """Ask 127.0.0.1:``port`` in this thread on ``core``; returns the seconds that each request took.

    Raises :exc:`BenchmarkError` if a request is not answered with 200, or a connection is closed.
    """
    with pinned(core), _without_collections(), asyncio.Runner(loop_factory=_loop) as runner:
        return runner.run(_run(port, pace))
