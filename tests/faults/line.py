"""One connection through the injector: two sockets, and a pump for each direction."""

from __future__ import annotations

import asyncio
import socket
import struct
from random import Random
from typing import Literal

from tests.faults.resp import Replies
from tests.faults.tampering import Tampering

PIECE = 65536
AHEAD = 16
"""Pieces that may be on their way in one direction, as if in the network."""

Direction = Literal["up", "down"]
"""``up`` is from who connects to whom he wants; ``down`` is back."""

_Piece = tuple[float, bytes | None]
"""When it is due, and the bytes; empty at the end, None at a reset."""


class LineReset(Exception):
    """A connection is to be reset on both sides."""


class LineCut(Exception):
    """A connection is to be closed on both sides."""


def reset(sock: socket.socket) -> None:
    """Close a connection by a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Pump:
    """One direction. What is done to it may change at any time."""

    def __init__(self, source: socket.socket, target: socket.socket, tampering: Tampering, line: Line) -> None:
        self.tampering = tampering
        self.passed = 0
        self._replies = Replies()
        self._source = source
        self._target = target
        self._line = line
        self._pieces: asyncio.Queue[_Piece] = asyncio.Queue(AHEAD)

    def set(self, tampering: Tampering) -> None:
        """Do this from now on."""
        self.tampering = tampering
        self.passed = 0

    async def collect(self) -> None:
        """Read, and note when what was read is due."""
        loop = asyncio.get_running_loop()
        due = 0.0
        data: bytes | None = b"-"
        while data:
            try:
                data = await loop.sock_recv(self._source, PIECE)
            except ConnectionError:
                data = None
            doing = self.tampering
            jitter = self._line.random.uniform(-doing.jitter, doing.jitter) if doing.jitter else 0.0
            due = max(due, loop.time() + doing.latency + jitter)
            await self._pieces.put((due, data))

    async def pass_on(self) -> None:
        """Write what is due, until it ends; raises :exc:`LineReset` or :exc:`LineCut` where that is to happen."""
        loop = asyncio.get_running_loop()
        while True:
            due, data = await self._pieces.get()
            wait = due - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            await self._line.flowing.wait()
            if data is None:
                raise LineReset
            if not data:
                self._target.shutdown(socket.SHUT_WR)
                return
            data = self._replaced(data)
            passing, deed = self.tampering.deed(self.passed, len(data))
            await self._write(self.tampering.corrupted(self.passed, data)[:passing])
            if deed == "reset":
                raise LineReset
            if deed == "cut":
                raise LineCut
            if deed == "half_close":
                self._target.shutdown(socket.SHUT_WR)
                return
            if deed == "stall":
                await asyncio.Event().wait()

    def _replaced(self, data: bytes) -> bytes:
        """``data`` with other replies in it; what is not yet a whole reply comes later."""
        instead = self.tampering.replies.encode()
        if not instead:
            return self._replies.rest() + data
        share, random = self.tampering.replies_share, self._line.random
        whole = self._replies.cut(data)
        return b"".join(instead + b"\r\n" if random.random() < share else reply for reply in whole)

    async def _write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        size = self.tampering.slice or len(data)
        if self.tampering.rate:
            size = min(size, max(self.tampering.rate // 20, 1))  # so that it flows rather than bursts
        for begin in range(0, len(data), size or 1):
            piece = data[begin : begin + size]
            await loop.sock_sendall(self._target, piece)
            self.passed += len(piece)
            if self.tampering.rate:
                await asyncio.sleep(len(piece) / self.tampering.rate)


class Line:
    """See the module. ``flowing`` cleared stops both directions where they are."""

    def __init__(
        self, outer: socket.socket, inner: socket.socket, up: Tampering, down: Tampering, random: Random
    ) -> None:
        self.random = random
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._sockets = (outer, inner)
        for sock in self._sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pumps: dict[Direction, Pump] = {
            "up": Pump(outer, inner, up, self),
            "down": Pump(inner, outer, down, self),
        }

    async def run(self) -> None:
        """Carry bytes until both directions have ended, or the connection is cut or reset; cancelled: a reset."""
        collecting = [asyncio.create_task(pump.collect()) for pump in self.pumps.values()]
        passing = [asyncio.create_task(pump.pass_on()) for pump in self.pumps.values()]
        orderly = False
        try:
            for ended in asyncio.as_completed(passing):
                await ended
            orderly = True
        except LineCut:
            orderly = True
        except (LineReset, OSError):
            pass
        finally:
            for task in (*collecting, *passing):
                task.cancel()
            await asyncio.gather(*collecting, *passing, return_exceptions=True)
            if orderly:
                for sock in self._sockets:
                    sock.close()
            else:
                self.abandon()

    def abandon(self) -> None:
        """Reset both sides, if they are still open."""
        for sock in self._sockets:
            if sock.fileno() >= 0:
                reset(sock)
