"""Closed-loop load by wrk: each client sends its next request when its last is answered."""

from __future__ import annotations

import json
import subprocess

from attrs import frozen

from benchmarks.contestants import CONF, program
from benchmarks.errors import BenchmarkError
from benchmarks.http_client import HEADERS_FILE, PATH
from benchmarks.processes import pinned

ERRORS = ("connect", "read", "write", "status", "timeout")


@frozen
class Load:
    """What was answered, whole and with a 2xx or 3xx, in how many seconds."""

    requests: int
    seconds: float


def summary(output: str) -> Load:
    """Read what ``browser.lua`` printed last; an error that wrk counted raises :exc:`BenchmarkError`."""
    figures = json.loads(output.strip().rpartition("\n")[2])
    failed = {name: figures[name] for name in ERRORS if figures[name]}
    if failed or not figures["requests"]:
        raise BenchmarkError(f"of {figures['requests']} requests not all succeeded: {failed}")
    return Load(figures["requests"], figures["seconds"])


def wrk(port: int, core: int, *, clients: int, seconds: int, routes: int = 1, varied: bool = False) -> Load:
    """Load 127.0.0.1:``port`` from one thread with ``clients`` keep-alive connections, spread over the routes.

    ``varied``: no two of 512 requests in a row have the same path, query, Referer and trace id.
    """
    command = [program("wrk", "apt-get install wrk"), "-t1", f"-c{clients}", f"-d{seconds}s"]
    command += ["--timeout", "10s", "-s", str(CONF / "browser.lua"), f"http://127.0.0.1:{port}{PATH}"]
    with pinned(core):
        done = subprocess.run(
            [*command, "--", str(HEADERS_FILE), str(routes), "varied" if varied else "same"],
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=False,
        )
    if done.returncode != 0:
        raise BenchmarkError(f"wrk ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return summary(done.stdout)
