"""Connections that stay open: opening many of them, noticing that one is lost, and reading what they cost meanwhile."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from attrs import frozen

from benchmarks import proc
from benchmarks.errors import BenchmarkError
from benchmarks.proc import Memory
from benchmarks.processes import pinned, raise_descriptor_limit

AT_ONCE = 64
OPEN_SECONDS = 60.0
SETTLE_SECONDS = 1.0
SPARE_DESCRIPTORS = 300

T = TypeVar("T")
C = TypeVar("C", bound="LiveClient")


@frozen
class Reading:
    """What some processes had used at one moment."""

    at: float
    """In seconds of the monotonic clock."""
    cpu: float
    memory: Memory


@frozen
class Watched:
    """What clients met, in seconds for each message, and what the server had used: before they came, when all were
    there, and at begin and end of the time in which their messages count."""

    latencies: tuple[float, ...]
    before: Reading
    opened: Reading
    begun: Reading
    ended: Reading

    @property
    def cpu(self) -> float:
        return self.ended.cpu - self.begun.cpu

    @property
    def seconds(self) -> float:
        return self.ended.at - self.begun.at


@frozen
class LivePace:
    """So many connections, each with a message every so many seconds; those of the warm-up do not count."""

    connections: int
    every: float
    warmup: float
    seconds: float

    @property
    def rate(self) -> float:
        """Messages a second, of all connections."""
        return self.connections / self.every


def reading(pids: Sequence[int]) -> Reading:
    """Take a reading of processes."""
    return Reading(time.monotonic(), proc.cpu_seconds(*pids), proc.memory(*pids))


class LiveClient(asyncio.Protocol):
    """One connection: a request, the head of its answer, and whatever comes behind that."""

    expected = b"200"

    def __init__(self, request: bytes, failed: asyncio.Future[None]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._failed = failed
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            self.live_data(data)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        status_line = head.partition(b"\r\n")[0]
        if status_line.split(b" ", 2)[1] != self.expected:
            self._fail(f"answered with {status_line.decode('latin-1')!r}")
            return
        self.opened.set_result(None)
        if rest:
            self.live_data(rest)

    def live_data(self, data: bytes) -> None:
        """More came behind the head."""
        raise NotImplementedError

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"a connection was closed: {exc}")

    def _fail(self, why: str) -> None:
        if not self._failed.done():
            self._failed.set_exception(BenchmarkError(f"live connections: {why}"))


async def unless(failed: asyncio.Future[None], doing: Awaitable[T]) -> T:
    """What ``doing`` gives; or the exception of ``failed`` as soon as that has one."""
    task = asyncio.ensure_future(doing)
    await asyncio.wait((task, failed), return_when=asyncio.FIRST_COMPLETED)
    if failed.done():
        task.cancel()
        failed.result()
    return await task


@asynccontextmanager
async def opened(port: int, count: int, make: Callable[[], C], failed: asyncio.Future[None]) -> AsyncIterator[list[C]]:
    """Open connections to 127.0.0.1, 64 at a time, each of which got the answer that it expects."""
    loop = asyncio.get_running_loop()
    clients: list[C] = []
    try:
        while len(clients) < count:
            batch = range(min(AT_ONCE, count - len(clients)))
            try:
                made = await asyncio.gather(*(loop.create_connection(make, "127.0.0.1", port) for _each in batch))
            except OSError as error:
                raise BenchmarkError(f"live connections: {error}") from error
            clients += [client for _transport, client in made]
            waiting = asyncio.gather(*(client.opened for _transport, client in made))
            await unless(failed, asyncio.wait_for(waiting, OPEN_SECONDS))
        yield clients
    finally:
        failed.cancel()
        for client in clients:
            client.transport.abort()


def run(core: int, playing: Callable[[], Awaitable[T]]) -> T:
    """Run clients in this thread on ``core``, without collections of garbage in between."""

    async def played() -> T:
        return await playing()

    gc.collect()
    gc.disable()
    try:
        with pinned(core):
            return asyncio.run(played())
    finally:
        gc.enable()


def allow_descriptors(connections: int) -> None:
    """See that a proxy may hold the connections of clients and as many to the service; BenchmarkError if not."""
    needed = 2 * connections + SPARE_DESCRIPTORS
    limit = raise_descriptor_limit()
    if limit < needed:
        raise BenchmarkError(f"{needed} open files are needed and {limit} allowed: raise the hard limit (ulimit -Hn)")
