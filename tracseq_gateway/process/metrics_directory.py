"""The directory of the workers' metrics, as the supervisor keeps it: private, wiped, and not growing."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from tracseq_gateway.metrics import sheet
from tracseq_gateway.metrics.shared import VARIABLE, folding

FOLDED = ("counter", "histogram")
"""The types of metrics whose values outlive their worker: a total that went down would look like a restart."""


PREFIX = "tracseq-gateway-metrics-"
"""Of temporary directories; what follows is the process id of whose it is."""


def _sweep() -> None:
    """Remove what gateways have left behind that were killed."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid = directory.name.removeprefix(PREFIX).partition("-")[0]
        with suppress(OSError):
            if pid.isdigit() and directory.stat().st_uid == os.geteuid() and not os.path.exists(f"/proc/{pid}"):
                shutil.rmtree(directory)


class MetricsDirectory:
    """A directory for one run of the gateway, for its user alone.

    prometheus-client maps the files in it into memory, so it is best in a file system that is memory too, as run
    directories are.
    """

    def __init__(self, parent: str | None = None) -> None:
        """Make it empty: ``metrics`` in ``parent``, which is private too, or a temporary directory.

        What a killed run has left in ``parent`` is wiped. Raises OSError, for one if ``parent`` is not there.
        """
        self._unfolded: list[int] = []
        """The dead whose totals are still in files of their own."""
        if parent is None:
            _sweep()
            self.path = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")
        else:
            self.path = os.path.join(parent, "metrics")
            with suppress(FileNotFoundError):
                shutil.rmtree(self.path)
            os.mkdir(self.path, 0o700)

    @property
    def environment(self) -> dict[str, str]:
        """What a worker's environment must say from its start."""
        return {VARIABLE: self.path}

    def bury(self, pid: int) -> None:
        """A worker is dead: remove its gauges, and add its totals to those of the dead before it.

        While a page is being read, the totals stay where they are until :meth:`fold` is called; they count all the
        same. Never waits. Raises OSError when the file system fails.
        """
        self._unfolded.append(pid)
        for file in Path(self.path).glob(f"gauge_*_{pid}.db"):
            file.unlink()
        self.fold()

    def fold(self) -> None:
        """Do for the dead what is still to be done, unless a page is being read. Raises OSError as above."""
        with suppress(BlockingIOError), folding(self.path):
            while self._unfolded:
                pid = self._unfolded.pop()
                sheet.bury(self.path, pid)
                for kind in FOLDED:
                    self._fold(kind, pid)

    def remove(self) -> None:
        """Remove it with all that is in it; nothing happens if somebody has done so."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path)

    def _fold(self, kind: str, pid: int) -> None:
        from prometheus_client.mmap_dict import MmapedDict

        dead = os.path.join(self.path, f"{kind}_{pid}.db")
        if not os.path.exists(dead):
            return
        if os.path.getsize(dead):  # else it was killed before it could write
            total = MmapedDict(os.path.join(self.path, f"{kind}_dead.db"))
            for key, value, _, _ in MmapedDict.read_all_values_from_file(dead):
                total.write_value(key, total.read_value(key)[0] + value, 0.0)
            total.close()
        os.unlink(dead)
