"""The socket by which commands of an operator reach a running gateway.

It lies in the run directory, for the gateway's user alone. A client sends one line of JSON, an object with a
``command``, and gets one line back, an object too: ``{"error": TEXT}``, or what the command answers. Then it may ask
again. Everything is bounded: the line, the clients, and how long one may be silent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IListeningPort, ILoggingContext, IUNIXTransport
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from tracseq_gateway.process.reactor import IReactor

Answer = Mapping[str, object]
Command = Callable[[Mapping[str, Any], "ControlConnection"], Deferred[Answer]]
"""Is given the whole request, and who asks."""

LONGEST_REQUEST: Final = 24 * 1024
"""Bytes of a request's line: one that asks about a request may hold a long token, and fields."""
SILENT_SECONDS: Final = 10.0
"""How long a client may be silent while nothing is being done for it."""
MOST_CLIENTS: Final = 16


class ControlSocket:
    """Listens at ``path``, which nobody else uses, and has what is asked there done by ``commands``."""

    def __init__(self, reactor: IReactor, path: Path, commands: Mapping[str, Command]) -> None:
        self.commands = commands
        self.clients: set[ControlConnection] = set()
        self.reactor = reactor
        self._path = path
        self._port: IListeningPort | None = None

    def open(self) -> None:
        """Begin to listen. Raises ``CannotListenError`` or OSError."""
        self._path.unlink(missing_ok=True)  # who was killed has left it
        # The directory is ours alone already, so nobody connects before the mode is set.
        self._port = self.reactor.listenUNIX(os.fspath(self._path), _Clients(self), mode=0o600, wantPID=False)

    def close(self) -> Deferred[None]:
        """Listen no more, remove the socket and let the clients go; fires when that is done."""
        for client in list(self.clients):
            client.hang_up()
        port, self._port = self._port, None
        closed = maybeDeferred(port.stopListening) if port is not None else succeed(None)
        return closed.addCallback(lambda _: None)


@implementer(ILoggingContext)
class _Clients(ServerFactory):
    noisy = False

    def __init__(self, control: ControlSocket) -> None:
        self._control = control

    def logPrefix(self) -> str:
        return "the control socket"

    def buildProtocol(self, addr: object) -> ControlConnection | None:
        return ControlConnection(self._control) if len(self._control.clients) < MOST_CLIENTS else None


class ControlConnection(LineOnlyReceiver):
    """One client. What it asks while it waits for an answer is not looked at."""

    delimiter = b"\n"
    MAX_LENGTH = LONGEST_REQUEST

    def __init__(self, control: ControlSocket) -> None:
        self.patience = SILENT_SECONDS
        """How long the client may be silent from its next answer on."""
        self.gone: Deferred[None] = Deferred()
        """Fires when the client is gone."""
        self._control = control
        self._busy = False
        self._silence: IDelayedCall | None = None
        self._log = Logger()

    def connectionMade(self) -> None:
        """Wait for the first request."""
        self._control.clients.add(self)
        self._wait()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone; what it asked for is done all the same."""
        self._control.clients.discard(self)
        self._forget()
        self.gone.callback(None)

    def lineLengthExceeded(self, line: bytes) -> None:
        """See ``LineOnlyReceiver``."""
        self._answer({"error": f"a request has at most {LONGEST_REQUEST} bytes"})
        self.hang_up()

    def lineReceived(self, line: bytes) -> None:
        """Have done what a client asks for."""
        if self._busy:
            return
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        command = self._control.commands.get(str(request.get("command"))) if isinstance(request, dict) else None
        if command is None:
            known = ", ".join(self._control.commands)
            self._answer({"error": f'the request is no object with a "command" that is known here: {known}'})
            return
        self._busy = True
        self._forget()
        maybeDeferred(command, request, self).addErrback(self._failed).addCallback(self._done)

    def send_descriptor(self, descriptor: int) -> None:
        """Send a descriptor of ours with the next byte that is sent; it must stay open until then."""
        IUNIXTransport(self.transport).sendFileDescriptor(descriptor)

    def hang_up(self) -> None:
        """Close, once everything is sent."""
        if self.transport is not None:
            self.transport.loseConnection()

    def _failed(self, failure: Failure) -> Answer:
        self._log.failure("a command failed", failure)
        return {"error": f"the command failed ({type(failure.value).__name__}); the gateway's log says more"}

    def _done(self, answer: Answer) -> None:
        self._busy = False
        if self in self._control.clients:
            self._answer(answer)
            self._wait()

    def _answer(self, answer: Answer) -> None:
        self.sendLine(json.dumps(answer).encode())

    def _wait(self) -> None:
        self._forget()
        self._silence = self._control.reactor.callLater(self.patience, self.hang_up)

    def _forget(self) -> None:
        if self._silence is not None and self._silence.active():
            self._silence.cancel()
        self._silence = None
