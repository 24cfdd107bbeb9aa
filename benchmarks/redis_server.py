"""A Redis of a turn's own, on a unix socket, and what it says of itself."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hiredis
from attrs import frozen

from benchmarks.errors import BenchmarkError
from benchmarks.processes import Launch, program, started

SOCKET = "redis.sock"
SECONDS = 5.0
SCRIPT_CALLS = ("evalsha", "eval", "fcall")


@frozen
class Redis:
    """A server that answers."""

    pid: int
    path: Path

    def info(self, section: str) -> dict[str, str]:
        """One section of INFO."""
        text = ask(self.path, "INFO", section)
        lines = (line.partition(":") for line in text.splitlines() if ":" in line)
        return {name: value for name, _colon, value in lines}

    def script_calls(self) -> int:
        """How many scripts it has run: each is one question of a limiter, for one key or for several."""
        statistics = self.info("commandstats")
        calls = (_figures(statistics.get(f"cmdstat_{name}", "calls=0"))["calls"] for name in SCRIPT_CALLS)
        return sum(calls)

    def keys(self) -> tuple[int, int]:
        """How many keys it has, and how many of them end by themselves."""
        figures = _figures(self.info("keyspace").get("db0", "keys=0,expires=0"))
        return figures["keys"], figures["expires"]

    def used_memory(self) -> int:
        """Bytes that it has taken for data and connections."""
        return int(self.info("memory")["used_memory"])


def _figures(text: str) -> dict[str, int]:
    """The whole numbers of ``calls=5,usec=20,usec_per_call=4.00``."""
    pairs = (pair.split("=") for pair in text.split(","))
    return {name: int(value) for name, value in pairs if value.isdecimal()}


def ask(path: Path, *command: str) -> str:
    """Send one command on a connection of its own; an error that Redis answers raises :exc:`BenchmarkError`."""
    reader = hiredis.Reader(encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(str(path))
        connection.sendall(f"{' '.join(command)}\r\n".encode())  # an inline command
        while (answer := reader.gets()) is False:
            data = connection.recv(65536)
            if not data:
                raise ConnectionError(f"Redis closed the connection in the middle of its answer to {command[0]}")
            reader.feed(data)
    if isinstance(answer, hiredis.ReplyError):
        raise BenchmarkError(f"Redis answers {command[0]} with {answer}")
    return str(answer)


@contextmanager
def redis(core: int, scratch: Path) -> Iterator[Redis]:
    """Run a fresh server on ``core`` that keeps nothing on disk."""
    path = scratch / SOCKET
    binary = program("redis-server", "apt-get install redis-server")
    command = [binary, "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
    with started(Launch("redis", command), core, scratch, lambda: ask(path, "PING"), str(path)) as pid:
        yield Redis(pid, path)
