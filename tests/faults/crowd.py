"""Many clients that behave badly, in a process of their own: slow, silent, or full of nonsense."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from random import Random
from typing import Any, Literal

from tests.faults.control import ROOT, obey

Kind = Literal["idle", "slow_head", "slow_body", "slow_read", "corpus"]

CORPUS = ROOT / "tests" / "wire_cases" / "h1-requests.json"
DRIP_SECONDS = 1.0
PAUSE = 0.08
"""Seconds between some connections and the next."""
SMALL_WINDOW = 4096
"""Bytes of the receive buffer of one who does not read, so that the kernel does not read for him."""
CASE_SECONDS = 0.3
"""How long a client waits for an answer to a case of the corpus."""
BODY = 4 << 20
"""Bytes that one asks for who then reads nothing: more than the buffers of two sockets hold on a loopback."""

OPENINGS: dict[str, bytes] = {
    "idle": b"",
    "slow_head": b"GET /samples/items HTTP/1.1\r\nHost: gateway\r\nX-Slow: ",
    "slow_body": b"POST /samples/items HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100000\r\n\r\n",
    "slow_read": f"GET /samples/items?size={BODY} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n".encode(),
}
DRIPPING = ("slow_head", "slow_body")


def corpus() -> list[bytes]:
    """What the tests of the wire send, good and bad."""
    return [base64.b64decode(case["raw_b64"]) for case in json.loads(CORPUS.read_text())]


class Straggler(asyncio.Protocol):
    """One connection that keeps the other side waiting."""

    transport: asyncio.Transport

    def __init__(self, kind: Kind, crowd: Crowd) -> None:
        self.begun = time.monotonic()
        self._kind = kind
        self._crowd = crowd
        self._drip: asyncio.TimerHandle | None = None
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._crowd.there.add(self)
        transport.write(OPENINGS[self._kind])
        if self._kind == "slow_read":
            transport.pause_reading()
            self._drip = asyncio.get_running_loop().call_later(self._crowd.deaf_seconds, transport.resume_reading)
        if self._kind in DRIPPING:
            self._go_on()

    def _go_on(self) -> None:
        self.transport.write(b"x")
        self._drip = asyncio.get_running_loop().call_later(DRIP_SECONDS, self._go_on)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._kind == "slow_read" and self._received > BODY:
            self._crowd.whole += 1
        if self._drip is not None:
            self._drip.cancel()
        self._crowd.left(self)


class Crowd:
    """The commands that the harness gives."""

    def __init__(self) -> None:
        self.there: set[Straggler] = set()
        self.deaf_seconds = 0.0
        """How long those who read slowly read nothing; then they take what is there, and notice that they were cut."""
        self.whole = 0
        """How many of them got their whole answer after all."""
        self._lives: list[float] = []
        self._refused = 0
        self._shouting: list[asyncio.Task[None]] = []
        self._said = 0

    def left(self, straggler: Straggler) -> None:
        """A connection has ended."""
        self.there.discard(straggler)
        self._lives.append(time.monotonic() - straggler.begun)

    async def gather(
        self, port: int, kind: Kind, count: int, deaf_seconds: float = 0.0, at_once: int = 50
    ) -> dict[str, Any]:
        """Make so many connections of a kind, ``at_once`` at the same time; returns :meth:`report`."""
        self.deaf_seconds = deaf_seconds
        for begin in range(0, count, at_once):
            made = [self._connect(port, kind) for _each in range(min(at_once, count - begin))]
            await asyncio.gather(*made)
            await asyncio.sleep(PAUSE)
        return await self.report()

    async def _connect(self, port: int, kind: Kind) -> None:
        loop, sock = asyncio.get_running_loop(), socket.socket()
        sock.setblocking(False)
        if kind == "slow_read":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
        try:
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.create_connection(lambda: Straggler(kind, self), sock=sock)
        except OSError:
            sock.close()
            self._refused += 1

    async def report(self) -> dict[str, Any]:
        """How many are ``there``, were ``refused``, have ``ended``, and so on."""
        return {
            "there": len(self.there),
            "refused": self._refused,
            "ended": len(self._lives),
            "longest": max(self._lives, default=0.0),
            "whole": self.whole,
            "said": self._said,
        }

    async def disperse(self) -> None:
        """Close all connections, and be silent."""
        for task in self._shouting:
            task.cancel()
        for straggler in list(self.there):
            straggler.transport.abort()

    async def shout(self, port: int, clients: int, seed: int) -> int:
        """Have clients send the corpus of bad requests in random order, until :meth:`disperse`; returns its size."""
        cases = corpus()
        self._shouting = [
            asyncio.create_task(self._shout(port, cases, Random(seed + number))) for number in range(clients)
        ]
        return len(cases)

    async def _shout(self, port: int, cases: list[bytes], random: Random) -> None:
        while True:
            case = random.choice(cases).replace(b" /g", b" /samples/g")
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(case)
                await asyncio.wait_for(reader.read(), CASE_SECONDS)
            except (OSError, TimeoutError):
                pass  # whatever becomes of this connection is right, as long as the others do not notice
            finally:
                writer.transport.abort()
            self._said += 1


async def main() -> None:
    """Serve the harness."""
    crowd = Crowd()
    commands = (crowd.gather, crowd.report, crowd.disperse, crowd.shout)
    await obey({command.__name__: command for command in commands})


if __name__ == "__main__":
    asyncio.run(main())
