"""The gateway as an operator runs it: twistd, workers, a service behind them, and signals."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.process_kit import freePort

ROOT = Path(__file__).parent.parent
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")


class Upstream(Factory):
    """A service: ``hold`` is answered when the test says so, all else at once."""

    noisy = False

    def __init__(self) -> None:
        self.open: set[UpstreamConnection] = set()
        self.held: list[UpstreamConnection] = []

    def buildProtocol(self, addr: IAddress | None) -> UpstreamConnection:
        return UpstreamConnection(self)

    def release(self) -> None:
        """Answer all that is held."""
        while self.held:
            self.held.pop().answer(b"held")


class UpstreamConnection(Protocol):
    """A connection to the service, which knows requests without a body."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._head = b""

    def connectionMade(self) -> None:
        self._upstream.open.add(self)

    def connectionLost(self, reason: object = None) -> None:
        self._upstream.open.remove(self)

    def dataReceived(self, data: bytes) -> None:
        self._head += data
        if self._head.endswith(b"\r\n\r\n"):
            path, self._head = self._head.split()[1], b""
            if path.endswith(b"/hold"):
                self._upstream.held.append(self)
            else:
                self.answer(b"answered")

    def answer(self, body: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


class Fetch(Protocol):
    """One request on a connection that is closed after the answer."""

    def __init__(self, path: str) -> None:
        self.answer: Deferred[bytes] = Deferred()
        self._path = path
        self._received = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(f"GET {self._path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())

    def dataReceived(self, data: bytes) -> None:
        self._received += data

    def connectionLost(self, reason: object = None) -> None:
        self.answer.callback(self._received)


class GatewayTests(TestCase):
    """Each test has a gateway of its own, in a process group of its own."""

    timeout = 40

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor = cast(Any, reactor)
        self.upstream = Upstream()
        listening = self.reactor.listenTCP(0, self.upstream, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.port = freePort()
        self.config = self.folder / "gateway.toml"
        self.config.write_text(
            f'[gateway]\nhost = "127.0.0.1"\nport = {self.port}\nworkers = 1\ndrain_seconds = 10\n'
            f'[services.samples]\nprefix = "/samples"\ninstances = ["http://127.0.0.1:{listening.getHost().port}"]\n'
        )

    def twistd(self, *arguments: str, **environ: str) -> None:
        """Start twistd in a folder of its own; its output goes to a file there."""
        with (self.folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [*TWISTD, *arguments],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.addCleanup(self.clear)

    async def clear(self) -> None:
        """Leave nothing behind, whatever the test came to."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

        async def closed() -> bool:
            return not self.upstream.open

        await self.until(closed)

    def killDaemon(self, pid: Path) -> None:
        """Leave no daemon behind, if a test left its pid file."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGKILL)

    def output(self) -> str:
        return (self.folder / "output").read_text()

    async def start(self) -> None:
        """Start a gateway in the foreground, and wait until it serves."""
        self.twistd("-n", "--pidfile=", "tracseq-gateway", "--config", str(self.config))
        await self.until(self.serves)
        # The worker may answer before the supervisor has written down that it serves.
        await self.until(self.printed("worker 0 serves"))

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds: float = 15.0) -> None:
        """Wait for something that no event tells us."""
        deadline = self.reactor.seconds() + seconds
        while not await condition():
            self.assertLess(self.reactor.seconds(), deadline, "waited in vain")
            await deferLater(self.reactor, 0.02)

    async def serves(self) -> bool:
        """Whether a request reaches the service."""
        try:
            return await self.get("/samples/any") == b"answered"
        except ConnectError:
            return False

    async def refuses(self) -> bool:
        """Whether nobody listens."""
        try:
            await self.get("/health")
        except ConnectError:  # refused, or reset when the socket closes upon us
            return True
        return False

    def printed(self, text: str, times: int = 1) -> Callable[[], Awaitable[bool]]:
        """Whether the log has a text so many times."""

        async def condition() -> bool:
            return self.output().count(text) >= times

        return condition

    async def ended(self) -> bool:
        """Whether twistd has ended."""
        return self.process.poll() is not None

    async def alone(self) -> bool:
        """Whether no process of the gateway's group is left."""
        return self.group() == []

    def group(self, session: int | None = None) -> list[int]:
        """All living processes of a session, by default the gateway's."""
        living = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it ends while we look
                # proc(5): after the name in parentheses come state, parent, process group and session.
                state, _, _, belongs = entry.read_text().rpartition(")")[2].split()[:4]
                if state != "Z" and int(belongs) == (session or self.process.pid):
                    living.append(int(entry.parent.name))
        return living

    def worker(self) -> int:
        """The process id of the worker."""
        (pid,) = [int(pid) for pid in re.findall(r"worker 0 serves \(pid ([0-9]+)\)", self.output())][-1:]
        return pid

    async def get(self, path: str) -> bytes:
        """The body of an answer, on a connection of its own; empty when the connection was closed without one."""
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.port, 5)
        fetch: Fetch = await connectProtocol(endpoint, Fetch(path))
        return (await fetch.answer).partition(b"\r\n\r\n")[2]

    async def hold(self) -> Deferred[bytes]:
        """Send a request and wait until it has reached the service; fires with the answer."""
        held = Deferred.fromCoroutine(self.get("/samples/hold"))

        async def arrived() -> bool:
            return bool(self.upstream.held)

        await self.until(arrived)
        return held

    async def test_killedWorker(self) -> None:
        """A killed worker is replaced at once; who connects in between is served by the successor."""
        await self.start()
        victim = self.worker()
        killed = self.reactor.seconds()
        os.kill(victim, signal.SIGKILL)
        self.assertEqual(b"answered", await self.get("/samples/any"))
        self.assertLess(self.reactor.seconds() - killed, 3.0)  # it takes less than one on a machine at rest

        async def replaced() -> bool:  # the log follows the event
            return self.worker() != victim

        await self.until(replaced)
        self.assertIn("worker 0 was killed by SIGKILL", self.output())

    async def test_terminate(self) -> None:
        """SIGTERM refuses new connections, finishes the open request, and ends with status 0 and no process."""
        await self.start()
        held = await self.hold()
        self.process.terminate()
        await self.until(self.refuses)
        self.assertNoResult(held)
        self.upstream.release()
        self.assertEqual(b"held", await held)
        await self.until(self.ended)
        self.assertEqual((0, []), (self.process.returncode, self.group()))
        self.assertIn("stopped: 0 requests were cut", self.output())

    async def test_interrupt(self) -> None:
        """A Ctrl-C, which all processes get, ends them within three seconds, though a request is open."""
        await self.start()
        held = await self.hold()
        interrupted = self.reactor.seconds()
        os.killpg(self.process.pid, signal.SIGINT)
        await self.until(self.ended)
        self.assertLess(self.reactor.seconds() - interrupted, 3.0)
        self.assertEqual((0, []), (self.process.returncode, self.group()))
        self.assertEqual(b"", await held)
        self.assertIn("stopped: 1 requests were cut", self.output())
        self.assertNotIn("Traceback", self.output())

    async def test_interruptTwice(self) -> None:
        """A second Ctrl-C does not wait for the open request."""
        await self.start()
        held = await self.hold()
        self.process.terminate()
        await self.until(self.refuses)
        for count in (1, 2):
            os.killpg(self.process.pid, signal.SIGINT)
            await self.until(self.printed("SIGINT: stopping", count))
        self.assertEqual(b"", await held)
        await self.until(self.ended)
        self.assertEqual((0, []), (self.process.returncode, self.group()))
        self.assertIn("those of 1 workers that had to be killed", self.output())

    async def test_terminateAll(self) -> None:
        """A SIGTERM to all processes, as a service manager may send it, finishes the open request as well."""
        await self.start()
        held = await self.hold()
        os.killpg(self.process.pid, signal.SIGTERM)
        await self.until(self.refuses)
        self.upstream.release()
        self.assertEqual(b"held", await held)
        await self.until(self.ended)
        self.assertEqual((0, []), (self.process.returncode, self.group()))
        self.assertIn("stopped: 0 requests were cut", self.output())

    async def test_orphan(self) -> None:
        """A worker whose supervisor is killed stops to accept, finishes the open request, and leaves."""
        await self.start()
        held = await self.hold()
        self.process.kill()
        await self.until(self.refuses)
        self.assertNoResult(held)
        self.upstream.release()
        self.assertEqual(b"held", await held)
        await self.until(self.alone)

    async def test_background(self) -> None:
        """In the background the log is twistd's file, the workers' lines are in it, and a stop removes the pid file."""
        pid, log = self.folder / "pid", self.folder / "log"
        self.addCleanup(self.killDaemon, pid)
        self.twistd(f"--pidfile={pid}", f"--logfile={log}", "tracseq-gateway", "--config", str(self.config))
        await self.until(self.serves)
        self.assertEqual(0, self.process.wait())

        async def written() -> bool:
            return "[worker 0#info]" in log.read_text()

        await self.until(written)  # the worker may answer before
        daemon = int(pid.read_text())
        session = os.getsid(daemon)
        os.kill(daemon, signal.SIGTERM)

        async def ended() -> bool:
            return self.group(session) == []

        await self.until(ended)
        self.assertFalse(pid.exists())
        self.assertIn("Server Shut Down", log.read_text())

    async def test_tac(self) -> None:
        """``twistd -y`` starts the same service, from the file that the environment names."""
        tac = str(ROOT / "tac" / "gateway.tac")
        self.twistd("-n", "--pidfile=", "-y", tac, TRACSEQ_GATEWAY_CONFIG=str(self.config))
        await self.until(self.serves)
        self.process.terminate()
        await self.until(self.ended)
        self.assertEqual(0, self.process.returncode)

    async def test_refusals(self) -> None:
        """A taken port and a wrong file end with status 1 and a line, and without a traceback."""
        with socket.create_server(("127.0.0.1", self.port)):
            self.twistd("-n", "--pidfile=", "tracseq-gateway", "--config", str(self.config))
            await self.until(self.ended)
        taken = f"cannot listen on 127.0.0.1 port {self.port}: the port is taken by another program"
        self.assertEqual((1, f"tracseq-gateway: {taken}\n"), (self.process.returncode, self.output()))
        self.config.write_text("[gateway]\nprot = 1\n")
        self.twistd("-n", "--pidfile=", "tracseq-gateway", "--config", str(self.config))
        await self.until(self.ended)
        self.assertEqual((1, 1), (self.process.returncode, self.output().count("\n")))
        self.assertIn(f"{self.config}:2: gateway.prot: ", self.output())
