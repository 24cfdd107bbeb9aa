"""Many open streams of events, each of which notes how long its events were on their way."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from functools import partial

from benchmarks.errors import BenchmarkError
from benchmarks.http_client import PATH, browser_request
from benchmarks.live_clients import SETTLE_SECONDS, LiveClient, LivePace, Watched, opened, reading, run, unless

LEAST_SHARE = 0.9
"""Of the events that were due, how many must have come: fewer, and the service did not keep its pace."""

_EVENTS = re.compile(rb"data: (\d+)\n\n").finditer


class EventClient(LiveClient):
    """Takes the time from when the service sent an event, which it says, to when it is here."""

    def __init__(self, request: bytes, failed: asyncio.Future[None], latencies: list[float]) -> None:
        super().__init__(request, failed)
        self._latencies = latencies
        self._partial = b""

    def live_data(self, data: bytes) -> None:
        now = time.monotonic_ns()
        data = self._partial + data
        end = 0
        for event in _EVENTS(data):
            self._latencies.append((now - int(event[1])) / 1e9)
            end = event.end()
        self._partial = data[end:]


async def _play(port: int, pids: Sequence[int], pace: LivePace) -> Watched:
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    latencies: list[float] = []
    before = reading(pids)
    make = partial(EventClient, browser_request(port, f"{PATH}?every={pace.every}"), failed, latencies)
    async with opened(port, pace.connections, make, failed):
        await unless(failed, asyncio.sleep(SETTLE_SECONDS))
        all_open = reading(pids)
        await unless(failed, asyncio.sleep(pace.warmup))
        latencies.clear()
        begun = reading(pids)
        await unless(failed, asyncio.sleep(pace.seconds))
        watched = Watched(tuple(latencies), before, all_open, begun, reading(pids))
    due = pace.rate * pace.seconds
    if len(watched.latencies) < due * LEAST_SHARE:
        raise BenchmarkError(f"of {due:.0f} events only {len(watched.latencies)} came")
    return watched


def listen(port: int, core: int, pids: Sequence[int], pace: LivePace) -> Watched:
    """Open streams of 127.0.0.1:``port`` and listen; the service sends an event of each as often as ``pace`` has it.

    Raises :exc:`BenchmarkError` if a stream is not opened or ends, or if too few events come.
    """
    return run(core, partial(_play, port, pids, pace))
