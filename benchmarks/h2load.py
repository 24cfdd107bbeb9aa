"""Closed-loop load by h2load, which speaks HTTP/1.1 and HTTP/2, in clear (by prior knowledge) and over TLS."""

from __future__ import annotations

import re
import subprocess

from attrs import frozen

from benchmarks.errors import BenchmarkError
from benchmarks.http_client import HEADERS_FILE, PATH, NotAnswered
from benchmarks.processes import pinned, program
from benchmarks.wrk import Load

_COUNTS = re.compile(r"^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$", re.M)
_PROTOCOL = re.compile(r"^Application protocol: (\S+)$", re.M)
_NAMES = {"http/1.1": "HTTP/1.1", "h2": "HTTP/2", "h2c": "HTTP/2"}


@frozen
class Talk:
    """How it asks: by which protocol, whether over TLS, and on how many connections so many requests at once."""

    protocol: str
    """``HTTP/1.1`` or ``HTTP/2``."""
    secure: bool = False
    connections: int = 1
    streams: int = 1


def summary(output: str, talk: Talk, seconds: float) -> Load:
    """Read what h2load printed; :exc:`BenchmarkError` for a request that was not answered with a 2xx or 3xx, or for
    another protocol than the one that was wanted."""
    counts, protocol = _COUNTS.search(output), _PROTOCOL.search(output)
    if counts is None or protocol is None:
        raise BenchmarkError(f"h2load did not connect: {output.strip()[-500:]}")
    if _NAMES.get(protocol[1]) != talk.protocol:
        raise BenchmarkError(f"h2load spoke {protocol[1]} instead of {talk.protocol}")
    done, succeeded, *failed = map(int, counts.groups())
    if not done or succeeded != done or any(failed):
        raise BenchmarkError(f"of {done} requests of h2load {succeeded} succeeded: {counts[0]}")
    return Load(done, seconds)


def _run(port: int, core: int, talk: Talk, *options: str) -> str:
    scheme = "https" if talk.secure else "http"
    command = [program("h2load", "apt-get install nghttp2-client"), f"-c{talk.connections}", f"-m{talk.streams}"]
    if talk.protocol == "HTTP/1.1":
        command.append("--h1")
    for line in HEADERS_FILE.read_text().splitlines():
        if not line.startswith("Connection:"):  # which HTTP/2 does not know, and which HTTP/1.1 does not need
            command += ["-H", line]
    command += [*options, f"{scheme}://127.0.0.1:{port}{PATH}"]
    with pinned(core):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise BenchmarkError(f"h2load ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def h2load(port: int, core: int, talk: Talk, seconds: int) -> Load:
    """Load 127.0.0.1:``port``."""
    return summary(_run(port, core, talk, f"-D{seconds}"), talk, seconds)


def ask_once(port: int, core: int, talk: Talk) -> None:
    """Ask once on one connection; :exc:`NotAnswered` if that does not succeed."""
    once = Talk(talk.protocol, talk.secure)
    try:
        summary(_run(port, core, once, "-n1"), once, 1)
    except BenchmarkError as error:
        raise NotAnswered(str(error)) from error
