"""One request of the load, and a connection that carries one at a time.

What is an error, and what is not:

- A connection that ends while nothing is asked on it is none; nor is one that was announced to close.
- One that ends when something is asked, before the first byte of its answer, is: whatever the reason, a client has no
  answer. Which it was, on a new or on a kept connection, by a reset or an orderly end, stands in the trouble.
- One that ends within an answer is, too, and so is an answer of which a byte is wrong.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from tests.faults.asked import LONGEST, Asked
from tests.faults.bodies import body_of

ANSWER_SIZE = 1024


class Errand:
    """One request. It is over once, with an :class:`Asked` that ``over_with`` is given."""

    def __init__(
        self, id: str, method: str, size: int, due: float, fresh: bool, over_with: Callable[[Asked], None]
    ) -> None:
        self.id = id
        self.method = method
        self.body = body_of(id, size)
        self.over = False
        self.fresh = fresh
        self._due = due
        self._over_with = over_with
        self._wire: Wire | None = None
        self._expiry: asyncio.TimerHandle | None = None

    def expire_at(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        """Give up when it is not over by then."""
        self._expiry = loop.call_at(when, self._expire)

    def carried_by(self, wire: Wire) -> None:
        """It is being sent."""
        self._wire = wire

    def _expire(self) -> None:
        wire = self._wire
        self.fail(f"over {LONGEST:g} s" if wire is not None else f"over {LONGEST:g} s, never sent")
        if wire is not None:
            wire.abandon()

    def fail(self, trouble: str, status: int = 0, retry_after: bool = False) -> None:
        """It is over, and not well."""
        self._end(status, trouble, retry_after)

    def succeed(self, status: int) -> None:
        """It is over, and well."""
        self._end(status, "", False)

    def _end(self, status: int, trouble: str, retry_after: bool) -> None:
        if not self.over:
            self.over = True
            done = asyncio.get_running_loop().time()
            if self._expiry is not None:
                self._expiry.cancel()
            self._over_with(Asked(self.id, self.method, self._due, done, status, trouble, self.fresh, retry_after))


class Owner(Protocol):
    """Who has the connections."""

    def wire_free(self, wire: Wire) -> None:
        """It may be used again."""

    def wire_lost(self, wire: Wire) -> None:
        """It may not."""

    def wire_surplus(self) -> None:
        """Bytes came that nobody asked for."""


class Wire(asyncio.Protocol):
    """A client's connection."""

    transport: asyncio.Transport

    def __init__(self, owner: Owner, single: bool) -> None:
        self.single = single
        """Whether it is for one request."""
        self._owner = owner
        self._errand: Errand | None = None
        self._kept = False
        self._received = bytearray()
        self._head: tuple[int, dict[str, str]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def carry(self, errand: Errand, path: str, fields: Mapping[str, str]) -> None:
        """Send a request; it is over when its answer is."""
        self._errand = errand
        errand.carried_by(self)
        lines = [f"{errand.method} {path} HTTP/1.1", "Host: gateway", f"X-Request-Id: {errand.id}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        lines += ["Connection: close"] if errand.fresh else []
        lines += [f"Content-Length: {len(errand.body)}"] if errand.method == "POST" else []
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + errand.body)

    def abandon(self) -> None:
        """Have nothing more to do with it."""
        self._errand = None
        self.transport.abort()

    def close(self) -> None:
        """End it, when nothing is asked."""
        self.single = True
        self._owner.wire_lost(self)
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._errand is None:
            self._owner.wire_surplus()
            return
        self._received += data
        if self._head is None:
            self._read_head()
        if self._head is not None:
            self._read_body(self._errand, *self._head)

    def _read_head(self) -> None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        self._head = int(first.split(" ")[1]), fields
        del self._received[: end + 4]

    def _read_body(self, errand: Errand, status: int, fields: dict[str, str]) -> None:
        if "content-length" not in fields:
            self._finish(errand, "an answer without a length", status, fields)
            return
        length = int(fields["content-length"])
        if len(self._received) < length:
            return
        trouble = trouble_of(errand, status, fields, bytes(self._received[:length]))
        if not trouble and len(self._received) > length:
            trouble = "more bytes than announced"
        self._finish(errand, trouble, status, fields)

    def _finish(self, errand: Errand, trouble: str, status: int, fields: dict[str, str]) -> None:
        self._errand = None
        if trouble:
            errand.fail(trouble, status, "retry-after" in fields)
        else:
            errand.succeed(status)
        self._received.clear()
        self._head = None
        self._kept = True
        if self.single or fields.get("connection", "").lower() == "close":
            self._owner.wire_lost(self)
            self.transport.close()
        else:
            self._owner.wire_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        errand, self._errand = self._errand, None
        if errand is not None:
            how = "reset" if exc is not None else "closed"
            if self._head is not None or self._received:
                errand.fail(f"cut within the answer: {how}", self._head[0] if self._head else 0)
            else:
                errand.fail(f"{how} without an answer, on a {'kept' if self._kept else 'new'} connection")
        self._owner.wire_lost(self)


def trouble_of(errand: Errand, status: int, fields: Mapping[str, str], body: bytes) -> str:
    """What is wrong with a whole answer; empty if nothing is."""
    if status != 200:
        reason = fields.get("proxy-status", "").partition("error=")[2]
        return f"status {status} {reason}".strip()
    if fields.get("x-echo-id") != errand.id or fields.get("x-request-id", errand.id) != errand.id:
        return "wrong id"
    if body != body_of(errand.id, ANSWER_SIZE):
        return "wrong body"
    if fields.get("x-body-crc") != str(zlib.crc32(errand.body)):
        return "the service received something else"
    return ""
