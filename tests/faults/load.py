"""An open-loop load, in a process of its own: requests leave when they are due, whatever became of the others.

A request that finds all kept connections busy gets one of its own, so that a gateway that stands still is not asked
less; and latency is measured from when the request was due ("coordinated omission"), to about a millisecond. Every
request has an id, and every answer is looked at to the last byte.
"""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from typing import Any

from attrs import field, frozen

from tests.faults.asked import LONGEST, Asked, Told
from tests.faults.control import obey
from tests.faults.errand import Errand, Wire

REDIAL_SECONDS = 0.05


@frozen
class Kind:
    """One of the kinds of requests in the mix."""

    share: float
    method: str
    size: int


MIX = (Kind(0.80, "GET", 0), Kind(0.15, "POST", 4096), Kind(0.05, "POST", 1 << 20))


@frozen
class Plan:
    """What the load is."""

    port: int
    rate: float
    """Requests a second."""
    seconds: float
    name: str = "r"
    """What the ids begin with."""
    connections: int = 64
    """Connections that are kept."""
    fresh: float = 0.1
    """Share of the requests that come on a connection of their own."""
    path: str = "/samples/items"
    fields: dict[str, str] = field(factory=dict)
    mix: tuple[tuple[float, str, int], ...] = tuple((kind.share, kind.method, kind.size) for kind in MIX)
    """Share, method and size of the body, of each kind."""
    seed: int = 7


class Load:
    """See the module."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._random = Random(plan.seed)
        self._free: deque[Wire] = deque()
        self._wires: set[Wire] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: list[Asked] = []
        self._not_connected: list[tuple[float, str]] = []
        self._unasked = 0
        self._left = round(plan.rate * plan.seconds)
        self._over = asyncio.Event()
        self.begun = 0.0

    async def start(self) -> None:
        """Make the connections that are kept, and begin to send; raises OSError if they cannot be made."""
        for _each in range(self._plan.connections):
            self._free.append(await self._dial())
        self.begun = self._loop.time()
        self._spawn(self._send_all())

    async def finish(self) -> Told:
        """Wait for the last answer; return everything."""
        await self._over.wait()
        for task in list(self._tasks):
            task.cancel()
        for wire in list(self._wires):
            wire.close()
        return Told(self.begun, tuple(self._asked), tuple(self._not_connected), self._unasked)

    def progress(self) -> dict[str, int]:
        """How many requests are over, and how many of them had trouble."""
        return {"done": len(self._asked), "trouble": sum(not one.good for one in self._asked)}

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, single: bool = False) -> Wire:
        port = self._plan.port
        _transport, wire = await self._loop.create_connection(lambda: Wire(self, single), "127.0.0.1", port)
        self._wires.add(wire)
        return wire

    async def _send_all(self) -> None:
        plan = self._plan
        kinds, shares = [kind[1:] for kind in plan.mix], [kind[0] for kind in plan.mix]
        for number in range(self._left):
            due = self.begun + number / plan.rate
            wait = due - self._loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            ((method, size),) = self._random.choices(kinds, shares)
            wire = None if self._random.random() < plan.fresh else self._take()
            errand = Errand(f"{plan.name}-{number}", method, size, due, wire is None, self._over_with)
            errand.expire_at(self._loop, due + LONGEST)
            if wire is None:
                self._spawn(self._send_alone(errand))
            else:
                wire.carry(errand, plan.path, plan.fields)

    def _take(self) -> Wire | None:
        """The connection that has been free longest, so that all are used, and with them all workers."""
        while self._free:
            wire = self._free.popleft()
            if not wire.transport.is_closing():
                return wire
        return None

    async def _send_alone(self, errand: Errand) -> None:
        try:
            wire = await self._dial(single=True)
        except OSError as error:
            self._not_connected.append((self._loop.time(), type(error).__name__))
            errand.fail(f"not connected: {type(error).__name__}")
            return
        if errand.over:
            wire.close()  # it took too long to connect
        else:
            wire.carry(errand, self._plan.path, self._plan.fields)

    async def _replace(self) -> None:
        """Keep as many connections as there should be."""
        while True:
            try:
                self.wire_free(await self._dial())
                return
            except OSError as error:
                self._not_connected.append((self._loop.time(), type(error).__name__))
                await asyncio.sleep(REDIAL_SECONDS)

    def wire_free(self, wire: Wire) -> None:
        """A connection may be used again."""
        self._free.append(wire)

    def wire_lost(self, wire: Wire) -> None:
        """A connection has ended, or will not be used again."""
        if wire in self._wires:
            self._wires.remove(wire)
            if wire in self._free:
                self._free.remove(wire)
            if not wire.single and not self._over.is_set():
                self._spawn(self._replace())

    def wire_surplus(self) -> None:
        """Bytes came that nobody had asked for."""
        self._unasked += 1

    def _over_with(self, asked: Asked) -> None:
        self._asked.append(asked)
        self._left -= 1
        if not self._left:
            self._over.set()


class Loads:
    """The commands that the harness gives: one load after the other."""

    def __init__(self) -> None:
        self._load: Load | None = None

    async def start(self, **plan: Any) -> float:
        """Begin a load, see :class:`Plan`; returns when its first request was due."""
        load = self._load = Load(Plan(**plan))
        await load.start()
        return load.begun

    async def progress(self) -> dict[str, int]:
        """See :meth:`Load.progress`."""
        assert self._load is not None, "no load was started"
        return self._load.progress()

    async def finish(self) -> dict[str, Any]:
        """Wait for the end; see :meth:`Told.packed`."""
        assert self._load is not None, "no load was started"
        return (await self._load.finish()).packed()


async def main() -> None:
    """Serve the harness."""
    loads = Loads()
    await obey({"start": loads.start, "progress": loads.progress, "finish": loads.finish})


if __name__ == "__main__":
    asyncio.run(main())
