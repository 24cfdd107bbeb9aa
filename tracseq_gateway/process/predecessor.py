"""The gateway that runs, as the one sees it that takes over from it; see ``estate`` for the other side."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from tracseq_gateway.process.control_client import ControlClient, NoAnswer, NoGateway
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.run_directory import Inheritance, control_socket

ASK_SECONDS: Final = 5.0
"""How long the answer may take."""
TAKEOVER_SECONDS: Final = 20.0
"""After so many seconds all of our workers must serve, or we give up."""
_MOST_SOCKETS: Final = 4096


class TakeoverError(Exception):
    """There is nothing to take over; the text is for the operator."""


class Predecessor:
    """Asked for what it has. While the connection stays open it waits for us; :meth:`dismiss` lets it leave.

    Raises :class:`TakeoverError`.
    """

    def __init__(self, directory: Path) -> None:
        """``directory`` is its run directory."""
        self.dismissed = False
        self._log = Logger()
        self._deadline: IDelayedCall | None = None
        try:
            self._client = ControlClient(control_socket(directory), ASK_SECONDS)
            try:
                answer, descriptors = _ask(self._client.connection)
            except (OSError, ValueError, NoAnswer):
                self._client.connection.close()
                raise
        except (OSError, ValueError, NoGateway, NoAnswer) as error:
            raise TakeoverError(f"--takeover: {error}") from error
        self.inheritance = Inheritance(descriptors.pop(), answer["side"], answer["made"])
        sockets = [_listener(descriptor) for descriptor in descriptors]
        own = len(sockets) - answer.get("further", 0)  # a gateway of an earlier version has none
        self.listeners, self.further = sockets[:own], sockets[own:]

    def wait(
        self, reactor: IReactor, serving: Deferred[None], take: Callable[[], None], fail: Callable[[], None]
    ) -> None:
        """Let it go when ``serving`` fires, just after ``take``; call ``fail`` instead when that takes too long."""

        def served(result: None) -> None:
            if self._deadline is not None and self._deadline.active():
                self._deadline.cancel()
                take()
                self.dismiss()

        def overdue() -> None:
            self._log.critical("not all workers serve: the gateway that ran before serves on, and this one leaves")
            self.abandon()
            fail()

        self._deadline = reactor.callLater(TAKEOVER_SECONDS, overdue)
        serving.addCallback(served)

    def dismiss(self) -> None:
        """We serve: let it leave."""
        self.dismissed = True
        try:
            self._client.connection.sendall(b'{"command": "leave", "pid": %d}\n' % os.getpid())
        except OSError as error:
            self._log.warn("the gateway that ran before is gone already: {error}", error=error)
        self._client.connection.close()

    def abandon(self) -> None:
        """Let it serve on, if it was not let go; nothing happens then, or the second time."""
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._client.connection.close()


def _ask(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Ask for the estate; return the answer and the descriptors that came with it, the lock's last."""
    connection.sendall(b'{"command": "takeover"}\n')
    line = b""
    descriptors: list[int] = []
    while not line.endswith(b"\n"):
        piece, more, _, _ = socket.recv_fds(connection, 65536, _MOST_SOCKETS)
        for descriptor in more:
            os.set_inheritable(descriptor, False)
        descriptors += more
        line += piece
        if not piece:
            break
    answer: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {"error": "it ended before it answered"}
    if "error" in answer or len(descriptors) != answer["sockets"] + 1:
        for descriptor in descriptors:
            os.close(descriptor)
        raise NoAnswer(f"the gateway that runs does not hand over: {answer.get('error', 'sockets are missing')}")
    return answer, descriptors


def _listener(descriptor: int) -> socket.socket:
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    return listener
