"""The embedded Redis as the supervisor's child: a private Valkey or Redis server on a unix socket.

It keeps nothing on disk, takes no more memory than it was given, and ends with the supervisor, however that ends (see
``leash``). Where the kernel cannot see to that (macOS), the server of a supervisor that was killed stays until the next
gateway in the same run directory starts: that one tells it to leave.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from attrs import evolve
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from tracseq_gateway.config import Config
from tracseq_gateway.config.changes import shares_state
from tracseq_gateway.config.policies import Redis
from tracseq_gateway.process.backoff import Backoff
from tracseq_gateway.process.lines import LineLogger
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.redis_program import EmbeddedRedisError, arguments
from tracseq_gateway.process.run_directory import RunDirectory
from tracseq_gateway.process.worker_process import describeEnd
from tracseq_gateway.redis.connection import RedisConnection
from tracseq_gateway.redis.errors import RedisError, RedisUnavailable

LEASH: Final = (sys.executable, "-m", "tracseq_gateway.process.leash")
START_SECONDS: Final = 5.0
"""A server that does not answer after this many seconds is killed."""
PROBE_SECONDS: Final = 0.02
"""Between two questions whether it answers."""
STOP_SECONDS: Final = 0.5
"""What it gets to leave before it is killed, and what a left-over server gets."""
LONGEST_WORDS: Final = 16 * 1024
"""Bytes kept of what a server says before it answers."""

_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "TZ")
"""Variables that the server gets, and the launcher before it; secrets are not among them."""


def needs_embedded(config: Config) -> bool:
    """Tell whether the gateway has state to share, and nowhere but in a server of its own."""
    return config.redis.url == "embedded" and shares_state(config)


class RedisProcess:
    """Keeps a private server running in ``directory`` until it is stopped."""

    def __init__(self, reactor: IReactor, directory: RunDirectory, settings: Redis, program: str) -> None:
        self.pid: int | None = None
        """The process id of the server that was started last; None before the start."""
        self._reactor = reactor
        self._socket = directory.redis_socket
        self._left_over = directory.left_over
        self._program = program
        self._arguments = arguments(directory.path, self._socket, settings)
        self._factory = Factory.forProtocol(lambda: RedisConnection(reactor))
        self._factory.noisy = False
        self._log = Logger(namespace="redis")
        self._backoff = Backoff()
        self._server: _Server | None = None
        self._serving_since: float | None = None
        self._attempt: Deferred[None] | None = None
        self._pause: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None
        self._answered: Deferred[None] | None = None
        self._ended = False
        self._gone: Deferred[None] | None = None

    def named_in(self, config: Config) -> Config:
        """The configuration with this server's URL, for those who use it."""
        url = f"unix://{quote(os.fsencode(self._socket))}"
        return evolve(config, redis=evolve(config.redis, url=url))

    def start(self) -> Deferred[None]:
        """Start the server; fires when it answers.

        Fails with :class:`EmbeddedRedisError` when the first one ends or is overdue before that, or is stopped. In
        the first two cases others are tried, as after any crash.
        """
        answered = self._answered = Deferred()
        self._launch()
        return answered

    def stop(self) -> Deferred[None]:
        """Tell the server to leave, and kill it when it does not; fires when it is gone."""
        self._cease()
        gone = self._gone = Deferred()
        if self._server is None:
            gone.callback(None)
        else:
            self._server.signal("TERM")
            self._deadline = self._reactor.callLater(STOP_SECONDS, self.kill)
        return gone

    def kill(self) -> None:
        """Kill the server now; no other follows."""
        self._cease()
        if self._server is not None:
            self._server.signal("KILL")

    def _cease(self) -> None:
        """Begin nothing more."""
        self._ended = True
        self._forget_timers()
        self._give_up()
        if self._server is not None:
            self._server.leaves()
        self._fail_start("was stopped")

    def _launch(self) -> None:
        self._pause = None
        self._serving_since = None
        self._attempt = Deferred.fromCoroutine(self._begin())
        self._attempt.addCallbacks(self._serves, self._not_begun)

    async def _begin(self) -> None:
        """Start a server and wait until it answers; cancelled when it ends before."""
        await self._dismiss_left_over()
        self._spawn()
        while not await self._answers():
            await deferLater(self._reactor, PROBE_SECONDS)

    def _spawn(self) -> None:
        server = _Server(self._log, self._server_gone)
        command = [*LEASH, str(os.getpid()), "--", self._program, *self._arguments]
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        with open(os.devnull, "rb") as nothing:
            files: dict[int, int | str] = {0: nothing.fileno(), 1: "r", 2: "r"}
            process = self._reactor.spawnProcess(server, command[0], command, env=environment, childFDs=files)
        self._server = server
        self.pid = process.pid
        self._deadline = self._reactor.callLater(START_SECONDS, self._overdue)

    async def _answers(self) -> bool:
        try:
            return await self._ask(self._socket, "PING") == b"PONG"
        except (ConnectError, TimeoutError, RedisError, RedisUnavailable):
            return False

    async def _dismiss_left_over(self) -> None:
        """End the server that a gateway before us may have left; the lock says that it is nobody's."""
        while self._left_over:
            try:
                await self._ask(self._left_over[0], "SHUTDOWN", "NOSAVE")
            except (ConnectError, RedisUnavailable):
                self._left_over.pop(0)  # there was none; or it is gone, which is all that it answers
            except (TimeoutError, RedisError) as error:
                raise EmbeddedRedisError("the server of an earlier gateway does not leave") from error

    async def _ask(self, path: Path, *words: str) -> object:
        """Ask the server on a socket, and wait for its answer no longer than it gets to leave."""
        endpoint = UNIXClientEndpoint(self._reactor, str(path), timeout=STOP_SECONDS)
        connection: RedisConnection = await endpoint.connect(self._factory)
        try:
            return await connection.call(*words).addTimeout(STOP_SECONDS, self._reactor)
        finally:
            connection.end("asked")

    def _serves(self, _: None) -> None:
        assert self._server is not None
        self._attempt = None
        self._forget_timers()
        self._server.serves()
        self._serving_since = self._reactor.seconds()
        self._log.info("the embedded Redis serves (pid {pid})", pid=self.pid)
        if self._answered is not None:
            answered, self._answered = self._answered, None
            answered.callback(None)

    def _not_begun(self, failure: Failure) -> None:
        if self._attempt is not None:  # else it was given up
            self._attempt = None
            self._crashed(f"could not be started: {failure.getErrorMessage()}")

    def _give_up(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()

    def _overdue(self) -> None:
        self._deadline = None
        assert self._server is not None
        self._log.error("killed: no answer within {seconds:g} s", seconds=START_SECONDS)
        self._server.signal("KILL")

    def _server_gone(self, reason: str) -> None:
        """The server has ended, as was asked for or not."""
        self._server = None
        self._forget_timers()
        self._give_up()
        if not self._ended:
            self._crashed(reason)
        elif self._gone is not None:
            self._gone.callback(None)

    def _crashed(self, reason: str) -> None:
        since = self._serving_since
        pause = self._backoff.died(None if since is None else self._reactor.seconds() - since)
        self._log.error("the embedded Redis {reason}; starting another in {pause:g} s", reason=reason, pause=pause)
        self._pause = self._reactor.callLater(pause, self._launch)
        self._fail_start(reason)

    def _fail_start(self, reason: str) -> None:
        if self._answered is not None:
            answered, self._answered = self._answered, None
            answered.errback(EmbeddedRedisError(f"the embedded Redis {reason}"))

    def _forget_timers(self) -> None:
        for timer in (self._pause, self._deadline):
            if timer is not None and timer.active():
                timer.cancel()
        self._pause = self._deadline = None


class _Server(ProcessProtocol):
    """The process and its log.

    What it says before it answers is of use only when it never does: it is kept until then. When it was told to leave,
    its words about that are no news.
    """

    def __init__(self, log: Logger, gone: Callable[[str], None]) -> None:
        self._lines = LineLogger(log)
        self._gone = gone
        self._early = b""
        self._hear: Callable[[bytes], object] = self._keep

    def serves(self) -> None:
        """It has answered."""
        self._early = b""
        self._hear = self._lines.feed

    def leaves(self) -> None:
        """It will be told to leave."""
        self._early = b""
        self._hear = lambda data: None

    def signal(self, name: str) -> None:
        """Send it a signal."""
        assert self.transport is not None
        with suppress(ProcessExitedAlready):  # processEnded is about to say so
            self.transport.signalProcess(name)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._hear(data)

    def processEnded(self, reason: Failure) -> None:
        """It is gone, and all that it wrote is read."""
        self._lines.feed(self._early)
        self._lines.finish()
        self._gone(describeEnd(reason))

    def _keep(self, data: bytes) -> None:
        self._early = (self._early + data)[-LONGEST_WORDS:]
