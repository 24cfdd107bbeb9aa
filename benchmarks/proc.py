"""Readings from ``/proc``: the CPU time and the memory of processes."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

PROC = Path("/proc")
TICK = 1 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@frozen
class Memory:
    """Bytes of memory of one or more processes."""

    resident: int = 0
    """RSS: every page that is mapped, shared ones in full."""
    proportional: int = 0
    """PSS: each shared page divided by the number of processes that share it; the sum over a tree is what it takes."""
    unique: int = 0
    """USS: pages that no other process has; what would be free if the process ended."""

    def __add__(self, other: Memory) -> Memory:
        return Memory(
            self.resident + other.resident, self.proportional + other.proportional, self.unique + other.unique
        )

    def __sub__(self, other: Memory) -> Memory:
        return Memory(
            self.resident - other.resident, self.proportional - other.proportional, self.unique - other.unique
        )


def _stat(pid: int) -> list[str]:
    # The second field, the command's name, is in parentheses and may hold anything: count from its end.
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def cpu_seconds(*pids: int) -> float:
    """User and system time that the processes have used so far, all their threads included (proc(5), 14 and 15)."""
    return sum(int(ticks) for pid in pids for ticks in _stat(pid)[11:13]) * TICK


def children(pid: int) -> list[int]:
    """The processes below ``pid``, at any depth, in the order of their numbers."""
    parents = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we were looking
    found: set[int] = {pid}
    grown = True
    while grown:
        below = {child for child, parent in parents.items() if parent in found} - found
        found |= below
        grown = bool(below)
    return sorted(found - {pid})


def memory(*pids: int) -> Memory:
    """The memory of the processes together, from ``smaps_rollup``."""
    total = Memory()
    for pid in pids:
        sizes: dict[str, int] = {}
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
            name, size, _unit = line.split()
            sizes[name.rstrip(":")] = int(size) * 1024
        total += Memory(sizes["Rss"], sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"])
    return total


def resident(pid: int) -> int:
    """RSS of one process in bytes; cheaper than :func:`memory`, for frequent sampling."""
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE


def forget_peak(pid: int) -> None:
    """Let :func:`peak_resident` count from now on."""
    (PROC / str(pid) / "clear_refs").write_text("5")


def peak_resident(pid: int) -> int:
    """The largest RSS in bytes since the start or :func:`forget_peak`: the kernel's own, so no spike is missed."""
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has no memory any more")
