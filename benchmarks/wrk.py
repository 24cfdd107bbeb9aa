"""Closed-loop load by wrk: each client sends its next request when its last is answered."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Literal

from attrs import frozen

from benchmarks.contestants import CONF
from benchmarks.errors import BenchmarkError
from benchmarks.http_client import HEADERS_FILE, PATH
from benchmarks.processes import pinned, program

ERRORS = ("connect", "read", "write", "status", "timeout")
THREADS = 16


@frozen
class Shape:
    """What is asked, and by whom."""

    kind: Literal["same", "varied", "users", "sessions"] = "same"
    """The same bytes in every request; or no two of 512 in a row with the same path, query, Referer and trace id; or
    each client on its connections with the same token, of up to 16; or each request with the next token."""
    path: str = PATH
    routes: int = 1
    """Over how many routes "same" is spread."""
    tokens: Path | None = None
    """A file with a token on each line, for "users" and "sessions"."""
    refused: bool = False
    """Whether refusals are what is wanted."""


SAME = Shape()
VARIED = Shape("varied")


@frozen
class Load:
    """What was answered, whole and with a 2xx or 3xx (or, where that is wanted, with a refusal), in how many
    seconds."""

    requests: int
    seconds: float


def summary(output: str, refused: bool = False) -> Load:
    """Read what ``browser.lua`` printed last; an error that wrk counted raises :exc:`BenchmarkError`.

    With ``refused`` an answer that is not a refusal is the error.
    """
    figures = json.loads(output.strip().rpartition("\n")[2])
    if refused:
        figures["status"] = figures["requests"] - figures["status"]
    failed = {name: figures[name] for name in ERRORS if figures[name]}
    if failed or not figures["requests"]:
        wanted = "were refused" if refused else "succeeded"
        raise BenchmarkError(f"of {figures['requests']} requests not all {wanted}: {failed}")
    return Load(figures["requests"], figures["seconds"])


def wrk(port: int, core: int, *, clients: int, seconds: int, shape: Shape = SAME, secure: bool = False) -> Load:
    """Load 127.0.0.1:``port`` with ``clients`` keep-alive connections, ``secure`` ones over TLS."""
    threads = min(THREADS, clients) if shape.kind == "users" else 1
    command = [program("wrk", "apt-get install wrk"), f"-t{threads}", f"-c{clients}", f"-d{seconds}s"]
    command += ["--timeout", "10s", "-s", str(CONF / "browser.lua")]
    command.append(f"{'https' if secure else 'http'}://127.0.0.1:{port}{shape.path}")
    command += ["--", str(HEADERS_FILE), str(shape.routes), shape.kind]
    if shape.tokens is not None:
        command.append(str(shape.tokens))
    with pinned(core):
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"wrk ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return summary(done.stdout, shape.refused)
