"""What the tests of the processes share: a reactor without processes, and a worker without a gateway.

Run as a program, this file is the stand-in worker: it speaks the control protocol like a real one, and on its socket a
protocol of words. ``who`` is answered with the process id, ``news`` with the last news of the services, ``lists`` with
the instances that they were said to have; ``hold`` is an open request until ``done`` is sent; ``eject SERVICE URL``
tells the other workers of an ejection, and ``heard`` is answered with the last that they told; ``block`` blocks the
reactor. With ``STAND_IN=crash`` in the environment it cannot start, with ``STAND_IN=crash 1`` worker 1 cannot.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols import amp
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from tracseq_gateway.config import Config, Instance
from tracseq_gateway.interfaces import InstanceHealth, Observation, WorkerHealth
from tracseq_gateway.overview.digest import Digest
from tracseq_gateway.overview.feed import OverviewFeed
from tracseq_gateway.process.duty import serve
from tracseq_gateway.process.reactor import IReactor

STAND_IN = (sys.executable, "-m", "tests.process_kit")


def freePort() -> int:
    """A port on which nobody listens at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class FakeControl(StringTransport):
    """A control connection: it notes which files go over it."""

    def __init__(self) -> None:
        super().__init__()
        self.disconnected = False
        self.files: list[int] = []
        """Their inodes."""

    def sendFileDescriptor(self, descriptor: int) -> None:
        self.files.append(os.fstat(descriptor).st_ino)


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
        self.signals: list[str | int] = []
        self.control = FakeControl()
        self.end: Any = None
        """The supervisor's end of the control connection."""

        protocol.makeConnection(cast(Any, self))

    def signalProcess(self, name: str | int) -> None:
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
        self.end.dataReceived(amp.Box({amp.ANSWER: self.asked(command)[-1]} | _bytes(fields)).serialize())

    def refuse(self, command: str) -> None:
        """Answer the last ``command`` with an error."""
        fields = {amp.ERROR_CODE: b"OTHER", amp.ERROR_DESCRIPTION: b"cannot do that"}
        self.end.dataReceived(amp.Box({amp.ERROR: self.asked(command)[-1]} | fields).serialize())

    def asked(self, command: str) -> list[bytes]:
        """How often ``command`` was given, as the tags that its answers want."""
        return [box[amp.ASK] for box in self.heard() if box[amp.COMMAND] == command.encode()]

    def say(self, command: str, **fields: str) -> None:
        """Send a command that wants no answer."""
        self.end.dataReceived(amp.Box({amp.COMMAND: command.encode()} | _bytes(fields)).serialize())

    def hangUp(self) -> None:
        """Lose the control connection, if it is there."""
        if not self.control.disconnected:
            self.control.disconnected = True
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

    def connectionMade(self) -> None:
        self._stand_in.open.add(self)

    def lineReceived(self, line: bytes) -> None:
        if line == b"who":
            self.sendLine(b"%d" % os.getpid())
        elif line == b"news":
            self.sendLine(self._stand_in.news.encode())
        elif line == b"lists":
            self.sendLine(repr(self._stand_in.lists).encode())
        elif line == b"hold":
            self._stand_in.held.add(self)
            self.sendLine(b"held")
        elif line == b"done":
            self.sendLine(b"done")
            self._stand_in.release(self)
        elif line.startswith(b"eject "):
            service, url = line.decode().split()[1:]
            self._stand_in.observed(Observation(service, url, "ejected", 30.0, "5 failures in a row"))
            self.sendLine(b"said")
        elif line == b"heard":
            self.sendLine(self._stand_in.heard.encode())
        elif line == b"block":
            time.sleep(60)

    def connectionLost(self, reason: object = None) -> None:
        self._stand_in.open.discard(self)
        self._stand_in.release(self)


class StandIn:
    """What stands in for the gateway."""

    def __init__(self, config: Config, reactor: Any) -> None:
        self.observed: Callable[[Observation], None] = lambda observation: None
        self.digested: Callable[[Digest], None] = lambda digest: None
        self.feed = OverviewFeed()
        self.open: set[Words] = set()
        self.held: set[Words] = set()
        self.gentle = False
        self.news = ""
        self.lists: dict[str, str] = {}
        self.heard = ""
        self._reactor = reactor
        self._ports: list[IListeningPort] = []
        self._drained: Deferred[int] | None = None

    def start(self) -> Deferred[None]:
        return succeed(None)

    def listen(self, sock: socket.socket) -> Callable[[], None]:
        factory = Factory.forProtocol(lambda: Words(self))
        factory.noisy = False
        port: IListeningPort = self._reactor.adoptStreamPort(sock.fileno(), sock.family, factory)
        self._ports.append(port)
        sock.close()

        def stop() -> None:
            self._ports.remove(port)
            port.stopListening()

        return stop

    def list_instances(self, service: str, instances: Sequence[Instance]) -> None:
        self.lists[service] = " ".join(instance.url for instance in instances)

    def update_instances(self, instances: Sequence[InstanceHealth]) -> None:
        self.news = " ".join(f"{instance.service} {instance.state} {instance.error}" for instance in instances)

    def update_workers(self, workers: WorkerHealth) -> None:
        pass

    def take_observation(self, observation: Observation) -> None:
        self.heard = f"{observation.service} {observation.url} {observation.event} {observation.seconds:.3f}"

    def scrape_by(self, scrape: Callable[[bool], Deferred[str]]) -> None:
        pass

    def explain(self, question: bytes) -> Deferred[bytes]:
        return succeed(b'{"outcome": "passed"}')

    def purge(self, service: str, path: bytes, query: bytes, *, below: bool) -> Deferred[int]:
        return succeed(3)

    def drain(self, seconds: float, gentle: bool) -> Deferred[int]:
        drained: Deferred[int] = Deferred()
        self._drained = drained
        self.gentle = gentle
        for port in self._ports:
            port.stopListening()
        self._reactor.callLater(seconds, self._give_up)
        self.release(None)
        return drained

    def release(self, words: Words | None) -> None:
        if words is not None:
            self.held.discard(words)
        waited_for = self.held or (self.gentle and self.open)
        if self._drained is not None and not self._drained.called and not waited_for:
            self._drained.callback(0)

    def hasten(self) -> None:
        self.gentle = False
        self.release(None)

    def _give_up(self) -> None:
        if self._drained is not None and not self._drained.called:
            self._drained.callback(len(self.held))


def main() -> None:
    mode, _, index = os.environ.get("STAND_IN", "").partition(" ")
    if mode == "crash" and index in ("", sys.argv[-1]):
        sys.exit("cannot start")
    from twisted.internet import reactor

    serve(cast(IReactor, reactor), StandIn)


if __name__ == "__main__":
    main()
