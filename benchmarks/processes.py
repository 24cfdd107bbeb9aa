"""Child processes: each on its core, gone at the end of its ``with`` block however that ends."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import field, frozen

from benchmarks.errors import BenchmarkError
from benchmarks.http_client import NotAnswered, ask

START_SECONDS = 20.0
STOP_SECONDS = 10.0
INHERITED = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")
"""What children get of our environment: not ``PORT`` and the like, which would override the gateway's file."""


@frozen
class Cores:
    """Which core is whose."""

    proxy: int
    load: int

    @classmethod
    def pick(cls) -> Cores:
        """Take the last two cores that this process may use; the first ones get most of the machine's interrupts."""
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            raise BenchmarkError("two CPU cores are needed: one for the proxy, one for load and service")
        return cls(proxy=allowed[-1], load=allowed[-2])


@frozen
class Launch:
    """How a server process is started. ``environment`` is added to :data:`INHERITED`."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(factory=dict)


def program(name: str, remedy: str) -> str:
    """The path of an installed program, looked for beside the interpreter first; else a BenchmarkError."""
    places = [sysconfig.get_path("scripts"), os.environ.get("PATH", ""), "/usr/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise BenchmarkError(f"{name} is not installed: {remedy}")
    return found


def raise_descriptor_limit() -> int:
    """Let this process and its children open as many files as the hard limit allows; return that number."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run this thread, and start children, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def serving(launch: Launch, core: int, port: int, path: str, scratch: Path, token: str | None = None) -> Iterator[int]:
    """Run a server on ``core``, from its first 200 for ``path`` on ``port``; gives its process id.

    ``token`` stands for the browser's own.
    """

    def probe() -> None:
        ask(port, path, token=token, timeout=1.0)

    with started(launch, core, scratch, probe, f"127.0.0.1:{port}{path}") as pid:
        yield pid


@contextmanager
def started(launch: Launch, core: int, scratch: Path, probe: Callable[[], object], where: str) -> Iterator[int]:
    """Run a server on ``core``, from when ``probe`` first returns instead of raising; gives its process id.

    Its output goes to a file in ``scratch``, and the end of that into the :exc:`BenchmarkError` if it does not start.
    """
    log = scratch / f"{launch.name}.log"
    with log.open("wb") as output, pinned(core):
        # A session of its own: Ctrl-C reaches us only, and we stop it in order; and its group takes in its workers.
        process = subprocess.Popen(
            launch.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            env={name: os.environ[name] for name in INHERITED if name in os.environ} | launch.environment,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(process, probe, f"{launch.name} does not answer on {where}", log)
        yield process.pid
    finally:
        _stop(process)


def _wait_until_it_answers(
    process: subprocess.Popen[bytes], probe: Callable[[], object], problem: str, log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    reason = "nothing was tried"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            reason = f"it ended with code {process.returncode}"
            break
        try:
            probe()
            return
        except (OSError, NotAnswered) as error:
            reason = str(error) or type(error).__name__
        time.sleep(0.05)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise BenchmarkError(f"{problem}: {reason}; its output ends:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Whoever is left in its group, itself included, has had its time.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
