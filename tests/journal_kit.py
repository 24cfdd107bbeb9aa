"""A real systemd-journald for tests, in a mount namespace where /run is a directory of the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

JOURNALD: Final = "/lib/systemd/systemd-journald"

_START: Final = """
set -e
mount --bind "$1" /run
mkdir -p /run/systemd/journald.conf.d
cat > /run/systemd/journald.conf.d/test.conf <<END
[Journal]
Storage=volatile
ReadKMsg=no
Audit=no
RateLimitIntervalSec=0
END
exec "$2"
"""


def missing() -> str:
    """Why no journald can be started here; empty when one can."""
    if not Path(JOURNALD).exists() or shutil.which("journalctl") is None:
        return "no systemd-journald (Debian: apt-get install systemd)"
    if os.geteuid() != 0:
        return "only root may give journald a /run of its own"
    return ""


class RealJournal:
    """Listens at ``socket`` until :meth:`stop`."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="journal-"))
        self.socket = str(self.directory / "systemd" / "journal" / "socket")
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _START, "sh"]
        self.process = subprocess.Popen([*command, str(self.directory), JOURNALD], stderr=subprocess.PIPE)
        try:
            self.until(lambda: Path(self.socket).exists())
        except AssertionError:
            self.stop()
            raise

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """All entries with these fields (``NAME=value``), as ``journalctl`` shows them; bytes are lists of numbers."""
        command = ["journalctl", f"--directory={self.directory}/log/journal", "--output=json", "--all", "--quiet"]
        done = subprocess.run([*command, *matches], capture_output=True, text=True, check=False)
        # While a file is being made or closed, journalctl may fail or be empty: who waits for an entry asks again.
        return [json.loads(line) for line in done.stdout.split("\n") if line] if done.returncode == 0 else []

    def wait_for(self, *matches: str, count: int = 1) -> list[dict[str, Any]]:
        """The same, once there are ``count`` of them."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found[:] = self.entries(*matches)
            return len(found) >= count

        self.until(enough)
        return found

    def until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait until something is true."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"not within {seconds} s; journald: {self.process.poll()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it and remove what it has kept."""
        self.process.terminate()
        self.process.wait(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        shutil.rmtree(self.directory, ignore_errors=True)
