"""The service of the parts ``websockets`` and ``events``, a process of its own that spends as little as Python can.

A WebSocket gets back each message that it sends. ``GET /...?every=SECONDS`` is a ``text/event-stream`` with an event
every so many seconds, which says when it was sent, by the clock that all processes of a machine share. Any other GET is
answered with 200 and an empty object.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from itertools import count

from benchmarks.websocket_frames import accept_of, echoed

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)
GOLDEN = 0.618034
"""Steps of this length spread any number of streams evenly over the time between two events (Weyl's sequence)."""

_KEY = re.compile(rb"\r\nsec-websocket-key:[ \t]*(\S+)", re.IGNORECASE).search
_EVERY = re.compile(rb"[?&]every=([0-9.]+)").search


class LiveConnection(asyncio.Protocol):
    """One connection: requests, until one of them makes it a WebSocket or a stream."""

    def __init__(self, numbers: count[int]) -> None:
        self.loop = asyncio.get_running_loop()
        self.numbers = numbers
        self.received = b""
        self.switched = False
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.switched:
            self._echo()
            return
        while (end := self.received.find(b"\r\n\r\n") + 4) >= 4 and not self.switched:
            head, self.received = self.received[:end], self.received[end:]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        every = _EVERY(head.partition(b"\r\n")[0])
        if (key := _KEY(head)) is not None:
            self.switched = True
            self.transport.write(SWITCH % accept_of(key[1]))
            self._echo()
        elif every is not None:
            self.transport.write(STREAM)
            seconds = float(every[1])
            self._wait(self.loop.time() + seconds * (1 + next(self.numbers) * GOLDEN % 1), seconds)
        else:
            self.transport.write(ANSWER)

    def _echo(self) -> None:
        answer, self.received = echoed(self.received)
        if answer:
            self.transport.write(answer)

    def _wait(self, due: float, every: float) -> None:
        self.timer = self.loop.call_at(due, self._event, due, every)

    def _event(self, due: float, every: float) -> None:
        event = b"data: %d\n\n" % time.monotonic_ns()
        self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        self._wait(due + every, every)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()


async def serve(port: int) -> None:
    """Listen on 127.0.0.1 for ever."""
    numbers = count()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: LiveConnection(numbers), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """The process's entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
