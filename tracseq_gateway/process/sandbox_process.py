"""The sandbox as the supervisor's child: seven stand-in services in one process, for development only."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.config import Config
from tracseq_gateway.config.upstream import Instance
from tracseq_gateway.process.backoff import Backoff
from tracseq_gateway.process.lines import LineLogger
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.sockets import openNear
from tracseq_gateway.process.worker_process import describeEnd
from tracseq_gateway.sandbox import SERVICES

HOST: Final = "127.0.0.1"
"""The sandbox's services are for this host only."""

COMMAND: Final = (sys.executable, "-m", "tracseq_gateway.sandbox")

LIFETIME_FD: Final = 3
"""The child leaves when this pipe ends; it ends when we close it, and also when we die."""

STOP_SECONDS: Final = 0.5
"""What the child gets to leave before it is killed."""


def openSockets() -> dict[str, socket.socket]:
    """A listening socket for each service, on its default port or, where that is taken, on a free one."""
    return {name: openNear(HOST, port) for name, port in SERVICES.items()}


def standIn(config: Config, sockets: Mapping[str, socket.socket]) -> Config:
    """The configuration with the sandbox's address as the only instance of each service that it has."""
    services = {
        name: evolve(service, instances=(Instance(url=addressOf(sockets[name])),), discovery=None, tls=None)
        if name in sockets
        else service
        for name, service in config.services.items()
    }
    return evolve(config, services=services)


def addressOf(listener: socket.socket) -> str:
    """The URL of a service of the sandbox."""
    return f"http://{HOST}:{listener.getsockname()[1]}"


class SandboxProcess:
    """Keeps the sandbox running until it is stopped."""

    def __init__(
        self,
        reactor: IReactor,
        data: str,
        sockets: Mapping[str, socket.socket],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._reactor = reactor
        self._sockets = sockets
        self._command = [*command, "--data", data]
        self._log = Logger(namespace="sandbox")
        self._backoff = Backoff()
        self._started = 0.0
        self._lifetime: int | None = None
        self._child: _Child | None = None
        self._pause: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None
        self._gone: Deferred[None] | None = None

    def start(self) -> None:
        """Spawn the child; the sockets stay open here, so whoever connects meanwhile waits."""
        self._pause = None
        theirs, self._lifetime = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        files: dict[int, int | str] = {0: nothing, 1: "r", 2: "r", LIFETIME_FD: theirs}
        command = [*self._command, "--lifetime", str(LIFETIME_FD)]
        for descriptor, (name, listener) in enumerate(self._sockets.items(), LIFETIME_FD + 1):
            files[descriptor] = listener.fileno()
            command += ["--socket", f"{name}={descriptor}"]
        self._started = self._reactor.seconds()
        self._child = _Child(self)
        try:
            self._reactor.spawnProcess(self._child, command[0], command, env=dict(os.environ), childFDs=files)
        finally:
            os.close(theirs)
            os.close(nothing)

    def stop(self) -> Deferred[None]:
        """Tell the child to leave, and kill it when it does not; fires when it is gone."""
        if self._pause is not None:
            self._pause.cancel()
        for listener in self._sockets.values():
            listener.close()
        gone = self._gone = Deferred()
        if self._child is None:
            gone.callback(None)
        else:
            self._endLifetime()
            self._deadline = self._reactor.callLater(STOP_SECONDS, self.kill)
        return gone

    def kill(self) -> None:
        """Kill the child now."""
        if self._child is not None:
            self._child.kill()

    def childGone(self, reason: str) -> None:
        """The child has ended, as was asked for or not."""
        self._child = None
        self._endLifetime()
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        if self._gone is not None:
            self._gone.callback(None)
            return
        pause = self._backoff.died(self._reactor.seconds() - self._started)
        self._log.error("the sandbox {reason}; starting another in {pause:g} s", reason=reason, pause=pause)
        self._pause = self._reactor.callLater(pause, self.start)

    def _endLifetime(self) -> None:
        if self._lifetime is not None:
            os.close(self._lifetime)
            self._lifetime = None


class _Child(ProcessProtocol):
    """The process and its log."""

    def __init__(self, parent: SandboxProcess) -> None:
        self._parent = parent
        log = Logger(namespace="sandbox")
        self._lines = {1: LineLogger(log), 2: LineLogger(log)}

    def kill(self) -> None:
        assert self.transport is not None
        self.transport.signalProcess("KILL")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._lines[childFD].feed(data)

    def childConnectionLost(self, childFD: int) -> None:
        self._lines[childFD].finish()

    def processExited(self, reason: Failure) -> None:
        self._parent.childGone(describeEnd(reason))
