"""The directory in which the workers of one gateway share what they measure.

prometheus-client writes each process's values to files there, named by metric type and process id, and whoever is asked
for the page adds all of them up. The supervisor makes the directory, and folds the files of dead workers together (see
``process.metrics_directory``); the lock keeps that apart from reading, so that no value is counted twice or missed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Names the directory in a worker's environment. prometheus-client looks for it once, when it is first imported."""


def shared_directory() -> str | None:
    """The directory that this process was given; None when what it measures is its own."""
    return os.environ.get(VARIABLE)


@contextmanager
def reading(directory: str) -> Iterator[None]:
    """Keep the directory's files from being folded meanwhile; waits for a fold that is going on."""
    with _locked(directory, fcntl.LOCK_SH):
        yield


@contextmanager
def folding(directory: str) -> Iterator[None]:
    """Keep readers out meanwhile. Never waits: raises BlockingIOError while somebody reads."""
    with _locked(directory, fcntl.LOCK_EX | fcntl.LOCK_NB):
        yield


@contextmanager
def _locked(directory: str, how: int) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
