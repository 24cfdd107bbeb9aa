"""A blocking conversation with a real Redis, for tests that look at what it holds."""

from __future__ import annotations

import socket
import time
from typing import Any

from hiredis import Reader, pack_command

from tests.redis_kit import RealRedis


class Talk:
    """One connection; raises the server's error replies."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._reader = Reader()

    @classmethod
    def to(cls, redis: RealRedis, seconds: float = 10.0) -> Talk:
        """Connect to a server that is just starting."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return cls(redis.path)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def command(self, *words: bytes | int | str) -> Any:
        """Send a command and return its reply."""
        self._socket.sendall(pack_command(words))  # type: ignore[arg-type]
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(1 << 16))
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        self._socket.close()
