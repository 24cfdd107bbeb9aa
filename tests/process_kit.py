"""What the tests of the processes share: a reactor without processes, and a worker without a gateway.

Run as a program, this file is the stand-in worker: it speaks the control protocol like a real one, and on its socket a
protocol of words. ``who`` is answered with the process id, ``news`` with the last news of the services; ``hold`` is an
open request until ``done`` is sent.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, ProcessProtocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols import amp
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from tracseq_gateway.config import Config
from tracseq_gateway.interfaces import InstanceHealth, WorkerHealth
from tracseq_gateway.process.duty import serve
from tracseq_gateway.process.reactor import IReactor

ROOT = str(Path(__file__).parent.parent)
STAND_IN = (sys.executable, "-m", "tests.process_kit")


def freePort() -> int:
    """A port on which nobody listens at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class FakeProcess:
    """A process that was spawned in a :class:`FakeReactor`."""

    def __init__(
        self, pid: int, born: float, protocol: ProcessProtocol, args: Sequence[str], files: dict[int, Any]
    ) -> None:
        self.pid = pid
        self.born = born
        self.protocol = protocol
        self.args = args
        self.files = files
        self.signals: list[str] = []
        self.control = StringTransport()
        self.end: Any = None
        """The supervisor's end of the control connection."""

        protocol.makeConnection(cast(Any, self))

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def heard(self) -> list[amp.Box]:
        """All that the worker was told."""
        boxes: list[amp.Box] = amp.parseString(self.control.value())
        return boxes

    def commands(self) -> list[str]:
        """The names of all commands that the worker was told."""
        return [box[amp.COMMAND].decode() for box in self.heard()]

    def answer(self, command: str, **fields: str) -> None:
        """Answer the last ``command``."""
        asked = next(box for box in reversed(self.heard()) if box[amp.COMMAND] == command.encode())
        self.end.dataReceived(amp.Box({amp.ANSWER: asked[amp.ASK]} | _bytes(fields)).serialize())

    def say(self, command: str) -> None:
        """Send a command without arguments that wants no answer."""
        self.end.dataReceived(amp.Box({amp.COMMAND: command.encode()}).serialize())

    def hangUp(self) -> None:
        """Lose the control connection."""
        self.end.connectionLost(Failure(ConnectionDone()))

    def exit(self, status: int = 0, signal: int | None = None) -> None:
        reason = ProcessTerminated(status, signal) if status or signal else ProcessDone(0)
        self.protocol.processExited(Failure(reason))


def _bytes(fields: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in fields.items()}


class FakeReactor(Clock):
    """Time in our hands, processes on paper, and control connections in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[FakeProcess] = []
        self.full = False
        self.stops = 0

    def spawnProcess(
        self, protocol: ProcessProtocol, executable: str, args: Sequence[str], env: object, childFDs: dict[int, Any]
    ) -> FakeProcess:
        if self.full:
            raise BlockingIOError("Resource temporarily unavailable")
        process = FakeProcess(1000 + len(self.spawned), self.seconds(), protocol, args, childFDs)
        self.spawned.append(process)
        return process

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Factory) -> None:
        process = self.spawned[-1]
        process.end = factory.buildProtocol(cast(Any, None))
        process.end.makeConnection(process.control)

    def callWhenRunning(self, call: Callable[..., object], *args: object) -> None:
        call(*args)

    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        call(*args)

    def stop(self) -> None:
        self.stops += 1

    @property
    def typed(self) -> IReactor:
        return cast(IReactor, self)


class Words(LineReceiver):
    """A connection to the stand-in."""

    delimiter = b"\n"

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in

    def lineReceived(self, line: bytes) -> None:
        if line == b"who":
            self.sendLine(b"%d" % os.getpid())
        elif line == b"news":
            self.sendLine(self._stand_in.news.encode())
        elif line == b"hold":
            self._stand_in.held.add(self)
            self.sendLine(b"held")
        elif line == b"done":
            self.sendLine(b"done")
            self._stand_in.release(self)

    def connectionLost(self, reason: object = None) -> None:
        self._stand_in.release(self)


class StandIn:
    """What stands in for the gateway."""

    def __init__(self, config: Config, reactor: Any) -> None:
        self.held: set[Words] = set()
        self.news = ""
        self._reactor = reactor
        self._port: IListeningPort | None = None
        self._drained: Deferred[int] | None = None

    def start(self) -> Deferred[None]:
        return succeed(None)

    def listen(self, sock: socket.socket) -> None:
        factory = Factory.forProtocol(lambda: Words(self))
        factory.noisy = False
        self._port = self._reactor.adoptStreamPort(sock.fileno(), sock.family, factory)
        sock.close()

    def update_instances(self, instances: Sequence[InstanceHealth]) -> None:
        self.news = " ".join(f"{instance.service} {instance.state} {instance.error}" for instance in instances)

    def update_workers(self, workers: WorkerHealth) -> None:
        pass

    def drain(self, seconds: float, gentle: bool) -> Deferred[int]:
        drained: Deferred[int] = Deferred()
        self._drained = drained
        if self._port is not None:
            self._port.stopListening()
        self._reactor.callLater(seconds, self._give_up)
        self.release(None)
        return drained

    def release(self, words: Words | None) -> None:
        if words is not None:
            self.held.discard(words)
        if self._drained is not None and not self._drained.called and not self.held:
            self._drained.callback(0)

    def hasten(self) -> None:
        pass

    def _give_up(self) -> None:
        if self._drained is not None and not self._drained.called:
            self._drained.callback(len(self.held))


class StandInClient(LineReceiver):
    """A client of the stand-in: each line is answered by a line."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()
        self._answer: Deferred[str] | None = None

    def ask(self, line: str) -> Deferred[str]:
        """Send a line and wait for the answer."""
        answer = self._answer = Deferred()
        self.sendLine(line.encode())
        return answer

    def lineReceived(self, line: bytes) -> None:
        answer, self._answer = self._answer, None
        assert answer is not None
        answer.callback(line.decode())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)
        if self._answer is not None:
            self._answer.errback(reason)


def main() -> None:
    mode = os.environ.get("STAND_IN")
    if mode == "crash":
        sys.exit("cannot start")
    from twisted.internet import reactor

    serve(cast(IReactor, reactor), StandIn)


if __name__ == "__main__":
    main()
