"""Readings from ``/proc``: who belongs to whom, and what they hold."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = 1 / os.sysconf("SC_CLK_TCK")
GONE = (FileNotFoundError, ProcessLookupError)


def _stat(pid: int) -> list[str]:
    # The second field, the command's name, is in parentheses and may hold anything: count from its end.
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def in_session(session: int, zombies: bool = False) -> list[int]:
    """The processes of a session, by number; those that have ended and wait for their parent only with ``zombies``."""
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                state, _parent, _group, of_session = _stat(int(entry.name))[:4]
            except GONE:
                continue
            if int(of_session) == session and (zombies or state not in "ZX"):
                found.append(int(entry.name))
    return sorted(found)


def zombies(session: int) -> int:
    """How many of a session have ended and were not waited for."""
    return len(in_session(session, zombies=True)) - len(in_session(session))


def command(pid: int) -> str:
    """The command line; empty if it is gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except GONE:
        return ""


@frozen
class Holding:
    """What a process holds."""

    pid: int
    resident: int
    """Bytes of memory (RSS)."""
    descriptors: int
    cpu: float
    """Seconds of CPU used so far."""


def holding(pid: int) -> Holding | None:
    """What a process holds; None if it is gone."""
    try:
        resident = int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE
        descriptors = len(os.listdir(PROC / str(pid) / "fd"))
        cpu = sum(int(ticks) for ticks in _stat(pid)[11:13]) * TICK
    except GONE:
        return None
    return Holding(pid, resident, descriptors, cpu)


def mapped(pid: int) -> int:
    """Bytes of address space of a process (VmSize)."""
    return int((PROC / str(pid) / "statm").read_text().split()[0]) * PAGE
