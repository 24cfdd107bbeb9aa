"""Many open WebSockets, each of which says something now and then and gets it back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial

from benchmarks.errors import BenchmarkError
from benchmarks.http_client import PATH
from benchmarks.live_clients import SETTLE_SECONDS, LiveClient, LivePace, Watched, opened, reading, run, unless
from benchmarks.websocket_frames import message

DRAIN_SECONDS = 10.0
TEXT = b'{"run": "2f6c1d0e-9f0b-4a53-8a2c-5a3c1e7d9b10", "cycle": 117, "of": 300, "q30": 93.4, "yield": 41.2}'
"""What a sequencer says of a run; at most 125 bytes."""
FRAME = message(TEXT)
ECHO_SIZE = 2 + len(TEXT)


class WebSocketClient(LiveClient):
    """Sends a message and notes how long its echo took."""

    expected = b"101"

    def __init__(self, request: bytes, failed: asyncio.Future[None], latencies: list[float]) -> None:
        super().__init__(request, failed)
        self._now = asyncio.get_running_loop().time
        self._latencies = latencies
        self._sent: deque[float] = deque()
        self._bytes = 0

    @property
    def waiting(self) -> int:
        """Messages whose echo is still to come."""
        return len(self._sent)

    def say(self) -> None:
        """Send a message."""
        self._sent.append(self._now())
        self.transport.write(FRAME)

    def live_data(self, data: bytes) -> None:
        self._bytes += len(data)
        while self._bytes >= ECHO_SIZE and self._sent:
            self._bytes -= ECHO_SIZE
            self._latencies.append(self._now() - self._sent.popleft())
        if self._bytes and not self._sent:
            self._fail("a WebSocket got back more than it had said")


def handshake(port: int) -> bytes:
    """The request that opens a WebSocket."""
    fields = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    lines = (f"GET {PATH} HTTP/1.1", f"Host: 127.0.0.1:{port}", *fields, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    return "".join(line + "\r\n" for line in (*lines, "")).encode()


async def _say(clients: Sequence[WebSocketClient], rate: float, seconds: float) -> None:
    """Have the clients say something in turn.

    Epoll wakes us on whole milliseconds, so a latency counts from when a message left, not from when it was due; that
    hides nothing, because no message waits for the echo of another.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(round(seconds * rate)):
        wait = start + number / rate - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        clients[number % len(clients)].say()


async def _drained(clients: Sequence[WebSocketClient]) -> None:
    deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
    while any(client.waiting for client in clients):
        if asyncio.get_running_loop().time() > deadline:
            missing = sum(client.waiting for client in clients)
            raise BenchmarkError(f"{missing} messages were not echoed within {DRAIN_SECONDS:.0f} s")
        await asyncio.sleep(0.01)


async def _play(port: int, pids: Sequence[int], pace: LivePace) -> Watched:
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    latencies: list[float] = []
    before = reading(pids)
    make = partial(WebSocketClient, handshake(port), failed, latencies)
    async with opened(port, pace.connections, make, failed) as clients:
        await asyncio.sleep(SETTLE_SECONDS)
        all_open = reading(pids)
        await unless(failed, _say(clients, pace.rate, pace.warmup))
        await unless(failed, _drained(clients))
        latencies.clear()
        begun = reading(pids)
        await unless(failed, _say(clients, pace.rate, pace.seconds))
        await unless(failed, _drained(clients))
        return Watched(tuple(latencies), before, all_open, begun, reading(pids))


def talk(port: int, core: int, pids: Sequence[int], pace: LivePace) -> Watched:
    """Open WebSockets to 127.0.0.1:``port``, and have each say something as often as ``pace`` has it.

    Raises :exc:`BenchmarkError` if one is not opened or is closed, or if an echo does not come.
    """
    return run(core, partial(_play, port, pids, pace))
