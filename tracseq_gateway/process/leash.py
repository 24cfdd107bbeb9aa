"""Run a program that does not outlive its parent: ``python -m tracseq_gateway.process.leash PARENT -- PROGRAM ARG...``

``PARENT`` is the process id of who starts this. The program replaces the interpreter, so nothing of it stays. Where
the system has no prctl(2), as on macOS, the program runs without a leash.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main(arguments: Sequence[str]) -> None:
    """Become the program; exit with a sentence when that cannot be."""
    parent, _, program, *rest = arguments
    die_with_parent()
    if os.getppid() != int(parent):
        sys.exit(f"process {parent} is gone: {program} is not started")  # before the kernel knew what to do then
    # A Ctrl-C goes to the whole foreground process group, and when this program ends is for the parent to decide.
    os.setpgid(0, 0)
    try:
        os.execv(program, [program, *rest])  # noqa: S606
    except OSError as error:
        sys.exit(f"{program} cannot be started: {error.strerror}")


def die_with_parent() -> None:
    """Have the kernel kill this process, whatever program it becomes, when the thread that started it ends."""
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "prctl"):
        words = [ctypes.c_ulong(word) for word in (signal.SIGKILL, 0, 0, 0)]
        if library.prctl(_PR_SET_PDEATHSIG, *words) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


if __name__ == "__main__":
    main(sys.argv[1:])
