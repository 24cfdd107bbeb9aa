"""A service manager as the gateway sees it: a datagram socket."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
import threading
from pathlib import Path


class FakeManager:
    """Binds a socket, by a path or an abstract name, and keeps what comes."""

    def __init__(self, *, abstract: bool = False) -> None:
        # A path of its own: that of a test's directory is too long for a socket.
        self._directory = None if abstract else tempfile.TemporaryDirectory(prefix="notify-")
        name = f"tracseq-{os.getpid()}-{secrets.token_hex(4)}"
        self.address = f"@{name}" if self._directory is None else str(Path(self._directory.name) / "socket")
        """What would stand in ``NOTIFY_SOCKET``."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(f"\0{name}" if abstract else self.address)
        self.heard: list[dict[str, str]] = []
        """All messages, each as its variables."""

    def listen(self) -> list[dict[str, str]]:
        """Take what has come; return all that ever came."""
        while True:
            try:
                message = self._socket.recv(65536).decode()
            except BlockingIOError:
                return self.heard
            self.heard.append(dict(line.split("=", 1) for line in message.splitlines()))

    def take(self) -> list[dict[str, str]]:
        """What has come since this was last asked."""
        heard, self.heard = self.listen(), []
        return heard

    def all(self, name: str) -> list[str]:
        """All values of one variable that ever came."""
        return [message[name] for message in self.listen() if name in message]

    def close(self) -> None:
        """Be gone. To be called once."""
        self._socket.close()
        if self._directory is not None:
            self._directory.cleanup()


class LiveManager(FakeManager):
    """Listens all the time, as a manager does: what nobody takes stops who sends it after a few messages."""

    def __init__(self, *, abstract: bool = False) -> None:
        super().__init__(abstract=abstract)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.wait(0.01):
            super().listen()

    def listen(self) -> list[dict[str, str]]:
        """All that has come until a moment ago."""
        return list(self.heard)

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        super().close()
