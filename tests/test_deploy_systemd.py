"""The unit files, as systemd itself reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

DEPLOY = Path(__file__).parent.parent / "deploy"
UNITS = ("tracseq-gateway.service", "tracseq-gateway.socket")
EXPOSURE = 11
"""Tenths: the most that ``systemd-analyze security`` may find, of 100."""


class UnitTests(SynchronousTestCase):
    """``deploy/tracseq-gateway.service`` and ``.socket``."""

    if shutil.which("systemd-analyze") is None:
        skip = "systemd-analyze is not installed: deploy/debian-packages.txt"

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        for name in UNITS:
            # The gateway need not be installed for the units to be read.
            text = re.sub(r"/opt/tracseq-gateway/bin/\S+", "/bin/true", (DEPLOY / name).read_text())
            (self.directory / name).write_text(text)

    def analyze(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(["systemd-analyze", *words], cwd=self.directory, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def options(self, name: str) -> dict[str, list[str]]:
        """The options of a unit file, each with all its values."""
        options: dict[str, list[str]] = {}
        for key, value in re.findall(r"^(\w+)=(.*)$", (DEPLOY / name).read_text(), re.MULTILINE):
            options.setdefault(key, []).append(value)
        return options

    def test_verified(self) -> None:
        """systemd knows every option and every value in them."""
        self.assertEqual((0, ""), self.analyze("verify", *(f"./{name}" for name in UNITS)))

    def test_mistakesAreFound(self) -> None:
        """An option that systemd does not know would be found by that."""
        unit = self.directory / UNITS[0]
        unit.write_text(unit.read_text().replace("OOMPolicy=", "OOMPolicies="))
        self.assertIn("OOMPolicies", self.analyze("verify", f"./{UNITS[0]}")[1])

    def test_hardened(self) -> None:
        """By systemd's own measure the service is exposed to 1.1 of 10 at most."""
        words = ("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", f"./{UNITS[0]}")
        status, said = self.analyze(*words)
        self.assertEqual(0, status, said)

    def test_commands(self) -> None:
        """What is started, checked and reloaded is one configuration, by the programs that pip installs."""
        options = self.options(UNITS[0])
        commands = [options[name][0].split() for name in ("ExecStartPre", "ExecStart", "ExecReload")]
        self.assertEqual({"/etc/tracseq/gateway.toml"}, {command[-1] for command in commands})
        programs = [command[0].removeprefix("/opt/tracseq-gateway/bin/") for command in commands]
        self.assertEqual(["tracseq-gateway", "twistd", "tracseq-gateway"], programs)

    def test_time(self) -> None:
        """What is waited for is longer than what the gateway takes with its defaults."""
        options = self.options(UNITS[0])
        self.assertEqual((["notify"], ["mixed"]), (options["Type"], options["KillMode"]))
        self.assertGreater(int(options["TimeoutStopSec"][0]), 30 + 1 + 5)
        self.assertGreater(int(options["TimeoutStartSec"][0]), 10)
        self.assertGreater(int(options["WatchdogSec"][0]), 10)  # a worker that hangs is replaced before that

    def test_sockets(self) -> None:
        """The socket unit opens the gateway's own port, so that the kernel spreads connections."""
        options = self.options(UNITS[1])
        self.assertEqual({"8000"}, set(options["ListenStream"]))
        self.assertEqual(["yes"], options["ReusePort"])
