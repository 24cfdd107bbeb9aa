"""An instance of a service, in a process of its own: it answers, remembers what it has seen, and misbehaves when told.

``GET`` and ``POST`` of any path are answered with a body that is made of the request's id, of 1 KiB or of the size that
the query says (``?size=N&seconds=S``: over so many seconds). The answer echoes the id in ``X-Echo-Id`` and tells the
CRC of what it received in ``X-Body-Crc``.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from random import Random
from typing import Any, cast
from urllib.parse import parse_qs

from tests.faults.bodies import body_of
from tests.faults.control import obey
from tests.faults.manners import Manners

HEALTH = "/health"
ANSWER_SIZE = 1024
SLICES_A_SECOND = 20

Seen = tuple[str, str, int, float, str, str]
"""A request that came whole: id, method, the status of its answer (0: cut in its middle), when (monotonic seconds),
path, ``Via``."""


class Instance:
    """What all connections of an instance share."""

    def __init__(self, seed: int) -> None:
        self.manners = Manners()
        self.seen: list[Seen] = []
        self.begun: list[tuple[str, str]] = []
        """The id and method of each request whose head came."""
        self.random = Random(seed)
        self.answers = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._connections: set[Conversation] = set()

    async def start(self) -> int:
        """Listen, on the port of before if there was one; returns it."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Conversation(self), "127.0.0.1", self.port, backlog=1024, reuse_port=True, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def show(self, certificate: str, key: str) -> None:
        """Show this certificate to who connects from now on; idle connections end. Before the start: speak TLS."""
        if self._tls is None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.num_tickets = 0  # each connection verifies the certificate that is shown now
        self._tls.load_cert_chain(certificate, key)
        for connection in list(self._connections):
            connection.finish()

    async def stop(self) -> None:
        """Listen no more; close idle connections now, and the others with the answer that they wait for."""
        if self._server is not None:
            self._server.close()
            self._server = None
            for connection in list(self._connections):
                connection.finish()

    async def behave(self, **manners: Any) -> None:
        """Behave like this from now on; see :class:`~tests.faults.manners.Manners`."""
        self.manners = Manners(**manners)

    async def report(self) -> dict[str, Any]:
        """All that was seen so far."""
        return {"seen": self.seen, "begun": self.begun}

    async def counts(self) -> dict[str, int]:
        """How much was seen so far."""
        return {"seen": len(self.seen), "begun": len(self.begun), "connections": len(self._connections)}

    @property
    def listens(self) -> bool:
        """Whether connections are to be kept."""
        return self._server is not None

    def joined(self, connection: Conversation) -> None:
        """A connection was made."""
        self._connections.add(connection)

    def left(self, connection: Conversation) -> None:
        """A connection has ended."""
        self._connections.discard(connection)

    def status(self) -> int:
        """The status of the next answer."""
        manners = self.manners
        if manners.status != 200 and (manners.share >= 1 or self.random.random() < manners.share):
            return manners.status
        return 200


class Conversation(asyncio.Protocol):
    """One connection: a request at a time."""

    transport: asyncio.Transport

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._buffer = bytearray()
        self._busy = False
        self._left = 0
        """Bytes of the body that are still to come."""
        self._crc = 0
        self._request = ("", "", "", "", False)
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # TLS is one of another class
        self._instance.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._instance.left(self)
        for task in self._tasks:
            task.cancel()

    def finish(self) -> None:
        """Close, now or with the answer that is under way."""
        if not self._busy:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        pause = self._instance.manners.read_pause
        if pause:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(pause, self._read_on)
        if self._busy:
            self._body(data)
            return
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end >= 0:
            head, rest = bytes(self._buffer[:end]), bytes(self._buffer[end + 4 :])
            self._buffer.clear()
            self._head(head)
            self._body(rest)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _head(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        method, target, _version = lines[0].split(" ")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        request_id = fields.get("x-request-id", "")
        self._busy = True
        self._left = int(fields.get("content-length", 0))
        self._crc = 0
        self._request = (request_id, method, target, fields.get("via", ""), fields.get("connection") == "close")
        if target != HEALTH:
            self._instance.begun.append((request_id, method))

    def _body(self, data: bytes) -> None:
        self._left -= len(data)
        self._crc = zlib.crc32(data, self._crc)
        if self._left > 0:
            return
        if self._left < 0:
            raise ValueError(f"{-self._left} bytes more than the request {self._request[0]} announced")
        task = asyncio.get_running_loop().create_task(self._answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self) -> None:
        instance, manners = self._instance, self._instance.manners
        request_id, method, target, via, last = self._request
        if target == HEALTH:
            self._write_head(200 if manners.well else 503, 0, "", last)
            self._answered(last)
            return
        status = instance.status()
        path, _, query = target.partition("?")
        instance.answers += 1
        cut = manners.truncate_every > 0 and instance.answers % manners.truncate_every == 0
        instance.seen.append((request_id, method, 0 if cut else status, time.monotonic(), path, via))
        if manners.stuck:
            return
        if manners.latency:
            await asyncio.sleep(manners.latency)
        wishes = {name: values[0] for name, values in parse_qs(query).items()}
        body = body_of(request_id, int(wishes.get("size", ANSWER_SIZE)))
        last = last or manners.announce_close or not instance.listens
        self._write_head(status, len(body), request_id, last)
        if cut:
            self.transport.write(body[: len(body) // 2])
            self.transport.close()
            return
        await self._write_body(body, float(wishes.get("seconds", 0)))
        self._answered(last)

    def _write_head(self, status: int, length: int, request_id: str, last: bool) -> None:
        self.transport.write(
            f"HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\nContent-Type: text/plain\r\n"
            f"X-Echo-Id: {request_id}\r\nX-Body-Crc: {self._crc}\r\n"
            f"{'Connection: close' if last else 'Server: instance'}\r\n\r\n".encode()
        )

    async def _write_body(self, body: bytes, seconds: float) -> None:
        if not seconds:
            self.transport.write(body)
            return
        slices = max(int(seconds * SLICES_A_SECOND), 1)
        size = -(-len(body) // slices)
        for begin in range(0, len(body), size):
            self.transport.write(body[begin : begin + size])
            await asyncio.sleep(seconds / slices)

    def _answered(self, last: bool) -> None:
        self._busy = False
        if last:
            self.transport.close()
        elif self._instance.manners.close_within >= 0:
            delay = self._instance.random.uniform(0, self._instance.manners.close_within)
            asyncio.get_running_loop().call_later(delay, self.finish)


async def main() -> None:
    """Serve the harness."""
    instance = Instance(1)
    commands = (instance.start, instance.show, instance.stop, instance.behave, instance.report, instance.counts)
    await obey({command.__name__: command for command in commands})


if __name__ == "__main__":
    asyncio.run(main())
