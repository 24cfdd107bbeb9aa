"""A TCP fault injector of our own: doors that lead to a target, unless somebody has tampered with them.

Toxiproxy's list and a little more, without privileges: see ``tampering`` for what is done to bytes; a door as a whole
may also

- ``refuse``: nobody listens, and the kernel answers a SYN with a reset;
- ``blackhole``: the queue of the listening socket is full and never emptied, so that the kernel drops every SYN;
- ``hold``: connections are accepted and lead nowhere;
- ``reset``: they are accepted and reset at once;
- flap: go back and forth between one of these and ``pass``.

A process of its own, ``python -m tests.faults.injector``, told by JSON lines (``control``); or the classes here.
"""

from __future__ import annotations

import asyncio
import socket
from random import Random
from typing import Any, Literal, get_args

from tests.faults.control import obey
from tests.faults.line import Direction, Line, reset
from tests.faults.tampering import Tampering

Mode = Literal["pass", "refuse", "blackhole", "hold", "reset"]
Existing = Literal["keep", "reset", "stall"]
"""What becomes of the connections that there are when a door's mode changes."""

MODES: tuple[Mode, ...] = get_args(Mode)
BACKLOG = 1024
FILLERS = 4
"""Connections that fill a queue of length 0: it holds one, and the SYNs of the others wait with their senders."""


def listening(port: int, backlog: int | None) -> socket.socket:
    """A socket on 127.0.0.1:``port`` (0: any); it listens unless ``backlog`` is None."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    if backlog is not None:
        sock.listen(backlog)
    return sock


class Door:
    """A port, and the target that it leads to."""

    def __init__(self, target: int, random: Random) -> None:
        """``target`` is a port of 127.0.0.1."""
        self._keeper = listening(0, None)  # bound and not listening: nobody else gets the port while the door refuses
        self.port: int = self._keeper.getsockname()[1]
        self.mode: Mode = "refuse"
        self.opened = 0
        """Connections that were accepted so far."""
        self._target = target
        self._random = random
        self._tampering: dict[Direction, Tampering] = {"up": Tampering(), "down": Tampering()}
        self._listener: socket.socket | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._fillers: list[socket.socket] = []
        self._held: list[socket.socket] = []
        self._lines: dict[Line, asyncio.Task[None]] = {}
        self._schedule: asyncio.Task[None] | None = None

    async def set_mode(self, mode: Mode, existing: Existing = "keep") -> None:
        """Behave like this from now on. ``pass`` also lets lines flow again that were stalled."""
        if mode not in MODES:
            raise ValueError(f"{mode!r} is not one of {', '.join(MODES)}")
        self._shut()
        self.mode = mode
        if mode != "refuse":
            self._listener = listening(self.port, 0 if mode == "blackhole" else BACKLOG)
        if mode == "blackhole":
            await self._fill()
        elif self._listener is not None:
            # Not sock_accept: of a connection that comes while that is cancelled, asyncio loses sight.
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)
        for line in self._lines:
            line.flowing.set() if existing != "stall" else line.flowing.clear()
        if existing == "reset":
            await self.reset_lines()

    def tamper(self, direction: Direction, tampering: Tampering) -> None:
        """Do this to the bytes of all connections, those that there are included."""
        self._tampering[direction] = tampering
        for line in self._lines:
            line.pumps[direction].set(tampering)

    def flap(self, up: float, down: float, mode: Mode = "refuse", existing: Existing = "reset") -> None:
        """Pass for ``up`` seconds, then be in ``mode`` for ``down`` seconds, and so on; see :meth:`steady`."""
        self._schedule = asyncio.create_task(self._flapping(up, down, mode, existing))

    async def steady(self) -> None:
        """Flap no more, and pass."""
        if self._schedule is not None:
            self._schedule.cancel()
            await asyncio.gather(self._schedule, return_exceptions=True)
            self._schedule = None
        await self.set_mode("pass")

    async def reset_lines(self) -> None:
        """Reset all connections."""
        tasks = list(self._lines.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Refuse for good, and give the port back."""
        await self.steady()
        self._shut()
        await self.reset_lines()
        self._keeper.close()

    @property
    def lines(self) -> int:
        """Connections that are open."""
        return len(self._lines)

    async def _flapping(self, up: float, down: float, mode: Mode, existing: Existing) -> None:
        while True:
            await self.set_mode("pass")
            await asyncio.sleep(up)
            await self.set_mode(mode, existing)
            await asyncio.sleep(down)

    def _shut(self) -> None:
        for sock in (*self._fillers, *self._held):
            sock.close()
        self._fillers.clear()
        self._held.clear()
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _fill(self) -> None:
        for _each in range(FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)
        await asyncio.sleep(0.01)  # the kernel has taken the first by then

    def _accept(self, listener: socket.socket) -> None:
        try:
            outer, _address = listener.accept()
        except BlockingIOError:
            return  # it left before we came
        outer.setblocking(False)
        self.opened += 1
        if self.mode == "reset":
            reset(outer)
        elif self.mode == "hold":
            self._held.append(outer)
        else:
            opening = asyncio.create_task(self._open(outer))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self, outer: socket.socket) -> None:
        inner = socket.socket()
        inner.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(inner, ("127.0.0.1", self._target))
        except OSError:
            # Whoever came has been accepted already; a reset is the nearest to a refusal that is left.
            inner.close()
            reset(outer)
            return
        line = Line(outer, inner, self._tampering["up"], self._tampering["down"], self._random)
        carrying = self._lines[line] = asyncio.create_task(line.run())
        carrying.add_done_callback(lambda _task: self._ended(line))

    def _ended(self, line: Line) -> None:
        del self._lines[line]
        line.abandon()  # for one that was cancelled before it ran


class Injector:
    """Doors by name, and the commands that the harness gives."""

    def __init__(self) -> None:
        self.doors: dict[str, Door] = {}
        self._random = Random(1)

    async def open(self, name: str, target: int) -> int:
        """Make a door to a port, and return its port."""
        door = self.doors[name] = Door(target, self._random)
        await door.set_mode("pass")
        return door.port

    async def mode(self, name: str, mode: Mode, existing: Existing = "keep") -> None:
        """See :meth:`Door.set_mode`."""
        await self.doors[name].set_mode(mode, existing)

    async def tamper(self, name: str, direction: Direction, **faults: Any) -> None:
        """See :class:`~tests.faults.tampering.Tampering`, whose fields are the arguments; none: pass as it is."""
        self.doors[name].tamper(direction, Tampering(**faults))

    async def flap(self, name: str, **schedule: Any) -> None:
        """See :meth:`Door.flap`."""
        self.doors[name].flap(**schedule)

    async def steady(self, name: str) -> None:
        """See :meth:`Door.steady`."""
        await self.doors[name].steady()

    async def count(self, name: str) -> dict[str, int]:
        """The connections of a door: ``open`` now, and ``opened`` so far."""
        return {"open": self.doors[name].lines, "opened": self.doors[name].opened}


async def main() -> None:
    """Serve the harness."""
    injector = Injector()
    commands = (injector.open, injector.mode, injector.tamper, injector.flap, injector.steady, injector.count)
    await obey({command.__name__: command for command in commands})


if __name__ == "__main__":
    asyncio.run(main())
