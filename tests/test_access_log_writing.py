"""Writing the access log: to files and pipes, with faults, and without ever keeping anybody waiting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.test_access_log import ended
from tracseq_gateway.access_log.log import open_access_log, target_of
from tracseq_gateway.access_log.targets import ATOMIC, LogFile, Lost, StandardOutput
from tracseq_gateway.access_log.writer import (
    BATCH_BYTES,
    BATCH_SECONDS,
    MOST_BYTES,
    REPORT_SECONDS,
    STOP_SECONDS,
    LogWriter,
)
from tracseq_gateway.config.logs import AccessLog as Settings

ROOT = Path(__file__).parent.parent


class LogFileTests(SynchronousTestCase):
    """``LogFile`` and what it writes with."""

    def setUp(self) -> None:
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.path = Path(made.name) / "access.log"
        self.now = 100.0
        self.target = LogFile(str(self.path), lambda: self.now)

    def test_appends(self) -> None:
        """Lines are appended to what is there, and the file is not for everybody."""
        self.path.write_text("before\n")
        self.assertIsNone(self.target.write(["one\n", "two\n"]))
        self.assertEqual("before\none\ntwo\n", self.path.read_text())
        self.path.unlink()
        self.now += 1
        self.target.write(["three\n"])
        self.assertEqual(0, self.path.stat().st_mode & 0o007)

    def test_rotated(self) -> None:
        """After a rename lines go to a new file within a second, and until then to the renamed one: none is lost."""
        old = self.path.with_suffix(".1")
        self.target.write(["one\n"])
        self.path.rename(old)
        self.target.write(["two\n"])
        self.now += 1
        self.target.write(["three\n"])
        self.assertEqual("one\ntwo\n", old.read_text())
        self.assertEqual("three\n", self.path.read_text())

    def test_rotatedByName(self) -> None:
        """A new file that somebody else has put in its place is taken."""
        self.target.write(["one\n"])
        self.path.rename(self.path.with_suffix(".1"))
        self.path.write_text("")
        self.now += 1
        self.target.write(["two\n"])
        self.assertEqual("two\n", self.path.read_text())

    def test_descriptors(self) -> None:
        """A rotated file is closed."""
        self.target.write(["one\n"])
        before = len(os.listdir("/proc/self/fd"))
        for number in range(5):
            self.path.rename(self.path.with_suffix(f".{number}"))
            self.now += 1
            self.target.write(["two\n"])
        self.assertEqual(before, len(os.listdir("/proc/self/fd")))

    def test_noDirectory(self) -> None:
        """A file that cannot be opened loses lines, says why, and is tried again."""
        self.path.parent.chmod(0o700)
        target = LogFile(str(self.path.parent / "later" / "access.log"))
        self.assertEqual(
            Lost(1, f"{self.path.parent}/later/access.log: No such file or directory"), target.write(["1\n"])
        )
        (self.path.parent / "later").mkdir()
        self.assertIsNone(target.write(["2\n"]))

    def test_full(self) -> None:
        """A full disk loses lines and raises nothing."""
        self.assertEqual(Lost(2, "/dev/full: No space left on device"), LogFile("/dev/full").write(["1\n", "2\n"]))

    def test_torn(self) -> None:
        """A line that was cut by a full disk is counted as lost, and the next begins on a line of its own."""
        program = """
import resource, signal, sys
from tracseq_gateway.access_log.targets import LogFile
target = LogFile(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
print(target.write(["12345\\n", "67890\\n", "abc\\n"]))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(target.write(["def\\n"]))
"""
        done = subprocess.run([sys.executable, "-c", program, self.path], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(f"Lost(lines=2, reason='{self.path}: File too large')\nNone\n", done.stdout, done.stderr)
        self.assertEqual("12345\n6789\ndef\n", self.path.read_text())

    def test_fifo(self) -> None:
        """Into a pipe, lines go in pieces that do not mix with those of other workers."""
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        lines = [f"{number:0{ATOMIC // 3}}\n" for number in range(5)]
        self.assertIsNone(self.target.write(lines))
        self.assertEqual("".join(lines).encode(), os.read(reader, 1 << 16))

    def test_workers(self) -> None:
        """Several processes write into one file and into one pipe, and every line arrives whole."""
        program = """
import sys
from tracseq_gateway.access_log.targets import LogFile, StandardOutput
target = StandardOutput() if sys.argv[1] == "-" else LogFile(sys.argv[1])
for batch in range(30):
    lines = [sys.argv[2] * 299 + chr(10) for line in range(70)]
    lost = target.write(lines)
    assert lost is None, lost
"""
        for name in (str(self.path), "-"):
            read, write = os.pipe()
            workers = [
                subprocess.Popen([sys.executable, "-c", program, name, letter], cwd=ROOT, stdout=write)
                for letter in "xyz"
            ]
            os.close(write)
            with open(read, "rb") as pipe:
                written = pipe.read() if name == "-" else b""
            self.assertEqual([0, 0, 0], [worker.wait() for worker in workers])
            lines = (written or self.path.read_bytes()).splitlines()
            self.assertEqual(3 * 30 * 70, len(lines))
            self.assertEqual({letter * 299 for letter in (b"x", b"y", b"z")}, set(lines))


class StandardOutputTests(SynchronousTestCase):
    """``StandardOutput``, in a process whose standard output is what the test wants."""

    def run_with(self, stdout: int | None, program: str) -> str:
        """Run a program; what it says on standard error."""
        setup = "import os, sys\nfrom tracseq_gateway.access_log.targets import StandardOutput\n"
        command = [sys.executable, "-c", setup + program]
        if stdout is None:
            command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
        done = subprocess.run(command, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=20)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stderr

    def test_closed(self) -> None:
        """A standard output that is closed loses lines, and no file that got its number is written to."""
        said = self.run_with(
            None,
            "target = StandardOutput()\n"
            "other = os.memfd_create('other')\n"
            "print(target.write(['1\\n']), os.fstat(other).st_size, file=sys.stderr)",
        )
        self.assertEqual("Lost(lines=1, reason='standard output is closed') 0\n", said)

    def test_noReader(self) -> None:
        """A pipe whose reader has gone loses lines."""
        read, write = os.pipe()
        os.close(read)
        self.addCleanup(os.close, write)
        said = self.run_with(write, "print(StandardOutput().write(['1\\n']), file=sys.stderr)")
        self.assertEqual("Lost(lines=1, reason='standard output: Broken pipe')\n", said)

    def test_nonBlocking(self) -> None:
        """A pipe that somebody has set to non-blocking and that is full is waited for, not given up."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        os.set_blocking(write, False)
        child = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys\nfrom tracseq_gateway.access_log.targets import StandardOutput\n"
                "sys.exit(StandardOutput().write(['x' * 99 + chr(10)] * 3000) is not None)",
            ],
            cwd=ROOT,
            stdout=write,
        )
        os.close(write)
        received = b""
        while piece := os.read(read, 1 << 16):
            received += piece
        self.assertEqual(0, child.wait())
        self.assertEqual(300_000, len(received))


class MemoryTarget:
    """Takes batches when the test lets it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.lost: Lost | None = None

    def write(self, lines: Sequence[str]) -> Lost | None:
        self.batches.append(list(lines))
        return self.lost


class ThreadClock(Clock):
    """A clock that is also called from a thread, which is this one."""

    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        call(*args)


class LogWriterTests(SynchronousTestCase):
    """``LogWriter``, with time and the other thread in our hands."""

    def setUp(self) -> None:
        self.clock = ThreadClock()
        self.target = MemoryTarget()
        self.jobs: list[Callable[[], None]] = []
        self.told: list[int] = []
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.seen = 0
        self.logged = stack.enter_context(capturedLogs())
        self.writer = LogWriter(cast(Any, self.clock), self.target, self.told.append, self.jobs.append)

    def work(self) -> None:
        """Let the other thread do one job."""
        self.jobs.pop(0)()

    def reports(self) -> list[str]:
        """What was logged since it was asked last: the number of lost lines, and why."""
        news, self.seen = self.logged[self.seen :], len(self.logged)
        return [f"{event['lines']}: {event['reason']}" for event in news]

    def test_batch(self) -> None:
        """Lines of a fraction of a second are written together, in their order."""
        for number in range(3):
            self.writer.write(f"{number}\n")
        self.assertEqual([], self.jobs)
        self.clock.advance(BATCH_SECONDS)
        self.work()
        self.assertEqual([["0\n", "1\n", "2\n"]], self.target.batches)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_large(self) -> None:
        """A batch that is large enough does not wait."""
        self.writer.write("x" * BATCH_BYTES + "\n")
        self.work()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_oneAtATime(self) -> None:
        """While a batch is being written the next collects; it goes when there is room, at its time or when large."""
        self.writer.write("x" * BATCH_BYTES + "\n")
        self.writer.write("small\n")
        self.clock.advance(BATCH_SECONDS)
        self.assertEqual(1, len(self.jobs))
        self.work()
        self.assertEqual([], self.jobs)
        self.clock.advance(BATCH_SECONDS)
        self.work()
        self.assertEqual(["small\n"], self.target.batches[1])

    def test_blocked(self) -> None:
        """With a target that blocks, a bounded number of bytes waits; the rest is dropped, counted and told."""
        line = "x" * 999 + "\n"
        for _ in range(2000):
            self.writer.write(line)
        waiting = MOST_BYTES // 1000
        first = -(-BATCH_BYTES // 1000)
        self.assertEqual(2000 - waiting - first, self.writer.dropped)
        self.assertEqual(self.writer.dropped, sum(self.told))
        self.work()
        self.work()
        self.assertEqual(waiting, len(self.target.batches[1]))

    def test_reported(self) -> None:
        """Losses are logged when they begin, and then once a minute with their number, as long as there are any."""
        self.target.lost = Lost(1, "/log: No space left on device")
        for _ in range(3):
            self.writer.write("1\n")
            self.clock.advance(BATCH_SECONDS)
            self.work()
        self.assertEqual(["1: /log: No space left on device"], self.reports())
        self.clock.advance(REPORT_SECONDS)
        self.assertEqual(["2: /log: No space left on device"], self.reports())
        self.clock.advance(REPORT_SECONDS)
        self.assertEqual([], self.reports())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_stop(self) -> None:
        """A stop writes all that waits, also behind a batch that is being written."""
        self.writer.write("x" * BATCH_BYTES + "\n")
        self.writer.write("last\n")
        stopped = self.writer.stop()
        self.work()
        self.assertNoResult(stopped)
        self.work()
        self.successResultOf(stopped)
        self.assertEqual(["last\n"], self.target.batches[1])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_stopIdle(self) -> None:
        """With nothing to write a stop is done at once; lines that still come are lost, and that is all."""
        self.successResultOf(self.writer.stop())
        self.writer.write("late\n")
        self.assertEqual(1, self.writer.dropped)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_stopBlocked(self) -> None:
        """A stop does not wait long for a target that blocks, and says what that cost."""
        self.writer.write("x" * BATCH_BYTES + "\n")
        self.writer.write("last\n")
        stopped = self.writer.stop()
        self.clock.advance(STOP_SECONDS)
        self.successResultOf(stopped)
        self.assertEqual(["2: they could not be written before the end"], self.reports())
        self.work()
        self.assertEqual([], self.jobs)
        self.assertEqual([], self.clock.getDelayedCalls())


class ThreadTests(SynchronousTestCase):
    """The log as it is opened, with its real thread and real files; the reactor's time is in our hands."""

    def setUp(self) -> None:
        self.clock = ThreadClock()
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.path = Path(made.name) / "access.log"

    def wait(self, condition: Callable[[], object]) -> None:
        """Until the other thread has done something."""
        deadline = time.monotonic() + 10
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)

    def test_file(self) -> None:
        """A request's line is in the file once the batch is written, and a stop finishes."""
        log = open_access_log(Settings(str(self.path)), {}, cast(Any, self.clock))
        assert log is not None
        log.record(ended(), 1767323045.5, 0.1)
        stopped = log.stop()
        self.wait(lambda: stopped.called)
        self.assertEqual("/samples/1", json.loads(self.path.read_text())["path"])

    def test_blockedPipe(self) -> None:
        """A pipe that nobody reads keeps nobody waiting, neither a request nor the end of the process."""
        read, write = os.pipe()
        program = """
import sys
from twisted.internet import reactor
from tracseq_gateway.access_log.targets import StandardOutput
from tracseq_gateway.access_log.writer import LogWriter
writer = LogWriter(reactor, StandardOutput())
def fill():
    for _ in range(30_000):
        writer.write("x" * 99 + chr(10))
    writer.stop().addCallback(lambda _: reactor.stop())
reactor.callWhenRunning(fill)
reactor.run()
print(writer.dropped, file=sys.stderr)
"""
        with open(read, "rb"):
            done = subprocess.run(
                [sys.executable, "-c", program], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, timeout=20
            )
            os.close(write)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertGreater(int(done.stderr), 15_000)

    def test_off(self) -> None:
        """There is no log when it is off."""
        self.assertIsNone(open_access_log(Settings("off"), {}, cast(Any, self.clock)))
        self.assertIsInstance(target_of("stdout"), StandardOutput)
